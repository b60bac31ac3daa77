"""The benchmark of the entanglement schedulers: its labels, its made task sets, its verdicts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from experiments.bench_entanglement import growth, made_task_set, main, recorded_scheduler, summary
from schedulers.entanglement.scheduler import SCHEDULERS
from schedulers.entanglement.taskset_files import save_task_set


@pytest.mark.parametrize(
    ("label", "name", "budget"),
    [
        ("RCPSP-NP-EDF", "rcpsp-np-edf", None),
        ("PTS-PB-0.1s", "pts-pb", 10),
        ("RCPSP-PBS-1s", "rcpsp-pbs", 100),
        ("RCPSP-PB-0.01s", "rcpsp-pb", 1),
    ],
)
def test_recorded_labels_name_scheduler_and_budget(label: str, name: str, budget: int | None) -> None:
    found = recorded_scheduler(label)
    assert (found.name, found.budget_slots) == (name, budget)


def test_made_sets_repeat_with_their_seed() -> None:
    assert made_task_set(20, 3) == made_task_set(20, 3)
    assert made_task_set(20, 3) != made_task_set(20, 4)


def test_growth_times_every_scheduler() -> None:
    rows = growth([5, 10], seed=1)
    assert {row["scheduler"] for row in rows} == set(SCHEDULERS)
    assert all(float(str(row["cpu_s"])) > 0 for row in rows)


def test_what_is_slower_than_its_target_or_admits_others_is_named() -> None:
    row = {
        "task_set": "surfnet_x",
        "scheduler": "A",
        "factor": 2.0,
        "within_target": False,
        "same_admitted": False,
    }
    assert summary([row])["misses"] == ["surfnet_x A"]
    assert summary([row])["other_admissions"] == ["surfnet_x A"]
    assert summary([])["smallest_factor"] is None


def test_a_folder_of_recorded_results_is_compared(tmp_path: Path) -> None:
    for name in ("tasksets", "baseline"):
        (tmp_path / name).mkdir()
    save_task_set(made_task_set(6, 1), tmp_path / "tasksets" / "ring.json")
    result = {"schedulers": {"RCPSP-NP-FPR": {"seconds": 10.0, "satisfied_ids": [0]}}}
    (tmp_path / "baseline" / "ring.json").write_text(json.dumps(result))
    done = CliRunner().invoke(main, ["--json", "--quick", "--data", str(tmp_path)])
    assert done.exit_code == 0
    document = json.loads(done.stdout)
    assert document["schema"] == 1
    assert document["recorded"][0]["scheduler"] == "RCPSP-NP-FPR"
    assert document["summary"]["misses"] == []
