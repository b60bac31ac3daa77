"""Task sets in files: the neutral format ``qtaskset/1`` (JSON), read with every key judged.

The document holds ``format``, ``slot_seconds``, ``hyperperiod``, ``demands`` (``src``, ``dst``, ``f_min``,
``rate``, ``task``) and ``tasks`` (``id``, ``name``, ``period``, ``exec_time``, ``preemption_budget``,
``resources``, ``occupancy``, ``subtasks``; where starts may not move freely, ``max_jitter``). What else it
holds about its origin (``topology``, ``seed``, ``target_load`` ...) says nothing about tasks and is passed
over. All times are in slots.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from math import lcm
from pathlib import Path
from typing import Any, cast, get_args

from qos.errors import InputError
from qos.whole_files import write_whole
from schedulers.entanglement.tasks import (
    MAX_WEIGHT,
    Interval,
    Operation,
    OperationKind,
    PeriodicTask,
    TaskSet,
)
from topologies.guards import read_text
from topologies.json_files import parse

FORMAT = "qtaskset/1"
MAX_HYPERPERIOD_SLOTS = 1 << 22
MAX_INSTANCES = 1 << 20
"""Of all tasks together in one hyperperiod; beyond, no table of starts is useful."""

_SHOWN = 60


class _Place:
    """A value of the document and where it stands, so that every complaint names file and key."""

    def __init__(self, source: str, key: str, value: object) -> None:
        self.source = source
        self.key = key
        self.value = value

    def refuse(self, expected: str) -> InputError:
        """Make the error: expected this, got that."""
        got = json.dumps(self.value, default=str)
        return InputError(f"{self.source}: {self.key}: expected {expected}, got {got[:_SHOWN]}")

    def mapping(self) -> Mapping[str, Any]:
        if not isinstance(self.value, dict):
            raise self.refuse("an object")
        return self.value

    def below(self, key: str, default: object = None) -> _Place:
        content = self.mapping()
        inner = f"{self.key}.{key}" if self.key else key
        if key not in content and default is None:
            raise InputError(f"{self.source}: {inner}: is missing")
        return _Place(self.source, inner, content.get(key, default))

    def items(self) -> list[_Place]:
        if not isinstance(self.value, list):
            raise self.refuse("a list")
        return [_Place(self.source, f"{self.key}[{i}]", value) for i, value in enumerate(self.value)]

    def integer(self, low: int, high: int, expected: str = "") -> int:
        if type(self.value) is not int or not low <= self.value <= high:
            raise self.refuse(expected or f"a whole number from {low} to {high}")
        return self.value

    def number(self, low: float, high: float, expected: str) -> float:
        """Read a number in (low, high]; NaN and what no float can hold are outside."""
        value = self.value
        if type(value) not in (int, float) or not low < cast("float", value) <= high:
            raise self.refuse(expected)
        return float(cast("float", value))

    def text(self) -> str:
        if not isinstance(self.value, str):
            raise self.refuse("a string")
        return self.value

    def texts(self) -> tuple[str, ...]:
        return tuple(item.text() for item in self.items())


def _intervals(place: _Place, exec_slots: int) -> tuple[Interval, ...]:
    found: list[Interval] = []
    for item in place.items():
        ends = item.items()
        if len(ends) != 2:
            raise item.refuse("[begin, end)")
        begin = ends[0].integer(0, exec_slots - 1)
        end = ends[1].integer(begin + 1, exec_slots)
        if found and begin < found[-1][1]:
            raise item.refuse(f"intervals that ascend without overlap; the one before ends at {found[-1][1]}")
        found.append((begin, end))
    return tuple(found)


def _operation(place: _Place, exec_slots: int, count: int) -> Operation:
    kind = place.below("kind").text()
    if kind not in get_args(OperationKind):
        raise place.below("kind").refuse(f"one of {', '.join(get_args(OperationKind))}")
    offset = place.below("offset").integer(0, exec_slots - 1)
    qubits = place.below("resources").texts()
    locked = place.below("locked_resources", []).texts()
    if not set(locked) <= set(qubits):
        raise place.below("locked_resources").refuse("some of the operation's own resources")

    def others(key: str) -> tuple[int, ...]:
        indices = place.below(key, []).items()
        return tuple(i.integer(0, count - 1, f"the index of one of the {count} subtasks") for i in indices)

    return Operation(
        name=place.below("name").text(),
        kind=cast("OperationKind", kind),
        offset_slots=offset,
        duration_slots=place.below("duration").integer(1, exec_slots - offset),
        qubits=qubits,
        locked_qubits=locked,
        parents=others("parents"),
        children=others("children"),
    )


def _max_jitter(place: _Place) -> int | None:
    if place.mapping().get("max_jitter") is None:
        return None
    return place.below("max_jitter").integer(0, MAX_HYPERPERIOD_SLOTS)


def _weight(demand: _Place) -> float:
    place = demand.below("weight", 1.0)
    if place.value == 0 and type(place.value) in (int, float):
        return 0.0
    return place.number(0, MAX_WEIGHT, f"a weight from 0 to {MAX_WEIGHT}")


def _task(place: _Place, demand: _Place) -> PeriodicTask:
    period = place.below("period").integer(1, MAX_HYPERPERIOD_SLOTS)
    exec_slots = place.below("exec_time").integer(1, period, f"1 to the period, {period}")
    occupancy = place.below("occupancy")
    subtasks = place.below("subtasks", []).items()
    found = PeriodicTask(
        task_id=place.below("id").integer(0, 2**31 - 1),
        name=place.below("name").text(),
        source=demand.below("src").text(),
        destination=demand.below("dst").text(),
        min_fidelity=demand.below("f_min").number(0.5, 1, "a fidelity above 0.5 and at most 1"),
        period_slots=period,
        exec_slots=exec_slots,
        occupancy={
            qubit: _intervals(occupancy.below(qubit), exec_slots) for qubit in sorted(occupancy.mapping())
        },
        preemption_budget_slots=place.below("preemption_budget", 0).integer(0, MAX_HYPERPERIOD_SLOTS),
        operations=tuple(_operation(subtask, exec_slots, len(subtasks)) for subtask in subtasks),
        max_jitter_slots=_max_jitter(place),
        weight=_weight(demand),
    )
    if found.source == found.destination:
        raise demand.below("dst").refuse("an end node other than src")
    if not any(found.occupancy.values()):
        raise occupancy.refuse("at least one qubit in use")
    return found


def _demands(root: _Place) -> dict[int, _Place]:
    demands: dict[int, _Place] = {}
    for place in root.below("demands").items():
        task = place.below("task").integer(0, 2**31 - 1)
        if task in demands:
            raise place.below("task").refuse("one demand for each task")
        demands[task] = place
    return demands


def judge_hyperperiod(periods: Sequence[int], source: str) -> int:
    """Compute the hyperperiod in slots, or refuse periods whose table would be too long.

    Parameters
    ----------
    periods
        Periods in slots, each at least 1.
    source
        File or flag that they come from, for the error.

    Raises
    ------
    InputError
        If the least common multiple is above `MAX_HYPERPERIOD_SLOTS`, or the table has more than
        `MAX_INSTANCES` instances; names the periods that are to blame.
    """
    hyperperiod = 1
    for period in sorted(set(periods)):
        longer = lcm(hyperperiod, period)
        if longer > MAX_HYPERPERIOD_SLOTS:
            below = 1 << (period.bit_length() - 1)
            raise InputError(
                f"{source}: hyperperiod too long: the period {period} brings the least common multiple from "
                f"{hyperperiod} to {longer} slots (at most {MAX_HYPERPERIOD_SLOTS}); "
                f"round it, for instance to {below}"
            )
        hyperperiod = longer
    instances = sum(hyperperiod // period for period in periods)
    if instances > MAX_INSTANCES:
        raise InputError(
            f"{source}: {instances} instances in a hyperperiod of {hyperperiod} slots "
            f"(at most {MAX_INSTANCES}); round the periods to powers of two"
        )
    return hyperperiod


def load_task_set(path: str | os.PathLike[str]) -> TaskSet:
    """Read a task set from a ``qtaskset/1`` file.

    Parameters
    ----------
    path
        The file; tasks keep its order, which is their order of arrival.

    Returns
    -------
    TaskSet
        Named by the file's ``name``, or by the file.

    Raises
    ------
    InputError
        If the file cannot be read, is no such document, or a value is out of range; names file and key.
    """
    source = os.fspath(path)
    raw, _ = parse(read_text(Path(path)), source)
    root = _Place(source, "", raw)
    if not isinstance(raw, dict):
        raise InputError(f"{source}: expected an object with format, slot_seconds, demands and tasks")
    if root.below("format").value != FORMAT:
        raise root.below("format").refuse(json.dumps(FORMAT))
    slot_s = root.below("slot_seconds").number(0, 3600, "a length above 0 and at most 3600 s")
    demands = _demands(root)
    tasks: list[PeriodicTask] = []
    seen: set[int] = set()
    for place in root.below("tasks").items():
        task_id = place.below("id").integer(0, 2**31 - 1)
        if task_id in seen:
            raise place.below("id").refuse("an id that no other task has")
        if task_id not in demands:
            raise place.below("id").refuse("the id of a task that demands names")
        seen.add(task_id)
        tasks.append(_task(place, demands[task_id]))
    for task_id, place in demands.items():
        if task_id not in seen:
            raise place.below("task").refuse("the id of one of the tasks")
    hyperperiod = judge_hyperperiod([task.period_slots for task in tasks], source)
    stated = root.below("hyperperiod", hyperperiod)
    if type(stated.value) is not int or stated.value < 1 or stated.value % hyperperiod:
        raise stated.refuse(f"a multiple of the periods' least common multiple, {hyperperiod}")
    return TaskSet(slot_s, tuple(tasks), root.below("name", Path(path).stem).text())


def _describe(task: PeriodicTask) -> dict[str, object]:
    return {
        "id": task.task_id,
        "name": task.name,
        "period": task.period_slots,
        "exec_time": task.exec_slots,
        "preemption_budget": task.preemption_budget_slots,
        **({} if task.max_jitter_slots is None else {"max_jitter": task.max_jitter_slots}),
        "resources": sorted(task.occupancy),
        "occupancy": {qubit: [list(i) for i in task.occupancy[qubit]] for qubit in sorted(task.occupancy)},
        "subtasks": [
            {
                "name": operation.name,
                "kind": operation.kind,
                "offset": operation.offset_slots,
                "duration": operation.duration_slots,
                "resources": list(operation.qubits),
                "locked_resources": list(operation.locked_qubits),
                "parents": list(operation.parents),
                "children": list(operation.children),
            }
            for operation in task.operations
        ],
    }


def dump_task_set(task_set: TaskSet) -> str:
    """Write a task set as ``qtaskset/1`` text, one task a line."""
    head = {
        "format": FORMAT,
        "name": task_set.name,
        "slot_seconds": task_set.slot_s,
        "hyperperiod": task_set.hyperperiod_slots,
    }
    demands = [
        {
            "src": task.source,
            "dst": task.destination,
            "f_min": task.min_fidelity,
            "rate": 1 / (task.period_slots * task_set.slot_s),
            "task": task.task_id,
            **({} if task.weight == 1 else {"weight": task.weight}),
        }
        for task in task_set.tasks
    ]

    def lines(entries: Sequence[Mapping[str, object]]) -> str:
        return ",\n".join(json.dumps(entry, ensure_ascii=False, allow_nan=False) for entry in entries)

    opening = json.dumps(head, ensure_ascii=False, allow_nan=False)[:-1]
    tasks = lines([_describe(task) for task in task_set.tasks])
    return f'{opening},\n"demands": [\n{lines(demands)}\n],\n"tasks": [\n{tasks}\n]}}\n'


def save_task_set(task_set: TaskSet, path: str | os.PathLike[str]) -> None:
    """Write a task set to a ``qtaskset/1`` file; what stood there is replaced as a whole or not at all.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    write_whole(path, dump_task_set(task_set))
