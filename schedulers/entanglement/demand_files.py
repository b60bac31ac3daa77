"""Demands for entangled pairs in files: a list in YAML or JSON, every key judged.

A document is a list of demands, or an object that holds it under ``demands``. The keys of a demand
are ``source``, ``destination``, ``rate_ebit_per_s``, ``min_fidelity``, and where wanted
``max_jitter_s``, ``probability``, ``pairs`` and ``window_s``; those of task sets (``src``, ``dst``,
``rate``, ``f_min``) do too.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any

from qos.demands import EntanglementDemand
from qos.errors import InputError
from schedulers.entanglement.compile import Packet
from topologies.guards import read_text

ALIASES = {"src": "source", "dst": "destination", "rate": "rate_ebit_per_s", "f_min": "min_fidelity"}
NUMBERS = ("rate_ebit_per_s", "min_fidelity", "max_jitter_s", "probability", "window_s")
NEEDED = ("source", "destination", "rate_ebit_per_s", "min_fidelity")
KNOWN = (*NEEDED, "max_jitter_s", "probability", "pairs", "window_s")
PASSED_OVER = ("task",)
"""Keys of task sets that say nothing here."""

MAX_DEMANDS = 100_000
_SHOWN = 60


def _number(value: object, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise InputError(f"{where}: expected a number, got {str(value)[:_SHOWN]!r}")
    return float(value)


def _fields(raw: object, where: str) -> dict[str, Any]:
    """Judge one demand's keys, and give its values under their own names."""
    if not isinstance(raw, Mapping):
        raise InputError(f"{where}: expected an object with {', '.join(NEEDED)}")
    fields: dict[str, Any] = {}
    for key, value in raw.items():
        name = ALIASES.get(str(key), str(key))
        if name in PASSED_OVER:
            continue
        if name not in KNOWN:
            raise InputError(f"{where}.{str(key)[:_SHOWN]}: unknown key; known are {', '.join(KNOWN)}")
        if name in fields:
            raise InputError(f"{where}.{key}: given twice, also as {name}")
        if name in NUMBERS:
            value = None if value is None and name not in NEEDED else _number(value, f"{where}.{key}")
        fields[name] = value
    missing = [name for name in NEEDED if name not in fields]
    if missing:
        raise InputError(f"{where}.{missing[0]}: is missing")
    return fields


def _demand(raw: object, where: str) -> tuple[EntanglementDemand, Packet]:
    fields = _fields(raw, where)
    ends = []
    for name in ("source", "destination"):
        value = fields[name]
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise InputError(f"{where}.{name}: expected the id of a node, got {str(value)[:_SHOWN]!r}")
        ends.append(str(value))
    pairs = fields.get("pairs", 1)
    if type(pairs) is not int:
        raise InputError(f"{where}.pairs: expected a whole number, got {str(pairs)[:_SHOWN]!r}")
    demand = EntanglementDemand(
        ends[0],
        ends[1],
        fields["rate_ebit_per_s"],
        fields["min_fidelity"],
        fields.get("max_jitter_s"),
        fields.get("probability"),
    )
    return demand, Packet(pairs, fields.get("window_s"))


def read_demands(raw: object, source: str) -> tuple[tuple[EntanglementDemand, Packet], ...]:
    """Make demands of plain data.

    Parameters
    ----------
    raw
        A list of demands, or an object with one under ``demands``.
    source
        The file, for errors.

    Raises
    ------
    InputError
        If a key is missing, unknown or of the wrong kind; names file and key. Ranges are judged where the
        demands are compiled.
    """
    if isinstance(raw, Mapping):
        if "demands" not in raw:
            raise InputError(f"{source}: demands: is missing")
        raw = raw["demands"]
    if not isinstance(raw, list) or not raw:
        raise InputError(f"{source}: demands: expected a list of one demand or more")
    if len(raw) > MAX_DEMANDS:
        raise InputError(f"{source}: demands: {len(raw)} are more than {MAX_DEMANDS}")
    return tuple(_demand(one, f"{source}: demands[{index}]") for index, one in enumerate(raw))


def load_demands(path: str | os.PathLike[str]) -> tuple[tuple[EntanglementDemand, Packet], ...]:
    """Read demands from a YAML or JSON file.

    Parameters
    ----------
    path
        The file; the suffix ``.json`` says JSON, anything else is read as YAML.

    Raises
    ------
    InputError
        If the file cannot be read or is not such a document.
    """
    from topologies import json_files, yaml_files

    place = Path(path)
    parse = json_files.parse if place.suffix.lower() == ".json" else yaml_files.parse
    raw, _ = parse(read_text(place), str(place))
    return read_demands(raw, str(place))
