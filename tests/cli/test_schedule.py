from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from qos.cli.root import main
from schedulers.entanglement.metrics import measure
from schedulers.entanglement.scheduler import SCHEDULERS
from schedulers.entanglement.tasks import PeriodicTask, Schedule, TaskSet
from schedulers.entanglement.taskset_files import load_task_set, save_task_set
from schedulers.entanglement.verify import violations

KEYS = {
    "schema", "scheduler", "mode", "objective", "status", "admitted", "starts", "throughput_ebit_per_s",
    "bound_ebit_per_s", "jitter_s2", "peak_to_peak_jitter_s", "jain", "seconds",
}  # fmt: skip


def task(task_id: int, period: int, exec_slots: int) -> PeriodicTask:
    stays = {"a-C0": ((0, exec_slots),)}
    return PeriodicTask(task_id, f"t{task_id}", "a", "b", 0.8, period, exec_slots, stays)


@pytest.fixture
def taskset(tmp_path: Path) -> Path:
    path = tmp_path / "set.json"
    save_task_set(TaskSet(0.01, (task(3, 8, 5), task(0, 4, 2), task(1, 8, 2), task(7, 8, 1))), path)
    return path


@pytest.fixture
def demands(tmp_path: Path) -> Path:
    path = tmp_path / "demands.yaml"
    path.write_text(
        "demands:\n"
        "  - {source: 0, destination: 2, rate_ebit_per_s: 3.125, min_fidelity: 0.65, max_jitter_s: 0}\n"
        "  - {src: '1', dst: '2', rate: 1.5625, f_min: 0.65}\n"
    )
    return path


def call(*words: object) -> int:
    with pytest.raises(SystemExit) as left:
        main(["schedule", *map(str, words)])
    return int(left.value.code or 0)


def answer(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, Any]:
    assert call(*words, "--json") == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def refusal(capsys: pytest.CaptureFixture[str], code: int, *words: object) -> str:
    assert call(*words) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("qos: ")
    assert err.count("\n") == 1
    return err


def judge(document: dict[str, Any], task_set: TaskSet) -> None:
    assert document.keys() >= KEYS
    assert document.keys() >= {"objective_value", "objective_bound", "gap"}
    assert document["schema"] == 1
    assert [str(task_id) for task_id in document["admitted"]] == list(document["starts"])
    starts = {int(task_id): tuple(one) for task_id, one in document["starts"].items()}
    schedule = Schedule(task_set.hyperperiod_slots, starts)
    assert violations(task_set, schedule) == []
    metrics = measure(task_set, schedule)
    assert document["throughput_ebit_per_s"] == pytest.approx(metrics.throughput_ebit_per_s)
    assert document["jitter_s2"] == pytest.approx(metrics.jitter_s2)
    assert document["jain"] == pytest.approx(metrics.jain)


def test_json_is_one_document_with_a_valid_schedule(
    capsys: pytest.CaptureFixture[str], taskset: Path
) -> None:
    document = answer(capsys, "--taskset", taskset)
    judge(document, load_task_set(taskset))
    assert (document["scheduler"], document["mode"], document["objective"]) == (
        "cpsat",
        "batch",
        "throughput",
    )
    assert document["status"] == "optimal"
    assert document["bound_ebit_per_s"] == pytest.approx(document["throughput_ebit_per_s"])
    assert document["throughput_ebit_per_s"] == pytest.approx(50.0)


@pytest.mark.parametrize("objective", ["fair", "count", "jitter", "makespan"])
@pytest.mark.parametrize("mode", ["batch", "dominate", "online"])
def test_every_objective_runs(
    capsys: pytest.CaptureFixture[str], taskset: Path, objective: str, mode: str
) -> None:
    words = (
        "--taskset",
        taskset,
        "--objective",
        objective,
        "--mode",
        mode,
        "--time-limit",
        5,
        "--workers",
        1,
    )
    document = answer(capsys, *words)
    judge(document, load_task_set(taskset))
    assert (document["mode"], document["objective"]) == (mode, objective)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_the_papers_schedulers_have_no_bound(
    capsys: pytest.CaptureFixture[str], taskset: Path, name: str
) -> None:
    document = answer(capsys, "--taskset", taskset, "--scheduler", name)
    assert (document["status"], document["bound_ebit_per_s"]) == ("heuristic", None)
    assert document["admitted"][0] == 3
    if not SCHEDULERS[name].preemptive:
        judge(document, load_task_set(taskset))
    else:
        instance = document["starts"]["3"][0]
        assert sum(length for _, length in instance) == 5


