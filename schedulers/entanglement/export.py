"""A schedule as each node sees it: which operation, on which qubits, in which slots.

The document has a JSON schema (`JSON_SCHEMA`); the tables can also be written as CSV, one a node.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from qos.errors import InputError
from schedulers.entanglement.mapping import node_of
from schedulers.entanglement.tasks import Interval, Operation, PeriodicTask, Schedule, Segment, TaskSet

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True, order=True)
class NodeEntry:
    """What one node does in one stretch of slots.

    Attributes
    ----------
    begin_slot, end_slot
        From the first slot to the one after the last, in one hyperperiod.
    task_id, instance
        Whose operation it is: task, and number of its period from 0.
    operation, kind
        Name within the task, and ``link``, ``distill`` or ``swap``.
    qubits, keeps
        The node's own qubits that it uses, and those that hold a pair afterwards.
    partners
        Other nodes that do it at the same time.
    """

    begin_slot: int
    end_slot: int
    task_id: int
    instance: int
    operation: str
    kind: str
    qubits: tuple[str, ...]
    keeps: tuple[str, ...]
    partners: tuple[str, ...]


def node_tables(tasks: TaskSet, schedule: Schedule) -> dict[str, tuple[NodeEntry, ...]]:
    """List for every node what it does over one hyperperiod, in order of time.

    Parameters
    ----------
    tasks
        The task set that was scheduled, with operations.
    schedule
        Its schedule; instances that run in segments have their operations cut accordingly.

    Returns
    -------
    dict
        By node id, in order of the ids.

    Raises
    ------
    InputError
        If the schedule names a task that the set does not have, or a task has no operations.
    """
    by_id = {task.task_id: task for task in tasks.tasks}
    tables: dict[str, list[NodeEntry]] = {}
    for task_id in schedule.starts:
        task = by_id.get(task_id)
        if task is None:
            raise InputError(f"the schedule serves task {task_id}, which the task set does not have")
        if not task.operations:
            raise InputError(f"task {task_id} has no operations, only an occupancy; it cannot be exported")
        for instance, segments in enumerate(_segments(schedule, task)):
            for operation in task.operations:
                for node, entry in _entries(task, instance, operation, segments):
                    tables.setdefault(node, []).append(entry)
    return {node: tuple(sorted(tables[node])) for node in sorted(tables)}


def _segments(schedule: Schedule, task: PeriodicTask) -> Sequence[tuple[Segment, ...]]:
    if task.task_id in schedule.segments:
        return schedule.segments[task.task_id]
    return [((start, task.exec_slots),) for start in schedule.starts[task.task_id]]


def _entries(
    task: PeriodicTask, instance: int, operation: Operation, segments: Sequence[Segment]
) -> Iterator[tuple[str, NodeEntry]]:
    nodes = sorted({node_of(qubit) for qubit in operation.qubits})
    for begin, end in _pieces(operation, segments):
        for node in nodes:
            entry = NodeEntry(
                begin,
                end,
                task.task_id,
                instance,
                operation.name,
                operation.kind,
                tuple(qubit for qubit in operation.qubits if node_of(qubit) == node),
                tuple(qubit for qubit in operation.locked_qubits if node_of(qubit) == node),
                tuple(other for other in nodes if other != node),
            )
            yield node, entry


def _pieces(operation: Operation, segments: Sequence[Segment]) -> Iterator[Interval]:
    """Say when an operation runs, counted in slots in which its instance runs."""
    first, last = operation.offset_slots, operation.offset_slots + operation.duration_slots
    passed = 0
    for start, length in segments:
        begin, end = max(first, passed), min(last, passed + length)
        if begin < end:
            yield start + begin - passed, start + end - passed
        passed += length


def document(tasks: TaskSet, schedule: Schedule) -> dict[str, object]:
    """Give the tables as one JSON document that `JSON_SCHEMA` describes.

    Raises
    ------
    InputError
        As `node_tables`.
    """
    tables = node_tables(tasks, schedule)
    return {
        "schema": SCHEMA_VERSION,
        "name": tasks.name,
        "slot_s": tasks.slot_s,
        "hyperperiod_slots": schedule.hyperperiod_slots,
        "tasks": [
            {
                "id": task.task_id,
                "source": task.source,
                "destination": task.destination,
                "min_fidelity": task.min_fidelity,
                "period_slots": task.period_slots,
                "exec_slots": task.exec_slots,
                "starts": list(schedule.starts[task.task_id]),
            }
            for task in tasks.tasks
            if task.task_id in schedule.starts
        ],
        "nodes": {node: [_as_json(entry) for entry in entries] for node, entries in tables.items()},
    }


def _as_json(entry: NodeEntry) -> dict[str, object]:
    return {
        "begin_slot": entry.begin_slot,
        "end_slot": entry.end_slot,
        "task": entry.task_id,
        "instance": entry.instance,
        "operation": entry.operation,
        "kind": entry.kind,
        "qubits": list(entry.qubits),
        "keeps": list(entry.keeps),
        "partners": list(entry.partners),
    }


CSV_COLUMNS = ("node", *NodeEntry.__dataclass_fields__)


def as_csv(tables: dict[str, tuple[NodeEntry, ...]]) -> str:
    """Write tables as CSV with a header line; lists of qubits and partners are joined by blanks."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for node, entries in tables.items():
        for entry in entries:
            cells = (getattr(entry, column) for column in CSV_COLUMNS[1:])
            writer.writerow([node, *(" ".join(cell) if isinstance(cell, tuple) else cell for cell in cells)])
    return text.getvalue()


def _object(properties: dict[str, object]) -> dict[str, object]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


_TEXTS: dict[str, object] = {"type": "array", "items": {"type": "string"}}
_SLOT: dict[str, object] = {"type": "integer", "minimum": 0}
_COUNT: dict[str, object] = {"type": "integer", "minimum": 1}
_TEXT: dict[str, object] = {"type": "string"}

JSON_SCHEMA: dict[str, object] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Entanglement schedule by node",
    **_object(
        {
            "schema": {"const": SCHEMA_VERSION},
            "name": _TEXT,
            "slot_s": {"type": "number", "exclusiveMinimum": 0},
            "hyperperiod_slots": _COUNT,
            "tasks": {
                "type": "array",
                "items": _object(
                    {
                        "id": {"type": "integer"},
                        "source": _TEXT,
                        "destination": _TEXT,
                        "min_fidelity": {"type": "number", "exclusiveMinimum": 0.5, "maximum": 1},
                        "period_slots": _COUNT,
                        "exec_slots": _COUNT,
                        "starts": {"type": "array", "items": _SLOT},
                    }
                ),
            },
            "nodes": {
                "type": "object",
                "additionalProperties": {
                    "type": "array",
                    "items": _object(
                        {
                            "begin_slot": _SLOT,
                            "end_slot": _COUNT,
                            "task": {"type": "integer"},
                            "instance": _SLOT,
                            "operation": _TEXT,
                            "kind": {"enum": ["link", "distill", "swap"]},
                            "qubits": _TEXTS,
                            "keeps": _TEXTS,
                            "partners": _TEXTS,
                        }
                    ),
                },
            },
        }
    ),
}
