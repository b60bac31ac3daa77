"""The Bayesian policies: the model they track, what they learn, and what it buys."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import j0
from scipy.stats import ncx2

from qos.crosslayer.adaptation.bounds import genie
from qos.crosslayer.adaptation.clarke_bank import ORDER, doppler_grid, make_bank, regrid
from qos.crosslayer.adaptation.error_price import best_fixed_bits
from qos.crosslayer.adaptation.link_estimate import (
    MEAN_LOG_POWER_DB,
    LinkEstimate,
    LinkPrior,
    log_power_covariance,
)
from qos.crosslayer.adaptation.modetable import ModeTable
from qos.crosslayer.adaptation.posterior_table import LEVELS_DB, best_modes, later_power, power_law
from qos.crosslayer.adaptation.registry import decide_all
from qos.crosslayer.adaptation.replay import score
from qos.crosslayer.adaptation.simulated import SimulationPlan, clarke_gain, simulate_trace
from qos.crosslayer.adaptation.trace import Trace
from qos.crosslayer.nr_block_error import nr_mode_table
from qos.errors import ValueRefusedError

TUNED = "plain-outer-loop:target=0.2,step=0.02"
DOPPLERS = np.array([0.001, 0.01, 0.1])


def test_simulated_gain_has_unit_power_and_clarke_autocorrelation():
    gain = clarke_gain(np.full(400, 0.03), 60, np.random.default_rng(1))
    assert np.mean(np.abs(gain) ** 2) == pytest.approx(1, abs=0.05)
    for lag in (1, 5, 13, 25):
        seen = np.mean(gain[lag:] * gain[:-lag].conj())
        assert seen == pytest.approx(j0(2 * np.pi * 0.03 * lag), abs=0.06)


def test_simulated_reports_come_late_and_noisy_by_the_rules():
    trace = simulate_trace(SimulationPlan(doppler_hz=(100.0,), users_per_class=20, slots=600), seed=4)
    changes = 1 + np.nonzero(np.any(np.diff(trace.cqi_db, axis=0) != 0, axis=1))[0]
    np.testing.assert_array_equal(changes, np.arange(11, 600, 5))
    error = trace.cqi_db[changes] - trace.snr_db[changes - 6]
    assert error.std() == pytest.approx(1.0, abs=0.05)
    again = simulate_trace(SimulationPlan(doppler_hz=(100.0,), users_per_class=20, slots=600), seed=4)
    np.testing.assert_array_equal(trace.snr_db, again.snr_db)


def test_a_doppler_shift_beyond_the_slots_is_refused():
    with pytest.raises(ValueRefusedError, match="half the slot rate"):
        simulate_trace(SimulationPlan(doppler_hz=(600.0,)), seed=1)


@pytest.mark.parametrize("model", range(3))
def test_an_autoregression_started_from_its_window_keeps_the_autocorrelation(model: int):
    """Windows drawn by `factor` and carried on by `coefficients` stay in the stationary law."""
    bank = make_bank(DOPPLERS, 4, 2)
    random = np.random.default_rng(3)
    window = bank.factor[model] @ random.standard_normal((ORDER, 40000))
    newest = bank.coefficients[model] @ window + bank.innovation[model] * random.standard_normal(40000)
    turn = 2 * np.pi * DOPPLERS[model] * bank.step_slots[model]
    seen = [2 * np.mean(newest * window[lag]) for lag in range(ORDER)]
    np.testing.assert_allclose(seen, j0(turn * (1 + np.arange(ORDER))), atol=0.03)
    assert 2 * np.mean(newest**2) == pytest.approx(1, abs=0.04)


def test_the_gain_between_instants_is_found_again():
    """Interpolated from a true window, the gain is right to what `spread` says."""
    bank = make_bank(np.array([0.004]), 4, 2)
    step = int(bank.step_slots[0])
    gain = clarke_gain(np.full(200, 0.004), (ORDER + 2) * step, np.random.default_rng(2))
    newest = ORDER * step
    window = gain[newest - step * np.arange(ORDER)]
    for offset in range(int(bank.first_offset[0]), 5):
        row = offset - bank.first_offset[0]
        error = gain[newest + offset] - bank.weights[0, row] @ window
        assert np.mean(np.abs(error) ** 2) < 2 * bank.spread[0, row] ** 2 * 1.5 + 2e-3


def test_a_window_carried_to_another_doppler_has_that_law():
    bank = make_bank(np.array([0.01, 0.02]), 4, 2)
    random = np.random.default_rng(5)
    weights, factor = regrid(bank, 0, 1)
    old = bank.factor[0] @ random.standard_normal((ORDER, 40000))
    new = weights @ old + factor @ random.standard_normal((ORDER, 40000))
    assert np.mean(2 * new[0] * old[0]) == pytest.approx(1.0, abs=0.05)
    assert (np.abs(2 * np.mean(new**2, axis=1) - 1) < 0.25).all()


def test_log_power_covariance_is_that_of_simulated_fading():
    gain = clarke_gain(np.full(600, 0.02), 80, np.random.default_rng(6))
    log_power = 20 * np.log10(np.abs(gain))
    assert log_power.mean() == pytest.approx(MEAN_LOG_POWER_DB, abs=0.25)
    for lag in (0, 4, 10):
        centred = log_power - MEAN_LOG_POWER_DB
        seen = np.mean(centred[lag:] * centred[: centred.shape[0] - lag])
        wanted = log_power_covariance(np.array([0.02]), np.array([lag]))[0, 0]
        assert seen == pytest.approx(wanted, abs=2.0)


def learn(factor: float, mean_off_db: float, doppler_hz: float) -> tuple[np.ndarray, np.ndarray]:
    plan = SimulationPlan(doppler_hz=(doppler_hz,), mean_snr_db=(15.0,), users_per_class=12, slots=6000)
    trace = simulate_trace(plan, seed=8)
    grid = doppler_grid()
    truth = np.full(trace.users, doppler_hz * 1e-3)
    prior = LinkPrior(np.full(trace.users, 15.0 + mean_off_db), truth * factor, 2.0, 0.7, np.array([1.0]))
    estimate = LinkEstimate(prior, grid, 5)
    for slot in range(6, plan.slots, 5):
        estimate.update(trace.cqi_db[slot])
    return grid[estimate.doppler_index] / truth, estimate.mean_snr_db - 15.0


@pytest.mark.parametrize("doppler_hz", [5.0, 10.0, 30.0])
@pytest.mark.parametrize("factor", [1 / 3, 1.0, 3.0])
def test_the_doppler_shift_is_learned_from_reports(factor: float, doppler_hz: float):
    ratio, _ = learn(factor, 0.0, doppler_hz)
    assert np.median(np.abs(np.log(ratio))) < np.log(1.6)


@pytest.mark.parametrize("off_db", [-3.0, 3.0])
def test_the_mean_is_learned_from_reports(off_db: float):
    _, off = learn(1.0, off_db, 30.0)
    assert np.abs(off).mean() < 0.7
    _, at_rest = learn(1.0, off_db, 1.0)
    assert np.abs(at_rest).mean() < 3.0


def test_the_power_after_a_while_is_noncentral_chi_square():
    """The rows of `later_power` against scipy's law, as in specs/crosslayer.md section b."""
    rho = 0.8
    rows = later_power(LEVELS_DB, rho)
    np.testing.assert_allclose(rows.sum(axis=1), 1)
    now, then = 10 ** (LEVELS_DB[140] / 10), 10 ** (LEVELS_DB / 10)
    scale = (1 - rho**2) / 2
    law = ncx2.pdf(then / scale, 2, rho**2 * now / scale) * then
    np.testing.assert_allclose(rows[140], law / law.sum(), atol=1e-6)
    np.testing.assert_allclose(power_law(LEVELS_DB) @ rows, power_law(LEVELS_DB), atol=2e-3)