def test_a_table_names_every_demand(capsys: pytest.CaptureFixture[str], taskset: Path) -> None:
    assert call("--taskset", taskset) == 0
    out = capsys.readouterr().out
    assert out.count("admitted") == 3
    assert out.count("refused") == 1
    assert "optimal" in out


def test_a_topology_and_a_file_of_demands(capsys: pytest.CaptureFixture[str], demands: Path) -> None:
    document = answer(capsys, "star", "--demands", demands)
    assert document["admitted"] == [0, 1]
    assert len({start % 32 for start in document["starts"]["0"]}) == 1


def test_a_topology_with_demands_of_its_own(
    capsys: pytest.CaptureFixture[str], demands: Path, tmp_path: Path
) -> None:
    from topologies.files import load, save

    path = tmp_path / "net.yaml"
    save(load("star"), path)
    path.write_text(path.read_text() + demands.read_text())
    assert answer(capsys, path)["admitted"] == [0, 1]


def test_random_demands_follow_the_seed(capsys: pytest.CaptureFixture[str]) -> None:
    one, same, other = (answer(capsys, "star", "--random", 4, "--seed", seed) for seed in (1, 1, 2))
    assert one["starts"] == same["starts"]
    assert one["demands"] == other["demands"] == 4
    assert one["starts"] != other["starts"]


@pytest.mark.parametrize(("suffix", "magic"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")])
def test_plot_writes_a_chart(
    capsys: pytest.CaptureFixture[str], taskset: Path, tmp_path: Path, suffix: str, magic: bytes
) -> None:
    path = tmp_path / f"chart{suffix}"
    answer(capsys, "--taskset", taskset, "--plot", path)
    assert path.read_bytes().startswith(magic)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ((), "either a TOPOLOGY or --taskset"),
        (("star", "--taskset", "x.json"), "either a TOPOLOGY or --taskset"),
        (("--taskset", "x.json", "--random", "3"), "leave out --demands and --random"),
        (("star", "--random", "3", "--demands", "x"), "not both"),
        (("star",), "no section demands"),
        (("star", "--random", "3", "--scheduler", "edf"), "rcpsp-np-edf"),
        (("star", "--random", "3", "--scheduler", "pts-np-edf", "--mode", "online"), "leave out"),
        (("star", "--random", "3", "--plot", "chart.txt"), ".png"),
        (("star", "--random", "0"), "--random"),
        (("star", "--random", "3", "--time-limit", "0"), "--time-limit"),
        (("star", "--random", "3", "--time-limit", "nan"), "--time-limit"),
        (("star", "--random", "3", "--workers", "0"), "--workers"),
        (("star", "--random", "3", "--seed", "-1"), "--seed"),
        (("star", "--random", "3", "--objective", "speed"), "--objective"),
        (("star", "--random", "3", "--fidelity", "0.5"), "--fidelity"),
    ],
)
def test_flags_that_make_no_sense_are_refused(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], complaint: str
) -> None:
    assert complaint in refusal(capsys, 2, *words)


DEMAND = {"source": "0", "destination": "2", "rate_ebit_per_s": 3.125, "min_fidelity": 0.65}


@pytest.mark.parametrize(
    ("changes", "code", "complaint"),
    [
        ({"source": "9"}, 1, "'9'"),
        ({"destination": "0"}, 1, "'0'"),
        ({"min_fidelity": 0.5}, 1, "0.5"),
        ({"min_fidelity": 1.2}, 1, "1.2"),
        ({"min_fidelity": 0.99}, 3, "best reachable"),
        ({"rate_ebit_per_s": 50}, 3, "at most"),
        ({"rate_ebit_per_s": 1e6}, 3, "100 ebit/s"),
        ({"rate_ebit_per_s": 0}, 1, "more than 0"),
        ({"rate_ebit_per_s": "fast"}, 1, "demands[0].rate_ebit_per_s"),
        ({"min_fidelity": None}, 1, "demands[0].min_fidelity"),
        ({"source": True}, 1, "demands[0].source"),
        ({"colour": 1}, 1, "demands[0].colour"),
        ({"pairs": 1.5}, 1, "demands[0].pairs"),
        ({"max_jitter_s": -1}, 1, "max_jitter_s"),
        ({"probability": 2}, 1, "probability"),
        ({"weight": -1}, 1, "weight"),
        ({"weight": "much"}, 1, "demands[0].weight"),
    ],
)
def test_demands_that_cannot_be_are_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, changes: dict[str, object], code: int, complaint: str
) -> None:
    path = tmp_path / "demands.json"
    path.write_text(json.dumps({"demands": [DEMAND | changes]}))
    err = refusal(capsys, code, "star", "--demands", path)
    assert complaint in err
    assert f"{path}: demands[0]" in err


