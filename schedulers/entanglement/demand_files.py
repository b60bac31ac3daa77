"""Demands for entangled pairs in files: a list in YAML or JSON, every key judged.

A document is a list of demands, or an object that holds it under ``demands``. The keys of a demand
are ``source``, ``destination``, ``rate_ebit_per_s``, ``min_fidelity``, and where wanted
``name``, ``weight``, ``max_jitter_s``, ``probability``, ``pairs`` and ``window_s``; those of task sets
(``src``, ``dst``, ``rate``, ``f_min``) do too. ``max_qber`` may stand for the fidelity, and
``key_bit_per_s`` (with ``key_protocol``: ``bb84`` or ``e91``) for the rate; a key rate alone gets the
fidelity at which it is easiest to serve.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from qos.demands import EntanglementDemand
from qos.errors import InputError, QosError
from schedulers.entanglement.compile import Packet
from schedulers.entanglement.plain_values import SHOWN, items, load_plain, node_id, number, whole
from schedulers.entanglement.secret_key import (
    KEY_PROTOCOLS,
    KeyProtocol,
    easiest_key_demand,
    fidelity_for_error_rate,
    key_demand,
)

if TYPE_CHECKING:
    from schedulers.entanglement.compile import Compiler

ALIASES = {"src": "source", "dst": "destination", "rate": "rate_ebit_per_s", "f_min": "min_fidelity"}
NUMBERS = (
    "rate_ebit_per_s", "min_fidelity", "max_jitter_s", "probability", "window_s", "max_qber", "key_bit_per_s"
)  # fmt: skip
ENDS = ("source", "destination")
FIGURES = ("rate_ebit_per_s", "min_fidelity")
KNOWN = (
    *ENDS, *FIGURES, "max_jitter_s", "probability", "pairs", "window_s",
    "max_qber", "key_bit_per_s", "key_protocol", "name", "weight",
)  # fmt: skip
SIGNS = (*NUMBERS, "f_min", "pairs", "key_protocol")
"""Keys that only a demand for entanglement has."""
PASSED_OVER = ("task", "kind")
"""Keys of task sets that say nothing here."""

MAX_DEMANDS = 100_000


def _fields(raw: object, where: str) -> dict[str, Any]:
    """Judge one demand's keys, and give its values under their own names."""
    if not isinstance(raw, Mapping):
        raise InputError(f"{where}: expected an object with {', '.join((*ENDS, *FIGURES))}")
    fields: dict[str, Any] = {}
    for key, value in raw.items():
        name = ALIASES.get(str(key), str(key))
        if name in PASSED_OVER:
            continue
        if name not in KNOWN:
            raise InputError(f"{where}.{str(key)[:SHOWN]}: unknown key; known are {', '.join(KNOWN)}")
        if name in fields:
            raise InputError(f"{where}.{key}: given twice, also as {name}")
        if name in NUMBERS or name == "weight":
            value = None if value is None and name not in FIGURES else number(value, f"{where}.{key}")
        fields[name] = value
    _judge_together(fields, where)
    return fields


def _judge_together(fields: Mapping[str, Any], where: str) -> None:
    """Refuse a demand without ends, rate or fidelity, or with two of one."""
    given = {name for name, value in fields.items() if value is not None}
    for one, other in (("max_qber", "min_fidelity"), ("key_bit_per_s", "rate_ebit_per_s")):
        if {one, other} <= given:
            raise InputError(f"{where}.{one}: {other} is given too; leave one of them out")
    if "key_bit_per_s" in given:
        if fields.get("key_protocol", KEY_PROTOCOLS[0]) not in KEY_PROTOCOLS:
            raise InputError(f"{where}.key_protocol: expected {' or '.join(KEY_PROTOCOLS)}")
    elif "key_protocol" in given:
        raise InputError(f"{where}.key_protocol: belongs to key_bit_per_s, which is missing")
    needed = [*ENDS]
    if "key_bit_per_s" not in given:
        needed += [name for name in FIGURES if not (name == "min_fidelity" and "max_qber" in given)]
    missing = [name for name in needed if name not in fields]
    if missing:
        raise InputError(f"{where}.{missing[0]}: is missing")


