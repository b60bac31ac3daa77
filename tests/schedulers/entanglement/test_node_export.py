"""Per-node tables, the JSON document and its schema."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from qos.demands import EntanglementDemand
from qos.errors import InputError
from schedulers.entanglement.compile import task_set
from schedulers.entanglement.export import JSON_SCHEMA, NodeEntry, as_csv, document, node_tables
from schedulers.entanglement.tasks import PeriodicTask, Schedule, TaskSet
from topologies.files import load

TASKS = task_set(
    load("star"), [EntanglementDemand("0", "2", 3.125, 0.65), EntanglementDemand("1", "2", 1.5625, 0.8)]
)
SCHEDULE = Schedule(64, {0: (0, 45), 1: (11,)})


def test_every_operation_of_every_instance_stands_at_each_of_its_nodes() -> None:
    tables = node_tables(TASKS, SCHEDULE)
    assert list(tables) == ["0", "1", "2", "3"]
    expected = [
        (node, start + operation.offset_slots, task.task_id, operation.name)
        for task in TASKS.tasks
        for start in SCHEDULE.starts[task.task_id]
        for operation in task.operations
        for node in {qubit.rpartition("-")[0] for qubit in operation.qubits}
    ]
    found = [
        (node, e.begin_slot, e.task_id, e.operation) for node, entries in tables.items() for e in entries
    ]
    assert sorted(found) == sorted(expected)
    for node, entries in tables.items():
        assert [entry.begin_slot for entry in entries] == sorted(entry.begin_slot for entry in entries)
        for entry in entries:
            assert all(qubit.startswith(f"{node}-") for qubit in entry.qubits)
            assert set(entry.keeps) <= set(entry.qubits)
            assert (entry.kind == "swap") == (entry.partners == ())


def test_an_interrupted_instance_has_its_operations_cut() -> None:
    task = TASKS.tasks[0]
    whole = Schedule(32, {0: (4,)})
    cut = Schedule(32, {0: (4,)}, {0: (((4, 3), (10, 8)),)})
    alone = TaskSet(TASKS.slot_s, (task,))

    def busy(schedule: Schedule) -> dict[str, list[int]]:
        slots: dict[str, list[int]] = {}
        for entry in node_tables(alone, schedule)["3"]:
            slots.setdefault(entry.operation, []).extend(range(entry.begin_slot, entry.end_slot))
        return slots

    moved = {name: [slot if slot < 7 else slot + 3 for slot in slots] for name, slots in busy(whole).items()}
    assert busy(cut) == moved


def test_the_document_is_json_and_follows_its_schema() -> None:
    made = json.loads(json.dumps(document(TASKS, SCHEDULE), allow_nan=False))
    assert complaints(made, JSON_SCHEMA) == []
    assert made["tasks"][0]["starts"] == [0, 45]
    broken = made | {"slot_s": 0, "extra": 1}
    assert len(complaints(broken, JSON_SCHEMA)) == 2


def test_the_csv_has_one_line_an_entry() -> None:
    tables = node_tables(TASKS, SCHEDULE)
    rows = list(csv.DictReader(io.StringIO(as_csv(tables))))
    assert len(rows) == sum(map(len, tables.values()))
    assert set(rows[0]) == {"node", *NodeEntry.__dataclass_fields__}
    assert rows[0]["qubits"].split()[0].startswith("0-")


def test_a_schedule_of_other_tasks_is_refused() -> None:
    with pytest.raises(InputError, match="task 7, which the task set does not have"):
        node_tables(TASKS, Schedule(64, {7: (0,)}))
    bare = PeriodicTask(0, "", "a", "b", 0.6, 10, 5, {"a-C0": ((0, 5),)})
    with pytest.raises(InputError, match="task 0 has no operations"):
        node_tables(TaskSet(0.01, (bare,)), Schedule(10, {0: (0,)}))


TYPES = {"object": dict, "array": list, "string": str, "integer": int, "number": int | float}


def complaints(value: Any, schema: dict[str, Any], where: str = "$") -> list[str]:
    """As much of JSON Schema as the document's schema uses."""
    if "const" in schema:
        return [] if value == schema["const"] else [f"{where}: not {schema['const']}"]
    if "enum" in schema:
        return [] if value in schema["enum"] else [f"{where}: not one of {schema['enum']}"]
    if not isinstance(value, TYPES[schema["type"]]) or isinstance(value, bool):
        return [f"{where}: not {schema['type']}"]
    wrong = []
    if value_is_low(value, schema):
        wrong.append(f"{where}: too low")
    if isinstance(value, list):
        for i, item in enumerate(value):
            wrong += complaints(item, schema["items"], f"{where}[{i}]")
    if isinstance(value, dict):
        properties, more = schema.get("properties", {}), schema["additionalProperties"]
        wrong += [f"{where}.{name}: missing" for name in schema.get("required", []) if name not in value]
        for name, item in value.items():
            if name in properties:
                wrong += complaints(item, properties[name], f"{where}.{name}")
            elif more is False:
                wrong.append(f"{where}.{name}: unknown")
            else:
                wrong += complaints(item, more, f"{where}.{name}")
    return wrong


def value_is_low(value: Any, schema: dict[str, Any]) -> bool:
    return bool(
        ("minimum" in schema and value < schema["minimum"])
        or ("exclusiveMinimum" in schema and value <= schema["exclusiveMinimum"])
        or ("maximum" in schema and value > schema["maximum"])
    )
