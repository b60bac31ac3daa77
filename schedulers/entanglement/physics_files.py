"""What the network's hardware does, in a file: memories, success probabilities, times, a link model.

::

    slot_s: 0.01                          # times: slot_s, swap_s, distill_s
    memory: {t1_s: 10, t2_s: 1}           # of every node
    memories: {"3": {t1_s: 60, t2_s: 5}}  # but of these
    swap_success: 0.98
    attempt_s: 0.002                      # of one attempt at a link
    cutoff_s: 0.5
    bell_diagonal: true
    link: {scheme: double-click, detector_efficiency: 0.8}
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

from qos.errors import InputError, QosError
from schedulers.entanglement.bell_diagonal import Memory
from schedulers.entanglement.delivery import Physics
from schedulers.entanglement.links import LinkHardware
from schedulers.entanglement.plain_values import flag, load_plain, mapping, number
from schedulers.entanglement.protocol import SearchOptions

_Made = TypeVar("_Made")
TIMES = ("slot_s", "swap_s", "distill_s")
PLAIN = ("swap_success", "attempt_s", "cutoff_s")
KNOWN = (*TIMES, *PLAIN, "memory", "memories", "bell_diagonal", "link")


@dataclass(frozen=True)
class Hardware:
    """A file's contents, ready for `CompileOptions`.

    Attributes
    ----------
    physics
        Memories and success probabilities.
    search
        Length of a slot, times of swaps and distillations.
    link
        Model of links that have neither a table nor working points; None: there is none.
    """

    physics: Physics = field(default_factory=Physics)
    search: SearchOptions = field(default_factory=SearchOptions)
    link: LinkHardware | None = None


def _named(make: Callable[..., _Made], values: Mapping[str, Any], where: str) -> _Made:
    try:
        return make(**values)
    except QosError as error:
        raise InputError(f"{where}: {error}") from None


def _memory(raw: object, where: str) -> Memory:
    found = mapping(raw, where, ("t1_s", "t2_s"))
    return _named(Memory, {key: number(value, f"{where}.{key}") for key, value in found.items()}, where)


def _link(raw: object, where: str) -> LinkHardware:
    found = mapping(raw, where, [one.name for one in fields(LinkHardware)])
    values: dict[str, Any] = {}
    for key, value in found.items():
        if key == "scheme":
            values[key] = str(value)
        elif key == "bright_states":
            if not isinstance(value, list):
                raise InputError(f"{where}.{key}: expected a list of numbers")
            values[key] = tuple(number(one, f"{where}.{key}[{i}]") for i, one in enumerate(value))
        else:
            values[key] = number(value, f"{where}.{key}")
    return _named(LinkHardware, values, where)


def read_hardware(raw: object, source: str) -> Hardware:
    """Make hardware of plain data.

    Raises
    ------
    InputError
        If a key is unknown or its value out of range; names file and key.
    """
    found = mapping(raw if raw is not None else {}, f"{source}: hardware", KNOWN)
    numbers = {key: number(found[key], f"{source}: {key}") for key in (*TIMES, *PLAIN) if key in found}
    for key in TIMES:
        if key in numbers and not 0 < numbers[key] <= 3600:
            raise InputError(f"{source}: {key}: {numbers[key]:g} must be above 0 and at most 3600 s")
    times: dict[str, Any] = {key: numbers[key] for key in TIMES if key in numbers}
    values: dict[str, Any] = {key: numbers[key] for key in PLAIN if key in numbers}
    if "memory" in found:
        values["memory"] = _memory(found["memory"], f"{source}: memory")
    if "memories" in found:
        nodes = found["memories"]
        if not isinstance(nodes, Mapping):
            raise InputError(f"{source}: memories: expected an object with a memory for each node")
        values["memories"] = {str(n): _memory(one, f"{source}: memories.{n}") for n, one in nodes.items()}
    if "bell_diagonal" in found:
        values["bell_diagonal"] = flag(found["bell_diagonal"], f"{source}: bell_diagonal")
    return Hardware(
        _named(Physics, values, source),
        replace(SearchOptions(), **times),
        _link(found["link"], f"{source}: link") if "link" in found else None,
    )


def load_hardware(path: str | os.PathLike[str]) -> Hardware:
    """Read hardware from a YAML or JSON file.

    Raises
    ------
    InputError
        If the file cannot be read or is not such a document.
    """
    return read_hardware(load_plain(path), os.fspath(path))