def _rate_and_fidelity(
    fields: Mapping[str, Any], where: str, compiler: Compiler | None
) -> tuple[float, float]:
    """Turn error rates and key rates into pairs."""
    fidelity = fields.get("min_fidelity")
    source, destination = (str(fields[name]) for name in ENDS)
    if fields.get("max_qber") is not None:
        try:
            fidelity = fidelity_for_error_rate(fields["max_qber"])
        except QosError as error:
            raise InputError(f"{where}.max_qber: {error}") from None
    if fields.get("key_bit_per_s") is None:
        return fields["rate_ebit_per_s"], cast("float", fidelity)
    protocol = cast("KeyProtocol", fields.get("key_protocol", KEY_PROTOCOLS[0]))
    bits = fields["key_bit_per_s"]
    try:
        if fidelity is not None:
            demand = key_demand(source, destination, bits, protocol, fidelity)
        elif compiler is None:
            raise InputError("needs min_fidelity or max_qber here")
        else:
            network = compiler
            network.network.check_ends(source, destination)
            demand = easiest_key_demand(
                source, destination, bits, protocol, lambda f: network.highest_rate(source, destination, f)
            )
    except QosError as error:
        raise type(error)(f"{where}.key_bit_per_s: {error}") from None
    return demand.rate_ebit_per_s, demand.min_fidelity


def read_demand(
    raw: object, where: str, compiler: Compiler | None = None
) -> tuple[EntanglementDemand, Packet]:
    """Make one demand of plain data.

    Parameters
    ----------
    raw
        The entry.
    where
        File and key, for errors.
    compiler
        As for `read_demands`.

    Raises
    ------
    InputError, ValueRefusedError, InfeasibleError
        As `read_demands`.
    """
    fields = _fields(raw, where)
    source, destination = (node_id(fields[name], f"{where}.{name}") for name in ENDS)
    pairs = whole(fields.get("pairs", 1), f"{where}.pairs")
    rate, fidelity = _rate_and_fidelity(fields, where, compiler)
    demand = EntanglementDemand(
        source, destination, rate, fidelity, fields.get("max_jitter_s"), fields.get("probability")
    )
    weight = fields.get("weight")
    demand = replace(demand, name=str(fields.get("name", "")), weight=1.0 if weight is None else weight)
    return demand, Packet(pairs, fields.get("window_s"))


def asks_for_pairs(entry: object) -> bool:
    """Tell a demand for entanglement from one for packets, by ``kind`` or else by its keys.

    Examples
    --------
    >>> asks_for_pairs({"ends": ["a", "b"], "profile": "voice"}), asks_for_pairs({"f_min": 0.8})
    (False, True)
    """
    if not isinstance(entry, Mapping):
        return True
    if "kind" in entry:
        return bool(entry["kind"] != "flow")
    return "profile" not in entry and any(key in entry for key in SIGNS)


def read_demands(
    raw: object, source: str, compiler: Compiler | None = None
) -> tuple[tuple[EntanglementDemand, Packet], ...]:
    """Make demands of plain data.

    Parameters
    ----------
    raw
        A list of demands, or an object with one under ``demands``; demands for packets among them are
        passed over.
    source
        The file, for errors.
    compiler
        Of the network, for secret-key rates without a fidelity.

    Raises
    ------
    InputError
        If a key is missing, unknown or of the wrong kind; names file and key. Ranges are judged where the
        demands are compiled.
    ValueRefusedError, InfeasibleError
        If a secret-key rate cannot be.
    """
    if isinstance(raw, Mapping):
        if "demands" not in raw:
            raise InputError(f"{source}: demands: is missing")
        raw = raw["demands"]
    listed = items(raw, f"{source}: demands", MAX_DEMANDS)
    return tuple(
        read_demand(one, f"{source}: demands[{index}]", compiler)
        for index, one in enumerate(listed)
        if asks_for_pairs(one) or not any(map(asks_for_pairs, listed))
    )


def load_demands(
    path: str | os.PathLike[str], compiler: Compiler | None = None
) -> tuple[tuple[EntanglementDemand, Packet], ...]:
    """Read demands from a YAML or JSON file.

    Parameters
    ----------
    path
        The file; the suffix ``.json`` says JSON, anything else is read as YAML.
    compiler
        As for `read_demands`.

    Raises
    ------
    InputError
        If the file cannot be read or is not such a document.
    ValueRefusedError, InfeasibleError
        As `read_demands`.
    """
    return read_demands(load_plain(path), os.fspath(path), compiler)