def test_an_old_report_counts_for_nothing_and_a_fresh_one_for_much(table: ModeTable):
    fresh = best_modes(table, 15.0, 0.001, np.array([1]), 0.5)[0]
    stale = best_modes(table, 15.0, 0.2, np.array([5000]), 0.5)[0]
    assert len(set(fresh)) > 5
    assert len(set(stale)) == 1


@pytest.fixture(scope="module")
def nr() -> ModeTable:
    return nr_mode_table()


@pytest.fixture(scope="module")
def channels() -> Trace:
    return simulate_trace(SimulationPlan(users_per_class=1, slots=1500), seed=21)


@pytest.fixture(scope="module")
def efficiency(channels: Trace, nr: ModeTable) -> dict[str, float]:
    names = ("genie", "bayesian", "blind-bayesian", "posterior-table", "inner-loop", "outer-loop", "minstrel")
    genie_modes = genie(channels, nr)
    found = {
        name: score(decide_all(name, channels, nr), channels, nr, (), genie_modes).spectral_efficiency
        for name in (*names, "plain-outer-loop", TUNED)
    }
    return {name: one / found["genie"] for name, one in found.items()}


def test_the_bayesian_policy_comes_near_the_genie(efficiency: dict[str, float]):
    assert efficiency["bayesian"] > 0.84
    assert efficiency["bayesian"] > efficiency["posterior-table"] + 0.02


