"""`qtaskset/1` files: what is written reads back equal, and what is wrong is named by file and key."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from made_task_sets import task_sets

from qos.errors import InputError
from schedulers.entanglement.tasks import TaskSet
from schedulers.entanglement.taskset_files import judge_hyperperiod, load_task_set, save_task_set

GOOD: dict[str, Any] = {
    "format": "qtaskset/1",
    "slot_seconds": 0.01,
    "topology": {"name": "pair"},
    "hyperperiod": 8,
    "demands": [
        {"src": "a", "dst": "b", "f_min": 0.7, "rate": 25.0, "task": 3},
        {"src": "b", "dst": "c", "f_min": 0.7, "rate": 12.5, "task": 1},
    ],
    "tasks": [
        {
            "id": 3,
            "name": "first",
            "period": 4,
            "exec_time": 3,
            "preemption_budget": 2,
            "resources": ["a-C0", "b-C0"],
            "occupancy": {"a-C0": [[0, 1], [2, 3]], "b-C0": [[0, 3]]},
            "subtasks": [
                {
                    "name": "L",
                    "kind": "link",
                    "offset": 0,
                    "duration": 1,
                    "resources": ["a-C0", "b-C0"],
                    "locked_resources": ["b-C0"],
                    "parents": [],
                    "children": [1],
                },
                {
                    "name": "M",
                    "kind": "link",
                    "offset": 2,
                    "duration": 1,
                    "resources": ["a-C0", "b-C0"],
                    "locked_resources": [],
                    "parents": [0],
                    "children": [],
                },
            ],
        },
        {"id": 1, "name": "second", "period": 8, "exec_time": 2, "occupancy": {"c-C0": [[0, 2]]}},
    ],
}


def write(path: Path, document: object) -> Path:
    path.write_text(json.dumps(document))
    return path


def test_a_file_reads_as_its_tasks_in_order_of_arrival(tmp_path: Path) -> None:
    task_set = load_task_set(write(tmp_path / "pair.json", GOOD))
    assert [task.task_id for task in task_set.tasks] == [3, 1]
    assert task_set.name == "pair"
    assert task_set.hyperperiod_slots == 8
    first = task_set.tasks[0]
    assert (first.source, first.destination, first.min_fidelity) == ("a", "b", 0.7)
    assert first.occupancy["a-C0"] == ((0, 1), (2, 3))
    assert first.operations[1].parents == (0,)
    assert task_set.tasks[1].operations == ()


def test_what_is_saved_loads_as_an_equal_task_set(tmp_path: Path) -> None:
    task_set = load_task_set(write(tmp_path / "pair.json", GOOD))
    save_task_set(task_set, tmp_path / "copy.json")
    assert load_task_set(tmp_path / "copy.json") == task_set


@settings(max_examples=40)
@given(task_set=task_sets())
def test_made_task_sets_survive_a_round_trip(task_set: TaskSet) -> None:
    with TemporaryDirectory() as folder:
        save_task_set(task_set, Path(folder) / "made.json")
        assert load_task_set(Path(folder) / "made.json") == task_set


def test_every_shared_file_survives_a_round_trip(shared_data: Path, tmp_path: Path) -> None:
    files = sorted((shared_data / "entanglement" / "tasksets").glob("*.json"))
    assert files
    for file in files:
        task_set = load_task_set(file)
        save_task_set(task_set, tmp_path / file.name)
        assert load_task_set(tmp_path / file.name) == task_set
        assert task_set.offered_ebit_per_s > 0


def change(path: str, value: object) -> Callable[[Any], None]:
    def apply(document: Any) -> None:
        *way, last = [int(key) if key.isdigit() else key for key in path.split("/")]
        for key in way:
            document = document[key]
        document[last] = value

    return apply


def drop(path: str) -> Callable[[Any], None]:
    def apply(document: Any) -> None:
        *way, last = [int(key) if key.isdigit() else key for key in path.split("/")]
        for key in way:
            document = document[key]
        del document[last]

    return apply


WRONG: dict[str, tuple[Callable[[Any], None], str]] = {
    "another format": (change("format", "qtaskset/2"), "format"),
    "no tasks": (drop("tasks"), "tasks: is missing"),
    "tasks no list": (change("tasks", {}), "tasks"),
    "slot of no length": (change("slot_seconds", 0), "slot_seconds"),
    "slot as text": (change("slot_seconds", "10ms"), "slot_seconds"),
    "slot too large for a float": (change("slot_seconds", 10**400), "slot_seconds"),
    "duplicate id": (change("tasks/1/id", 3), r"tasks\[1\].id"),
    "negative id": (change("tasks/1/id", -1), r"tasks\[1\].id"),
    "id as boolean": (change("tasks/1/id", True), r"tasks\[1\].id"),
    "id without demand": (change("tasks/1/id", 9), r"tasks\[1\].id"),
    "demand without task": (
        change("demands", [*GOOD["demands"], GOOD["demands"][0] | {"task": 7}]),
        r"demands\[2\].task",
    ),
    "two demands for a task": (change("demands/1/task", 3), r"demands\[1\].task"),
    "fidelity of a half": (change("demands/0/f_min", 0.5), r"demands\[0\].f_min"),
    "fidelity above one": (change("demands/0/f_min", 1.01), r"demands\[0\].f_min"),
    "destination is source": (change("demands/0/dst", "a"), r"demands\[0\].dst"),
    "period zero": (change("tasks/0/period", 0), r"tasks\[0\].period"),
    "period not whole": (change("tasks/0/period", 4.0), r"tasks\[0\].period"),
    "exec above period": (change("tasks/0/exec_time", 5), r"tasks\[0\].exec_time"),
    "exec of nothing": (change("tasks/0/exec_time", 0), r"tasks\[0\].exec_time"),
    "overlap": (change("tasks/0/occupancy/a-C0", [[0, 2], [1, 3]]), r"occupancy.a-C0\[1\]"),
    "out of order": (change("tasks/0/occupancy/a-C0", [[2, 3], [0, 1]]), r"occupancy.a-C0\[1\]"),
    "beyond exec": (change("tasks/0/occupancy/a-C0", [[0, 4]]), r"occupancy.a-C0\[0\]\[1\]"),
    "before the start": (change("tasks/0/occupancy/a-C0", [[-1, 1]]), r"occupancy.a-C0\[0\]\[0\]"),
    "empty interval": (change("tasks/0/occupancy/a-C0", [[1, 1]]), r"occupancy.a-C0\[0\]\[1\]"),
    "interval of three": (change("tasks/0/occupancy/a-C0", [[0, 1, 2]]), r"occupancy.a-C0\[0\]"),
    "no qubit": (change("tasks/1/occupancy", {}), r"tasks\[1\].occupancy"),
    "unknown kind": (change("tasks/0/subtasks/0/kind", "teleport"), r"subtasks\[0\].kind"),
    "operation too long": (change("tasks/0/subtasks/0/duration", 4), r"subtasks\[0\].duration"),
    "parent out of range": (change("tasks/0/subtasks/1/parents", [2]), r"subtasks\[1\].parents\[0\]"),
    "locks another's qubit": (
        change("tasks/0/subtasks/0/locked_resources", ["z-C0"]),
        r"subtasks\[0\].locked_resources",
    ),
    "negative jitter": (change("tasks/0/max_jitter", -1), r"tasks\[0\].max_jitter"),
    "negative budget": (change("tasks/0/preemption_budget", -1), r"tasks\[0\].preemption_budget"),
    "hyperperiod that does not fit": (change("hyperperiod", 12), "hyperperiod"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_value_is_refused_with_file_and_key(case: str, tmp_path: Path) -> None:
    document = copy.deepcopy(GOOD)
    spoil, key = WRONG[case]
    spoil(document)
    with pytest.raises(InputError, match=rf"bad\.json: .*{key}") as caught:
        load_task_set(write(tmp_path / "bad.json", document))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        b"\x00\xff\xfe\x9c" * 40,
        b"",
        b"[]",
        b"[" * 5000,
        b'{"format": "qtaskset/1"',
        b'{"format": "qtaskset/1", "slot_seconds": NaN}',
        b'{"format": "qtaskset/1", "format": "qtaskset/1"}',
    ],
    ids=["binary", "empty", "a list", "deep", "cut off", "NaN", "key twice"],
)
def test_what_is_no_task_set_is_refused_by_name(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.json: "):
        load_task_set(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.json"):
        load_task_set(tmp_path / "none.json")


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    task_set = load_task_set(write(tmp_path / "pair.json", GOOD))
    with pytest.raises(InputError, match=r"nowhere.*cannot be written"):
        save_task_set(task_set, tmp_path / "nowhere" / "x.json")


def test_a_hyperperiod_that_overflows_names_the_period_and_offers_another() -> None:
    with pytest.raises(InputError, match=r"period 991 .* 512"):
        judge_hyperperiod([512, 991, 997, 983], "sets")
    with pytest.raises(InputError, match="instances"):
        judge_hyperperiod([1, 2**21], "sets")
