"""Plain data from YAML or JSON, judged key by key: the errors name file and key."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from math import isfinite
from pathlib import Path
from typing import Any

from qos.errors import InputError
from topologies.guards import read_text

SHOWN = 60


def load_plain(path: str | os.PathLike[str]) -> Any:
    """Read a YAML or JSON file; the suffix ``.json`` says JSON, anything else is read as YAML.

    Raises
    ------
    InputError
        If the file cannot be read or parsed.
    """
    from topologies import json_files, yaml_files

    place = Path(path)
    parse = json_files.parse if place.suffix.lower() == ".json" else yaml_files.parse
    return parse(read_text(place), str(place))[0]


def number(value: object, where: str) -> float:
    """Read a finite number.

    Raises
    ------
    InputError
        If it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise InputError(f"{where}: expected a number, got {str(value)[:SHOWN]!r}")
    return float(value)


def whole(value: object, where: str) -> int:
    """Read a whole number.

    Raises
    ------
    InputError
        If it is none.
    """
    if type(value) is not int:
        raise InputError(f"{where}: expected a whole number, got {str(value)[:SHOWN]!r}")
    return value


def flag(value: object, where: str) -> bool:
    """Read true or false.

    Raises
    ------
    InputError
        If it is neither.
    """
    if not isinstance(value, bool):
        raise InputError(f"{where}: expected true or false, got {str(value)[:SHOWN]!r}")
    return value


def node_id(value: object, where: str) -> str:
    """Read the id of a node, which a file may write as a number.

    Raises
    ------
    InputError
        If it is neither text nor a whole number.
    """
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise InputError(f"{where}: expected the id of a node, got {str(value)[:SHOWN]!r}")
    return str(value)


def mapping(raw: object, where: str, known: Collection[str]) -> dict[str, Any]:
    """Read an object that has none but known keys.

    Raises
    ------
    InputError
        If it is no object, or has another key.
    """
    if not isinstance(raw, Mapping):
        raise InputError(f"{where}: expected an object with keys of {', '.join(known)}")
    for key in raw:
        if str(key) not in known:
            raise InputError(f"{where}.{str(key)[:SHOWN]}: unknown key; known are {', '.join(known)}")
    return {str(key): value for key, value in raw.items()}


def items(raw: object, where: str, most: int) -> list[Any]:
    """Read a list of one entry or more.

    Raises
    ------
    InputError
        If it is none, or longer than `most`.
    """
    name = where.rpartition(": ")[2]
    if not isinstance(raw, list) or not raw:
        raise InputError(f"{where}: expected a list of one {name.rstrip('s')} or more")
    if len(raw) > most:
        raise InputError(f"{where}: {len(raw)} are more than {most}")
    return raw
