"""`qos schedule` beyond the plain schedule: paths, hardware, replay, failures, requests, export, reasons."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from schedulers.entanglement.export import JSON_SCHEMA
from schedulers.entanglement.tasks import Schedule, TaskSet
from schedulers.entanglement.taskset_files import load_task_set, save_task_set
from schedulers.entanglement.verify import violations
from tests.cli.test_schedule import answer, call, refusal, task

END = "kind: quantum-end, communication_qubits: 1, storage_qubits: 3"
REPEATER = "kind: quantum-repeater, communication_qubits: 1, storage_qubits: 3"
POINT = "capabilities: [{fidelity: 0.95, rate_per_s: 20.0}]"


@pytest.fixture
def diamond(tmp_path: Path) -> Path:
    """Two pairs of end nodes, a near and a far repeater: the near one has room for one pair only."""
    lines = ["schema: 1", "name: diamond", "nodes:"]
    lines += [f"- {{id: {name}, {END}}}" for name in "abcd"]
    lines += [f"- {{id: {name}, {REPEATER}}}" for name in ("near", "far")]
    lines += ["links:"]
    lines += [
        f"- {{kind: quantum, ends: [{end}, {middle}], length_m: {length}, id: {end}--{middle}, {POINT}}}"
        for middle, length in (("near", 5000), ("far", 9000))
        for end in "abcd"
    ]
    lines += ["demands:"]
    rate = 100 / 14
    lines += [
        f"- {{source: {source}, destination: {destination}, rate_ebit_per_s: {rate}, min_fidelity: 0.8}}"
        for source, destination in ("ac", "bd")
    ]
    path = tmp_path / "diamond.yaml"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def star_demands(tmp_path: Path) -> Path:
    return written(
        tmp_path / "demands.yaml",
        "- {source: 0, destination: 1, rate_ebit_per_s: 6.25, min_fidelity: 0.65}",
        "- {source: 1, destination: 2, rate_ebit_per_s: 1.5625, min_fidelity: 0.65}",
    )


def written(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def test_paths_admit_a_demand_that_the_shortest_cannot(
    capsys: pytest.CaptureFixture[str], diamond: Path
) -> None:
    one = answer(capsys, diamond)
    assert len(one["admitted"]) == 1
    two = answer(capsys, diamond, "--paths", 2)
    assert two["admitted"] == [0, 1]
    assert sorted(path[1] for path in two["paths"].values()) == ["far", "near"]
    assert two["status"] == "optimal"
    assert call(diamond, "--paths", 2) == 0
    out = capsys.readouterr().out
    assert "a far c" in out or "b far d" in out


def test_a_failed_repeater_is_gone_around(capsys: pytest.CaptureFixture[str], diamond: Path) -> None:
    document = answer(capsys, diamond, "--paths", 2, "--fail", "near")
    repair = document["repair"]
    assert repair["failed"] == ["near"]
    assert len(repair["kept"]) == 1
    assert repair["dropped"] == [id_ for id_ in (0, 1) if id_ not in repair["kept"]]
    assert repair["throughput_ebit_per_s"] == pytest.approx(100 / 14)
    single = answer(capsys, diamond, "--fail", "near")["repair"]
    assert single["rerouted"] == [0]
    assert call(diamond, "--fail", "a--near", "--fail", "b--near") == 0
    assert "on another path: 0" in capsys.readouterr().out


def test_a_failed_qubit_is_left(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    demand = "- {source: 0, destination: 1, rate_ebit_per_s: 6.25, min_fidelity: 0.65}"
    demands = written(tmp_path / "one.yaml", demand)
    repair = answer(capsys, "star", "--demands", demands, "--fail", "3-S0")["repair"]
    assert repair["rerouted"] == [0]
    lost = answer(capsys, "star", "--demands", demands, "--fail", "3-C0")["repair"]
    assert (lost["dropped"], lost["throughput_ebit_per_s"]) == ([0], 0)


def test_what_fails_must_be_there(capsys: pytest.CaptureFixture[str], diamond: Path, tmp_path: Path) -> None:
    assert "no such node, link or qubit" in refusal(capsys, 2, diamond, "--fail", "middle")
    path = tmp_path / "set.json"
    save_task_set(TaskSet(0.01, (task(0, 8, 2),)), path)
    assert "'b--z'" in refused(capsys, 2, "--taskset", path, "--fail", "b--z")
    document = answer(capsys, "--taskset", path, "--fail", "a")
    assert document["repair"]["dropped"] == [0]


def refused(capsys: pytest.CaptureFixture[str], code: int, *words: object) -> str:
    """With `--json` nothing is printed before the work is done."""
    return refusal(capsys, code, *words, "--json")


def test_a_replay_says_what_is_delivered(capsys: pytest.CaptureFixture[str], star_demands: Path) -> None:
    words = ("star", "--demands", star_demands, "--replay", 300, "--seed", 4)
    one, same = (answer(capsys, *words)["replay"] for _ in range(2))
    assert one == same
    assert one["rounds"] == 300
    assert one["promised_ebit_per_s"] == pytest.approx(7.8125)
    # Three operations at their mean times: two links of 1 - 1/e or a little more, rounded up to slots.
    for row in one["tasks"]:
        assert row["completion"]["low"] <= row["completion"]["mean"] <= row["completion"]["high"]
        assert 0.35 < row["completion"]["mean"] < 0.5
        assert row["fidelity"]["mean"] >= row["min_fidelity"]
    assert call(*words) == 0
    assert "of 7.812 ebit/s delivered" in capsys.readouterr().out


def test_a_probability_asked_for_is_delivered_under_given_hardware(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    hardware = written(
        tmp_path / "hw.yaml", "memory: {t1_s: 10, t2_s: 2}", "swap_success: 0.95", "attempt_s: 0.002"
    )
    demands = written(
        tmp_path / "d.yaml",
        "- {source: 0, destination: 2, rate_ebit_per_s: 0.78125, min_fidelity: 0.65, probability: 0.9}",
    )
    words = ("star", "--demands", demands, "--hardware", hardware, "--replay", 4000)
    (row,) = answer(capsys, *words)["replay"]["tasks"]
    assert row["completion"]["high"] >= 0.9
    assert row["fidelity"]["high"] >= 0.65
    plain = answer(capsys, "star", "--demands", demands)
    assert plain["admitted"] == [0]


def test_memories_too_short_are_said(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, star_demands: Path
) -> None:
    hardware = written(tmp_path / "hw.yaml", "memories: {'3': {t1_s: 0.01, t2_s: 0.01}}")
    err = refused(capsys, 3, "star", "--demands", star_demands, "--hardware", hardware)
    assert "no pair of fidelity above 0.5" in err
    assert "decoherence" in err


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("swap_success: 1.5", "swap_success"),
        ("memory: {t1_s: 1, t2_s: 3}", "hw.yaml: memory: t2_s"),
        ("memory: {t1: 1}", "memory.t1: unknown key"),
        ("memories: 3", "memories: expected an object"),
        ("memories: {a: {t2_s: x}}", "memories.a.t2_s: expected a number"),
        ("slot_s: 0", "slot_s"),
        ("colour: red", "colour: unknown key"),
        ("bell_diagonal: 1", "bell_diagonal: expected true or false"),
        ("link: {scheme: triple-click}", "link: scheme"),
        ("link: {bright_states: 0.1}", "link.bright_states: expected a list"),
        ("- 1", "expected an object"),
        ("[", "hw.yaml"),
    ],
)
def test_hardware_that_cannot_be_is_refused_with_file_and_key(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, star_demands: Path, text: str, complaint: str
) -> None:
    hardware = written(tmp_path / "hw.yaml", text)
    err = refused(capsys, 1, "star", "--demands", star_demands, "--hardware", hardware)
    assert complaint in err
    assert "hw.yaml" in err


def test_requests_are_served_beside_the_schedule(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, star_demands: Path
) -> None:
    requests = written(
        tmp_path / "r.yaml",
        "policy: {max_attempts: 2, skip_distance: {0: 3}, instance_value: {0: 0.5}}",
        "requests:",
        "  - {source: 0, destination: 2, min_fidelity: 0.65, arrival_s: 0.1, deadline_s: 1, value: 2}",
        "  - {source: 0, destination: 2, min_fidelity: 0.65, arrival_s: 0.1, deadline_s: 0.22}",
    )
    words = ("star", "--demands", star_demands, "--requests", requests)
    found = answer(capsys, *words)["requests"]
    assert [one["id"] for one in found["outcomes"]] == [0, 1]
    first = found["outcomes"][0]
    assert first["status"] == "delivered"
    assert 0.1 < first["delivered_at_s"] <= 1
    assert call(*words) == 0
    assert "delivered" in capsys.readouterr().out


REQUEST = "source: 0, destination: 2, min_fidelity: 0.65, arrival_s: 0.1"


@pytest.mark.parametrize(
    ("text", "code", "complaint"),
    [
        ("requests: []", 1, "one request or more"),
        (f"requests: [{{{REQUEST}}}]", 1, "requests[0].deadline_s: is missing"),
        (f"requests: [{{{REQUEST}, deadline_s: 0.1}}]", 1, "requests[0].deadline_s"),
        (f"requests: [{{{REQUEST}, deadline_s: 1, value: -1}}]", 2, "requests[0]: request 0: value"),
        (f"requests: [{{{REQUEST}, deadline_s: 1, colour: 1}}]", 1, "requests[0].colour"),
        (f"requests: [{{{REQUEST}, deadline_s: 0.15}}]", 3, "requests[0]: "),
        ("requests: [{source: 9, destination: 2, min_fidelity: 0.6, arrival_s: 0, deadline_s: 9}]", 2, "'9'"),
        (f"policy: {{max_attempts: 0}}\nrequests: [{{{REQUEST}, deadline_s: 1}}]", 1, "policy: max_attempts"),
        (
            f"policy: {{skip_distance: 3}}\nrequests: [{{{REQUEST}, deadline_s: 1}}]",
            1,
            "policy.skip_distance",
        ),
        (
            f"policy: {{skip_distance: {{x: 3}}}}\nrequests: [{{{REQUEST}, deadline_s: 1}}]",
            1,
            "skip_distance.x",
        ),
        (
            f"policy: {{skip_distance: {{9999999999: 3}}}}\nrequests: [{{{REQUEST}, deadline_s: 1}}]",
            1,
            "policy.skip_distance.9999999999: expected the position of a demand",
        ),
    ],
)
def test_requests_that_cannot_be_are_refused(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    star_demands: Path,
    text: str,
    code: int,
    complaint: str,
) -> None:
    requests = written(tmp_path / "r.yaml", text)
    words = ("star", "--demands", star_demands, "--requests", requests)
    assert complaint in refused(capsys, code, *words)


def test_export_writes_what_the_nodes_need(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, star_demands: Path
) -> None:
    folder = tmp_path / "nodes and more"
    document = answer(capsys, "star", "--demands", star_demands, "--export", folder)
    assert {Path(path).name for path in document["export"]} >= {
        "schedule.json", "schedule.schema.json", "taskset.json", "starts.json", "3.csv",
    }  # fmt: skip
    rows = list(csv.DictReader((folder / "nodes" / "3.csv").read_text().splitlines()))
    assert {row["node"] for row in rows} == {"3"}
    assert {row["kind"] for row in rows} == {"link", "swap"}
    assert json.loads((folder / "schedule.schema.json").read_text()) == JSON_SCHEMA
    tasks = load_task_set(folder / "taskset.json")
    starts = {int(i): tuple(s) for i, s in json.loads((folder / "starts.json").read_text())["starts"].items()}
    assert violations(tasks, Schedule(tasks.hyperperiod_slots, starts)) == []
    network = json.loads((folder / "sequence-network.json").read_text())
    assert [node["name"] for node in network["nodes"]] == ["0", "1", "2", "3"]
    assert {frozenset((c["node1"], c["node2"])) for c in network["qconnections"]} == {
        frozenset(pair) for pair in ("30", "31", "32")
    }


def test_export_of_the_chosen_paths_and_into_a_file_that_is_in_the_way(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, diamond: Path
) -> None:
    answer(capsys, diamond, "--paths", 2, "--export", tmp_path / "out")
    assert (tmp_path / "out" / "nodes" / "far.csv").exists()
    written(tmp_path / "nodes", "in the way")
    assert "cannot be written" in refused(capsys, 1, diamond, "--export", tmp_path)


def test_a_task_set_without_operations_cannot_be_replayed_or_exported(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "set.json"
    save_task_set(TaskSet(0.01, (task(0, 8, 2),)), path)
    assert "operations" in refused(capsys, 2, "--taskset", path, "--replay", 5)
    assert "operations" in refused(capsys, 1, "--taskset", path, "--export", tmp_path / "out")


def test_reasons_and_changes_are_given_and_hold(capsys: pytest.CaptureFixture[str], diamond: Path) -> None:
    path = diamond.parent / "demands.json"
    demands = [
        {"source": source, "destination": destination, "rate_ebit_per_s": rate, "min_fidelity": 0.8}
        for source, destination, rate in (("a", "c", 100 / 32), ("b", "d", 100 / 12))
    ]
    path.write_text(json.dumps(demands))
    words = (diamond, "--demands", path, "--mode", "online", "--why")
    (rejected,) = answer(capsys, *words)["rejected"]
    assert rejected["id"] == 1
    assert "of qubit near-" in rejected["reason"]
    (change,) = [one for one in rejected["changes"] if one["field"] == "rate_ebit_per_s"]
    assert change["possible"] == pytest.approx(100 / 32)
    assert call(*words) == 0
    assert "would be served with at most 3.125 ebit/s" in capsys.readouterr().out
    demands[1]["rate_ebit_per_s"] = change["possible"]
    path.write_text(json.dumps(demands))
    assert answer(capsys, *words)["admitted"] == [0, 1]


def test_keep_going_leaves_out_what_nothing_serves(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    demands: list[dict[str, Any]] = [
        {"source": "0", "destination": "2", "rate_ebit_per_s": 3.125, "min_fidelity": 0.65},
        {"source": "0", "destination": "9", "rate_ebit_per_s": 3.125, "min_fidelity": 0.65},
        {"source": "0", "destination": "1", "rate_ebit_per_s": 3.125, "min_fidelity": 0.99},
    ]
    path = tmp_path / "demands.json"
    path.write_text(json.dumps(demands))
    document = answer(capsys, "star", "--demands", path, "--keep-going")
    assert document["admitted"] == [0]
    assert document["demands"] == 3
    assert [one["id"] for one in document["rejected"]] == [1, 2]
    assert "best reachable" in document["rejected"][1]["reason"]


def test_secret_keys_and_error_rates_are_demands(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    demands = written(
        tmp_path / "d.yaml",
        "- {source: 0, destination: 2, rate_ebit_per_s: 0.5, max_qber: 0.1}",
        "- {source: 0, destination: 1, key_bit_per_s: 0.02}",
        "- {source: 1, destination: 2, key_bit_per_s: 0.02, key_protocol: bb84, min_fidelity: 0.85}",
        "- {source: 1, destination: 2, rate_ebit_per_s: 0.25, min_fidelity: 0.65, pairs: 2, window_s: 1}",
    )
    document = answer(capsys, "star", "--demands", demands, "--rounding", "power-of-two")
    assert document["demands"] == 4
    assert {0, 3} <= set(document["admitted"])
    assert call("star", "--demands", demands, "--rounding", "power-of-two") == 0
    out = capsys.readouterr().out
    assert "0.85" in out
    assert "0.87" in out


@pytest.mark.parametrize(
    ("figures", "code", "complaint"),
    [
        ("rate: 1, max_qber: 0.5", 1, "demands[0].max_qber: QBER 0.5"),
        ("rate: 1, max_qber: 0.1, min_fidelity: 0.9", 1, "demands[0].max_qber: min_fidelity is given too"),
        ("rate: 1", 1, "demands[0].min_fidelity: is missing"),
        ("key_bit_per_s: 1, rate: 1", 1, "demands[0].key_bit_per_s: rate_ebit_per_s is given too"),
        ("key_bit_per_s: 100", 3, "at most"),
        ("key_bit_per_s: -1", 2, "more than 0"),
        ("key_bit_per_s: 1, min_fidelity: 0.7", 2, "leave no bb84 key"),
        ("key_bit_per_s: 1, key_protocol: b92", 1, "demands[0].key_protocol"),
        ("rate: 1, min_fidelity: 0.7, key_protocol: e91", 1, "belongs to key_bit_per_s"),
    ],
)
def test_key_demands_that_cannot_be_are_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, figures: str, code: int, complaint: str
) -> None:
    demands = written(tmp_path / "d.yaml", f"- {{source: 0, destination: 2, {figures}}}")
    assert complaint in refused(capsys, code, "star", "--demands", demands)


def test_rounding_helps_where_periods_repeat_too_late(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    rates = [1 / (0.01 * period) for period in (131, 137, 139, 149)]
    demands = [
        {"source": "0", "destination": "2", "rate_ebit_per_s": rate, "min_fidelity": 0.65} for rate in rates
    ]
    path = tmp_path / "demands.json"
    path.write_text(json.dumps(demands))
    err = refused(capsys, 1, "star", "--demands", path)
    assert "131, 137, 139, 149" in err
    assert "power-of-two" in err
    document = answer(capsys, "star", "--demands", path, "--rounding", "power-of-two")
    assert document["hyperperiod_slots"] == 128


def test_a_budget_is_one_for_all_and_kept(capsys: pytest.CaptureFixture[str], star_demands: Path) -> None:
    words = ("star", "--demands", star_demands, "--scheduler", "rcpsp-pb")
    none = answer(capsys, *words, "--budget", "1us")
    assert all(len(instance) == 1 for task in none["starts"].values() for instance in task)
    assert answer(capsys, *words, "--budget", "1s")["admitted"] == [0, 1]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("star", "--random", "3", "--budget", "1s"), "--budget is for"),
        (("star", "--random", "3", "--budget", "1s", "--scheduler", "rcpsp-np-edf"), "no preemption budget"),
        (("star", "--random", "3", "--budget", "soon", "--scheduler", "rcpsp-pb"), "--budget"),
        (("star", "--random", "3", "--paths", "0"), "--paths"),
        (("star", "--random", "3", "--paths", "2", "--scheduler", "rcpsp-pb"), "chooses no paths"),
        (("star", "--random", "3", "--replay", "0"), "--replay"),
        (("--taskset", "x.json", "--paths", "2"), "--paths needs a TOPOLOGY"),
        (("--taskset", "x.json", "--why"), "--why needs a TOPOLOGY"),
        (("--taskset", "x.json", "--requests", "r.yaml"), "--requests needs a TOPOLOGY"),
        (("--taskset", "x.json", "--hardware", "h.yaml"), "--hardware needs a TOPOLOGY"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], complaint: str
) -> None:
    assert complaint in refusal(capsys, 2, *words)
