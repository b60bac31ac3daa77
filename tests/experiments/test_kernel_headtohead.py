"""The head to head: matching of captures, the order of runs, what is left out of medians."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from experiments.kernel_headtohead.capture import Records, match
from experiments.kernel_headtohead.grid import Cell, cells, default_scenarios, every_scenario, our_queues
from experiments.kernel_headtohead.runs import Store
from experiments.kernel_headtohead.summary import summarise


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
