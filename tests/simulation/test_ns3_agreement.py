"""Agreement with ns-3.44: one bulk flow, classic recovery, on the reference grid and on one of our own.

The bounds are those of the project: throughput within 2 %, mean queue within 10 % or one packet. Measured
when this was written: 46 of the 48 rows; the other two are PIE rows, of which the grid holds one draw.
`data/ns3_more.csv` was made with `experiments/ns3_reference.py --grid`: other rates, delays and limits.
"""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from experiments.simulator_vs_ns3 import Row, compare, read_grid

OTHER_ROWS = Path(__file__).with_name("data") / "ns3_more.csv"


@pytest.fixture(scope="module")
def rows(shared_data: Path) -> list[Row]:
    return [
        compare(row)
        for row in read_grid(shared_data / "lfq" / "ns3_grid.csv")
        if row["recovery"] == "classic" and row["cc"] in ("NewReno", "Cubic") and is_wanted(row)
    ]


def is_wanted(row: dict[str, str]) -> bool:
    return row["qdisc"] in ("Fifo", "CoDel", "FqCoDel", "Pie", "Cobalt")


def test_nine_rows_of_ten_agree(rows: list[Row]) -> None:
    assert len(rows) == 48
    assert sum(row.agrees for row in rows) >= 0.95 * len(rows)


def test_rows_without_random_draws_agree_to_a_percent(rows: list[Row]) -> None:
    for row in rows:
        if row.discipline != "Pie":
            assert row.throughput_mbit == pytest.approx(row.reference_throughput_mbit, rel=0.005), row
            assert row.mean_packets == pytest.approx(row.reference_mean_packets, rel=0.01), row


def test_nine_of_ten_rows_at_other_rates_delays_and_limits_agree() -> None:
    rows = [compare(row) for row in read_grid(OTHER_ROWS) if is_wanted(row)]
    assert len(rows) > 240
    assert sum(row.agrees for row in rows) >= 0.9 * len(rows)


def test_the_grid_is_read_whole(shared_data: Path) -> None:
    path = shared_data / "lfq" / "ns3_grid.csv"
    with path.open() as file:
        assert len(read_grid(path)) == sum(1 for _ in csv.reader(file)) - 1
