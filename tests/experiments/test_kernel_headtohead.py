"""The head to head: matching of captures, the order of runs, what is left out of medians."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from experiments import kernel_agreement
from experiments.entry import weights_sha256
from experiments.kernel_agreement import PATHS, TRAFFIC, Comparison, Figures, chosen_rows, queues_for
from experiments.kernel_headtohead import __main__ as command
from experiments.kernel_headtohead.capture import Records, match
from experiments.kernel_headtohead.goals import judge, table
from experiments.kernel_headtohead.grid import (
    Cell,
    Scenario,
    cells,
    default_scenarios,
    every_scenario,
    our_queues,
)
from experiments.kernel_headtohead.runs import Store
from experiments.kernel_headtohead.summary import Line, summarise
from experiments.rig import RigMissingError


def records(rows: list[tuple[int, int, int]]) -> Records:
    """Rows of time in ns, port, identification."""
    table = np.array(rows, np.int64).reshape(-1, 3)
    return Records(table[:, 0], np.full(len(rows), 1514), table[:, 1], np.full(len(rows), 9), table[:, 2])


def test_each_packet_that_left_is_matched_with_the_latest_of_its_name_that_came_before() -> None:
    before = records([(1_000, 20_000, 7), (2_000, 20_001, 7), (50_000, 20_000, 7), (60_000, 20_000, 8)])
    behind = records([(9_000, 20_001, 7), (11_000, 20_000, 7), (58_000, 20_000, 7)])
    passage = match(before, behind)
    assert passage.waited_s == pytest.approx([7e-6, 10e-6, 8e-6])
    assert passage.lost_ns.tolist() == [60_000]


def test_an_empty_capture_gives_an_empty_passage() -> None:
    assert len(match(records([]), records([])).waited_s) == 0


def test_the_default_is_twelve_of_the_grid_and_order_repeats_with_its_seed() -> None:
    assert len(default_scenarios()) == 12
    assert len(every_scenario()) == 39
    first, again, other = (cells(default_scenarios(), ["fq", "cake"], 2, seed) for seed in (1, 1, 2))
    assert first == again != other
    assert sorted(cell.name for cell in first) == sorted(cell.name for cell in other)
    assert "sawtooth" in our_queues()


def test_a_cell_survives_its_document() -> None:
    cell = Cell(every_scenario()[3], "cake", 2, 1.0, 3.0)
    assert Cell.from_json(cell.to_json()) == cell


def test_a_line_cut_short_and_a_failed_run_are_run_again(tmp_path: Path) -> None:
    store = Store(tmp_path / "runs")
    store.add('{"name": "a/b/0"}\n{"name": "a/b/1", "failed": "x"}\n{"name": "a/b')
    assert [row["name"] for row in store.rows()] == ["a/b/0"]


def test_runs_whose_captures_missed_a_packet_are_counted_and_left_out() -> None:
    row = {"captures_missed": 0, "jain": 1.0}
    rows = [row | {"name": "s/q/0"}, row | {"name": "s/q/1", "captures_missed": 3, "jain": 0.1}]
    (line,) = summarise(rows, 1)
    assert (line.runs, line.torn, line.median("jain")) == (1, 1, 1.0)


def line(scenario: str, queue: str, **medians: float) -> Line:
    return Line(scenario, queue, 5, 0, {name: (value, value, value) for name, value in medians.items()})


def scenario_lines(name: str, goodput: float, mean: float, jain: float) -> list[Line]:
    theirs = {"bulk_mean_s": 10.0, "bulk_p99_s": 20.0, "jain": 1.0, "voice_p99_s": 1.0}
    ours = {"bulk_mean_s": mean, "bulk_p99_s": 8.0, "jain": jain, "voice_p99_s": 0.5}
    return [
        line(name, "fq_codel", goodput_bps=90.0, **theirs),
        line(name, "cake", goodput_bps=100.0, **theirs),
        line(name, "lfq:balanced", goodput_bps=goodput, voice_mean_s=2e-3, **ours),
    ]


def test_goals_are_medians_over_scenarios_or_the_worst_of_them() -> None:
    lines = scenario_lines("a", 99.5, 5.0, 1.0) + scenario_lines("b", 80.0, 9.0, 0.9)
    lines += scenario_lines("c-rtts16", 99.2, 6.0, 1.0)
    found = {row.goal.name.split(" ")[0]: row for row in judge(lines)}
    assert (found["goodput"].value, found["goodput"].is_reached) == (pytest.approx(0.992), True)
    delays = [row.value for row in judge(lines) if row.goal.name.startswith("bulk")]
    assert delays == pytest.approx([0.4, 0.6])
    assert (found["Jain's"].value, found["Jain's"].is_reached, found["Jain's"].worst) == (0.9, False, "b")
    assert (found["64"].value, found["64"].scenarios) == (pytest.approx(2.0), 1)
    assert "MISSED; b 0.900" in table(judge(lines))


def test_scenarios_that_fq_codel_or_cake_have_not_run_are_not_judged() -> None:
    assert judge(scenario_lines("a", 1.0, 1.0, 1.0)[1:]) == []


def test_runs_of_two_kernels_are_not_mixed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "runs.jsonl").write_text('{"name": "a/b/0", "where": "here"}\n')
    monkeypatch.setattr(command, "lacks_here", lambda: "cake")
    done = CliRunner().invoke(command.main, ["--on", "rig", "--out", str(tmp_path)])
    assert done.exit_code == 2
    assert "holds runs of another kernel" in done.output
    done = CliRunner().invoke(command.main, ["--on", "here", "--out", str(tmp_path)])
    assert done.exit_code == 1
    assert "this host's kernel lacks: cake" in done.output


@pytest.mark.parametrize("weights", ['"weights_sha256": "0123", ', ""], ids=["others", "unknown"])
def test_runs_of_two_weights_are_not_mixed(tmp_path: Path, weights: str) -> None:
    (tmp_path / "runs.jsonl").write_text(f'{{"name": "a/lfq:balanced/0", {weights}"where": "rig"}}\n')
    for main, words in ((command.main, ["--on", "rig"]), (kernel_agreement.main, [])):
        done = CliRunner().invoke(main, [*words, "--out", str(tmp_path)])
        assert done.exit_code == 2
        assert "holds runs of lfq with other weights, or of unknown ones; name another folder" in done.output


def test_runs_of_the_same_weights_are_taken_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"name": "a/lfq:balanced/0", "weights_sha256": weights_sha256(), "where": "rig"}
    others = {"name": "a/fq_codel/0", "where": "rig"}
    (tmp_path / "runs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in (row, others)))

    def missing() -> None:
        raise RigMissingError("as far as this")

    monkeypatch.setattr(command, "prepare", missing)
    done = CliRunner().invoke(command.main, ["--on", "rig", "--out", str(tmp_path)])
    assert (done.exit_code, "as far as this" in done.output) == (command.MISSING, True)


def test_simulator_and_kernel_agree_within_three_and_twenty_percent() -> None:
    scenario = Scenario(10, 20, "reno1")
    kernel = Figures(10e6, 0.01, 1.0)
    assert Comparison(scenario, "fq_codel", kernel, Figures(9.75e6, 0.0119, 1.0)).agrees
    assert not Comparison(scenario, "fq_codel", kernel, Figures(9.6e6, 0.01, 1.0)).agrees
    assert not Comparison(scenario, "fq_codel", kernel, Figures(10e6, 0.0125, 1.0)).agrees
    assert queues_for(scenario) == ["fixed:12112b", "fixed:49962b", "fq_codel", "lfq:balanced"]


def test_rows_of_the_agreement_are_chosen_by_traffic_path_and_queue() -> None:
    everything = chosen_rows((), (), ())
    assert {scenario.name for scenario, _ in everything} == {
        Scenario(*place, kind).name for place in PATHS for kind in TRAFFIC
    }
    one = chosen_rows(("bbr1",), ((25, 40),), ("fq_codel",))
    assert [(scenario.name, name) for scenario, name in one] == [("25mbit-40ms-bbr1", "fq_codel")]
    assert chosen_rows((), (), ("fq_kodel",)) == []


@pytest.mark.parametrize("word", ["25", "25:", "0:20", "25:501", "25:40:1", "1.5:20"])
def test_what_is_no_path_is_refused(word: str) -> None:
    result = CliRunner().invoke(kernel_agreement.main, ["--path", word])
    assert result.exit_code == 2
    assert "is not RATE:RTT" in result.output