def test_without_a_topology_it_still_beats_every_peer_told_the_same(efficiency: dict[str, float]):
    peers = {
        "inner-loop",
        "outer-loop",
        "minstrel",
        "plain-outer-loop",
        "plain-outer-loop:target=0.2,step=0.02",
    }
    assert efficiency["blind-bayesian"] > max(efficiency[name] for name in peers) + 0.05
    assert efficiency["blind-bayesian"] <= efficiency["bayesian"] + 0.01


@pytest.mark.parametrize(
    "error", [{"mean_snr_db": 3.0}, {"mean_snr_db": -3.0}, {"fd_hz": 3.0}, {"fd_hz": 1 / 3}]
)
def test_wrong_facts_cost_little(
    error: dict[str, float], channels: Trace, nr: ModeTable, efficiency: dict[str, float]
):
    """Over 10,000 slots at most 3 % (experiments.crosslayer_policies); these 1,500 are mostly learning."""
    wrong = replace(
        channels,
        mean_snr_db=channels.mean_snr_db + error.get("mean_snr_db", 0.0),
        fd_hz=channels.fd_hz * error.get("fd_hz", 1.0),
    )
    modes = decide_all("bayesian:particles=512", wrong, nr)
    genie_modes = genie(channels, nr)
    best = score(genie_modes, channels, nr, (), genie_modes).spectral_efficiency
    got = score(modes, channels, nr, (), genie_modes).spectral_efficiency / best
    assert got > 0.91 * efficiency["bayesian"]


def test_a_lost_track_is_found_again(nr: ModeTable):
    """A jump of the channel that the model cannot explain costs some reports, not the rest of the trace."""
    trace = simulate_trace(
        SimulationPlan(doppler_hz=(1.0,), mean_snr_db=(15.0,), users_per_class=6, slots=1200), seed=2
    )
    jumped = replace(
        trace,
        snr_db=np.where(np.arange(1200)[:, None] < 600, 5.0, 22.0).astype(np.float32) + 0 * trace.snr_db,
    )
    about = np.maximum((np.arange(1200) - 6) // 5 * 5, 0)
    jumped = replace(jumped, cqi_db=jumped.snr_db[about])
    modes = decide_all("bayesian:particles=512", jumped, nr)
    genie_modes = genie(jumped, nr)
    assert (modes[700:] >= genie_modes[700:] - 3).mean() > 0.9
    assert (modes[300:600] <= genie_modes[300:600] + 1).mean() > 0.9


@pytest.mark.parametrize("target", [0.05, 0.2])
def test_a_block_error_target_is_held_by_every_user(target: float):
    plan = SimulationPlan(doppler_hz=(30.0,), mean_snr_db=(10.0, 20.0), users_per_class=2, slots=3000)
    trace, table = simulate_trace(plan, seed=9), nr_mode_table()
    modes = decide_all(f"bayesian:particles=128,target={target}", trace, table)
    rate = table.error_rate(modes, trace.snr_db)
    sent = modes >= 0
    failed = sent & (trace.ack_uniform < rate)
    assert failed.sum(axis=0) / sent.sum(axis=0) == pytest.approx(np.full(4, target), rel=0.1)


def test_the_best_fixed_mode_is_that_of_rayleigh_fading():
    table = nr_mode_table()
    snr_db = 12.0 + 10 * np.log10(np.random.default_rng(2).exponential(size=20_000))
    drawn = [table.expected_bits()[mode, table.grid_index(snr_db)].mean() for mode in range(table.modes)]
    assert best_fixed_bits(table, np.array([12.0])) == pytest.approx([max(drawn)], rel=0.02)


def test_a_target_that_is_no_probability_is_refused():
    trace, table = simulate_trace(SimulationPlan(slots=10), seed=1), nr_mode_table()
    with pytest.raises(ValueRefusedError, match="between 0 and 1"):
        decide_all("bayesian:target=1.5", trace, table)
