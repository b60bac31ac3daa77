"""Small channels and a mode table of our own for the tests of link adaptation."""

from __future__ import annotations

import numpy as np
import pytest

from qos.crosslayer.adaptation.modetable import ModeTable, make_mode_table
from qos.crosslayer.adaptation.simulated import SimulationPlan, simulate_trace
from qos.crosslayer.adaptation.trace import Trace

MODES = 10


@pytest.fixture(scope="session")
def table() -> ModeTable:
    """Ten modes 2.5 dB apart with logistic error rates; mode 0 has none."""
    grid = np.arange(-5, 30.05, 0.1)
    thresholds = -1.0 + 2.5 * np.arange(MODES)
    rate = 1 / (1 + np.exp(4 * (grid[None, :] - thresholds[:, None])))
    rate[0] = np.inf
    sizes = np.round(1680 * np.log2(1 + 10 ** (thresholds / 10))).astype(int)
    return make_mode_table(grid, rate, sizes, 1680)


@pytest.fixture(scope="session")
def trace() -> Trace:
    """Six users, two Doppler shifts, 400 slots."""
    plan = SimulationPlan(doppler_hz=(5.0, 60.0), mean_snr_db=(8.0, 14.0, 20.0), users_per_class=1, slots=400)
    return simulate_trace(plan, seed=11)