def test_weights_in_a_file_of_demands_turn_the_choice(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The star's repeater has no room for two demands of 6.25 ebit/s."""
    path = tmp_path / "demands.json"
    plain = DEMAND | {"rate_ebit_per_s": 6.25}
    for chosen in (0, 1):
        weighted = [plain | {"weight": 3}] if chosen == 0 else [plain, plain | {"weight": 3}]
        path.write_text(json.dumps([*weighted, *[plain] * (2 - len(weighted))]))
        document = answer(capsys, "star", "--demands", path)
        assert document["admitted"] == [chosen]
        assert document["objective_value"] == pytest.approx(3 * 6.25)
        assert (document["status"], document["gap"]) == ("optimal", 0)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "demands"),
        ("demands: []", "one demand or more"),
        ("demands: 3", "one demand or more"),
        ("other: 1", "demands: is missing"),
        ("- 7", "demands[0]"),
        ("- {src: a, source: b}", "given twice"),
        ("- {src: a}", "demands[0].destination: is missing"),
        ("[", "demands.yaml"),
    ],
)
def test_a_file_that_is_no_list_of_demands_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str, complaint: str
) -> None:
    path = tmp_path / "demands.yaml"
    path.write_text(text)
    assert complaint in refusal(capsys, 1, "star", "--demands", path)


def test_no_path_is_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    net = tmp_path / "net.yaml"
    kind = "kind: quantum-end"
    net.write_text(
        f"schema: 1\nnodes:\n  - {{id: '0', {kind}}}\n  - {{id: '2', {kind}}}\n  - {{id: '5', {kind}}}\n"
        "links:\n  - {ends: ['0', '5'], kind: quantum, length_m: 5000, table: nv-delft-2019}\n"
    )
    path = tmp_path / "demands.json"
    path.write_text(json.dumps([DEMAND]))
    err = refusal(capsys, 3, net, "--demands", path)
    assert "no path of quantum links" in err
    assert "'0' and '2'" in err


def test_periods_that_repeat_too_late_are_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    rates = [1 / (0.01 * period) for period in (31, 37, 41, 43, 47)]
    path = tmp_path / "demands.json"
    path.write_text(json.dumps([DEMAND | {"rate_ebit_per_s": rate} for rate in rates]))
    err = refusal(capsys, 1, "star", "--demands", path)
    assert "31, 37, 41, 43, 47" in err
    assert "powers of two" in err


def test_a_malformed_task_set_is_named_by_file_and_key(
    capsys: pytest.CaptureFixture[str], taskset: Path
) -> None:
    document = json.loads(taskset.read_text())
    document["tasks"][1]["period"] = 0
    taskset.write_text(json.dumps(document))
    err = refusal(capsys, 1, "--taskset", taskset)
    assert str(taskset) in err
    assert "tasks[1].period" in err


def test_unknown_topologies_and_missing_files_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert "nowhere" in refusal(capsys, 1, "nowhere", "--random", 2)
    assert "missing.json" in refusal(capsys, 1, "--taskset", "missing.json")


def test_zero_jitter_that_cannot_be_is_infeasible(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "set.json"
    save_task_set(TaskSet(0.01, (task(0, 3, 2), task(1, 12, 2))), path)
    document = answer(capsys, "--taskset", path, "--scheduler", "rcpsp-np-edf")
    assert document["admitted"] == [0, 1]
    words = ("--taskset", path, "--objective", "zero-jitter", "--mode", "dominate")
    assert "proven" in refusal(capsys, 3, *words)


@pytest.mark.slow
def test_an_interrupt_prints_the_incumbent(shared_data: Path, installed_environment: dict[str, str]) -> None:
    path = shared_data / "entanglement" / "tasksets" / "symm_F0.65_L60.0_s1.json"
    words = [sys.executable, "-m", "qos", "schedule", "--taskset", str(path), "--time-limit", "100", "--json"]
    words += ["--objective", "fair"]  # which stays open longer than that
    child = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=installed_environment
    )
    time.sleep(float(os.environ.get("QOS_TEST_PATIENCE", "12")))
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 0, err
    document = json.loads(out)
    assert document["interrupted"]
    judge(document, load_task_set(path))
