"""The Bayesian policies on the reference trace: what they reach of the bounds, on a part of its users."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qos.crosslayer.adaptation.bounds import clairvoyant, genie
from qos.crosslayer.adaptation.modetable import ModeTable, load_mode_table
from qos.crosslayer.adaptation.ontime import TrafficCase
from qos.crosslayer.adaptation.registry import decide_all
from qos.crosslayer.adaptation.replay import Score, score
from qos.crosslayer.adaptation.trace import ARRAYS, Trace, load_trace

CASES = (TrafficCase(0.5, 30), TrafficCase(0.7, 30))


@pytest.fixture(scope="module")
def table(shared_data: Path) -> ModeTable:
    return load_mode_table(shared_data / "crosslayer" / "nr_tbler_table.npz")


@pytest.fixture(scope="module")
def trace(shared_data: Path) -> Trace:
    """The first user of each of the 25 classes, 5000 slots."""
    whole = load_trace(shared_data / "crosslayer" / "trace.npz")
    _, first = np.unique(whole.classes(), return_index=True)
    wide = {name: np.ascontiguousarray(getattr(whole, name)[:5000, first]) for name in ARRAYS}
    return replace(whole, fd_hz=whole.fd_hz[first], mean_snr_db=whole.mean_snr_db[first], **wide)


@pytest.fixture(scope="module")
def bounds(trace: Trace, table: ModeTable) -> tuple[Score, Score]:
    best = genie(trace, table)
    return score(best, trace, table, CASES, best), score(clairvoyant(trace, table), trace, table, CASES, best)


def test_bounds_are_those_of_the_specification(bounds: tuple[Score, Score]):
    """Genie 3.390 and clairvoyant 3.530 bit/s/Hz over 200 users (specs/crosslayer.md, section i)."""
    assert bounds[0].spectral_efficiency == pytest.approx(3.39, rel=0.02)
    assert bounds[1].spectral_efficiency == pytest.approx(3.53, rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spelling", "share", "on_time"),
    [("bayesian:particles=1024", 0.86, (0.975, 0.90)), ("blind-bayesian:particles=512", 0.82, (0.95, 0.85))],
)
def test_what_the_bayesian_policies_reach(
    spelling: str, share: float, on_time: tuple[float, float],
    trace: Trace, table: ModeTable, bounds: tuple[Score, Score],
):  # fmt: skip
    got = score(decide_all(spelling, trace, table), trace, table, CASES, genie(trace, table))
    assert got.spectral_efficiency > share * bounds[0].spectral_efficiency
    for case, least in zip(CASES, on_time, strict=True):
        assert got.on_time[case.key] > least * bounds[1].on_time[case.key]
