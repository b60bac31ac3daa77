"""The channel: path loss, fading and its memory, chains, estimation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from qos.crosslayer.channel.doppler import (
    autocorrelation,
    clarke_gains,
    clarke_snr,
    level_crossing_rate_hz,
    mean_fade_duration_s,
)
from qos.crosslayer.channel.estimation import (
    ReportChannel,
    pilot_error,
    posterior_snr,
    wiener_predictor,
)
from qos.crosslayer.channel.fading import NakagamiFading, nakagami_of_rician, rician_sample
from qos.crosslayer.channel.markov import (
    crossing_chain,
    crossing_chain_limit,
    first_order_chain,
    region_of,
    semi_markov_chain,
)
from qos.crosslayer.channel.path_loss import (
    doppler_hz,
    free_space_loss_db,
    indoor_loss_db,
    log_distance_loss_db,
    shadowing_margin_db,
    urban_macro_loss_db,
)
from qos.crosslayer.modes import HIPERLAN2
from qos.crosslayer.threshold_design import thresholds_at
from qos.errors import ValueRefusedError

LEVELS = thresholds_at(HIPERLAN2.subset(1, 2, 3, 5, 6), 0.01)


def test_a_clarke_trace_has_the_autocorrelation_and_the_distribution_of_the_model() -> None:
    gains = clarke_gains(0.02, 400, 3000, np.random.default_rng(3))
    lags = np.array([0, 5, 12, 20, 60, 150])
    measured = [float(np.mean(gains[100] * gains[100 + lag].conj()).real) for lag in lags]
    assert measured == pytest.approx(autocorrelation(0.02, lags), abs=0.05)
    # Kolmogorov-Smirnov distance of one slot over the ensemble.
    snr = np.sort(np.abs(gains[200]) ** 2)
    assert np.max(np.abs(NakagamiFading(0).cdf(snr) - np.arange(3000) / 3000)) < 0.035


@pytest.mark.parametrize("m", [0.5, 1.0, 1.7, 3.0])
def test_a_nakagami_trace_has_its_distribution(m: float) -> None:
    fading = NakagamiFading(10, m)
    snr = np.sort(clarke_snr(fading, 0.05, 2, 4000, 5)[1])
    assert np.max(np.abs(fading.cdf(snr) - np.arange(4000) / 4000)) < 0.03


def test_the_same_seed_gives_the_same_trace() -> None:
    fading = NakagamiFading(10)
    first, second = (clarke_snr(fading, 0.01, 50, 4, 9) for _ in range(2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, clarke_snr(fading, 0.01, 50, 4, 10))


def test_level_crossings_and_fades_follow_theory() -> None:
    fading, doppler = NakagamiFading(0), 0.01
    snr = clarke_snr(fading, doppler, 5000, 200, 7)
    for rho in (0.1, 0.5, 1.0, 1.5):
        level = rho**2
        below = snr < level
        crossings = float((below[1:] & ~below[:-1]).mean())
        assert crossings == pytest.approx(float(level_crossing_rate_hz(fading, level, doppler)), rel=0.08)
        duration = float(below.mean()) / crossings
        assert duration == pytest.approx(float(mean_fade_duration_s(fading, level, doppler)), rel=0.1)


def test_level_crossing_rate_of_rayleigh_is_the_textbook_one() -> None:
    # sqrt(2 pi) rho exp(-rho^2), Rappaport equation (5.80); .9221 at rho = 1.
    rate = level_crossing_rate_hz(NakagamiFading(0), [0.01, 0.25, 1.0, 2.25], 1.0)
    assert rate == pytest.approx([0.2482, 0.9761, 0.9221, 0.3963], abs=6e-5)


def test_the_limits_of_the_published_chain() -> None:
    # Largest Doppler per slot at thresholds of 1 % error; computed with an independent program.
    wanted = {5: 0.0745, 10: 0.0615, 15: 0.0343, 20: 0.0193, 25: 0.0108, 30: 0.0061}
    for snr_db, limit in wanted.items():
        assert crossing_chain_limit(NakagamiFading(snr_db), LEVELS) == pytest.approx(limit, abs=1e-4)


def test_the_published_chain_refuses_what_it_cannot_do_and_names_another() -> None:
    with pytest.raises(ValueRefusedError, match="use the first-order chain or the Clarke replay"):
        crossing_chain(NakagamiFading(15), LEVELS, 0.05)


@given(st.floats(0, 30), st.floats(0.5, 5), st.floats(1e-4, 0.3), st.floats(1e-6, 0.9))
def test_the_exact_chain_is_a_chain_for_any_doppler(
    snr_db: float, m: float, doppler: float, error_rate: float
) -> None:
    fading = NakagamiFading(snr_db, m)
    chain = first_order_chain(fading, thresholds_at(HIPERLAN2, error_rate), doppler)
    assert (chain.transition >= 0).all()
    assert chain.stationary @ chain.transition == pytest.approx(chain.stationary, abs=1e-9)


@pytest.mark.parametrize("doppler", [0.01, 0.05, 0.1])
def test_the_exact_chain_has_the_transitions_of_a_clarke_trace(doppler: float) -> None:
    fading = NakagamiFading(15)
    chain = first_order_chain(fading, LEVELS, doppler)
    region = region_of(clarke_snr(fading, doppler, 2000, 400, 3), LEVELS)
    counts = np.zeros((6, 6))
    np.add.at(counts, (region[:-1].ravel(), region[1:].ravel()), 1)
    assert chain.transition == pytest.approx(counts / counts.sum(axis=1, keepdims=True), abs=0.03)


def test_a_semi_markov_chain_keeps_the_shares_of_the_regions() -> None:
    fading = NakagamiFading(15)
    chain = semi_markov_chain(fading, LEVELS, 0.02, slots=2000, users=100)
    shares = np.bincount(chain.region, chain.stationary, minlength=6)
    wanted = np.diff(fading.cdf(np.concatenate([[0], LEVELS, [np.inf]])))
    assert shares == pytest.approx(wanted, abs=0.02)


# Normalised error of a predictor of order 8 from pilots of 15 dB; computed with an independent program.
@pytest.mark.parametrize(
    ("doppler", "wanted", "hold"),
    [
        (0.001, (0.0042, 0.0045, 0.0057, 0.0074), 0.0323),
        (0.005, (0.0076, 0.0129, 0.0303, 0.0565), 0.0493),
        (0.01, (0.0105, 0.0202, 0.0519, 0.0999), 0.1021),
        (0.03, (0.0137, 0.0393, 0.1918, 0.4683), 0.6218),
        (0.1, (0.0221, 0.1900, 0.7318, 0.8004), 2.8356),
    ],
)
def test_prediction_errors(doppler: float, wanted: tuple[float, ...], hold: float) -> None:
    found = [wiener_predictor(doppler, 15, 8, delay) for delay in (0, 2, 6, 10)]
    assert [each.nmse for each in found] == pytest.approx(wanted, abs=6e-5)
    assert found[2].hold_nmse == pytest.approx(hold, abs=6e-4)


def test_a_useless_prediction_says_so() -> None:
    assert wiener_predictor(0.4, 0, 2, 50).is_useless
    assert not wiener_predictor(0.01, 15, 8, 2).is_useless


def test_pilots_add_up() -> None:
    assert pilot_error(1, 0) == 0.5
    assert pilot_error(3, 0) == 0.25


def test_reports_are_late_periodic_and_noisy() -> None:
    snr = 10 ** (np.arange(40.0)[:, None] / 10)
    reports = ReportChannel(period_slots=5, delay_slots=6)
    got = reports.reports_db(snr, 1)[:, 0]
    assert got[30] == 20  # slot 30: the newest sample taken by slot 24 is that of slot 20
    assert got[31] == 25
    noisy = ReportChannel(noise_db=2.0).reports_db(np.ones((5000, 1)), 1)
    assert float(noisy.std()) == pytest.approx(2.0, rel=0.05)


def test_a_stale_report_says_no_more_than_the_prior_and_a_fresh_one_much() -> None:
    fading, reports = NakagamiFading(15), ReportChannel(noise_db=1.0)
    zero_of_j0 = float(special.jn_zeros(0, 1)[0]) / (2 * np.pi)
    grid, stale = posterior_snr(fading, zero_of_j0, reports, 0.0, 1)
    assert float(stale @ grid) == pytest.approx(fading.mean_snr, rel=0.03)
    grid, fresh = posterior_snr(fading, 0.001, reports, 0.0, 1)
    assert float(fresh @ grid) < 3
    assert fresh.sum() == pytest.approx(1)


def test_rician_has_the_moments_of_its_nakagami() -> None:
    snr = rician_sample(np.random.default_rng(2), 3, 4.0, 200_000)
    assert float(snr.mean()) == pytest.approx(10**0.3, rel=0.01)
    assert float(snr.mean() ** 2 / snr.var()) == pytest.approx(nakagami_of_rician(4.0), rel=0.03)


def test_path_losses() -> None:
    # P.525: 32.4 + 20 log f(MHz) + 20 log d(km); 38.901 UMa line of sight at 100 m, 3.5 GHz.
    assert free_space_loss_db(10_000, 6e9) == pytest.approx(32.45 + 20 * np.log10(6000) + 20, abs=0.02)
    sight = urban_macro_loss_db(100, 3.5e9, line_of_sight=True, base_height_m=1.5)
    assert sight == pytest.approx(28 + 44 + 20 * np.log10(3.5))
    assert urban_macro_loss_db(300, 3.5e9, line_of_sight=False) > urban_macro_loss_db(
        300, 3.5e9, line_of_sight=True
    )
    assert log_distance_loss_db(100, 5e9, 2.0) == pytest.approx(free_space_loss_db(100, 5e9))
    assert indoor_loss_db(10, 2.4e9) == pytest.approx(20 * np.log10(2400) + 30 - 28)
    assert shadowing_margin_db(6, 0.5) == 0
    assert doppler_hz(30, 3e9) == pytest.approx(300.2, abs=0.1)


@given(st.floats(1, 4000), st.floats(1, 900))
def test_path_loss_rises_with_the_distance(distance_m: float, step_m: float) -> None:
    for loss in (
        lambda d: log_distance_loss_db(d, 2.4e9),
        lambda d: indoor_loss_db(d, 5.2e9),
        lambda d: urban_macro_loss_db(d, 3.5e9, line_of_sight=False),
    ):
        assert loss(distance_m + step_m) >= loss(distance_m)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: free_space_loss_db(-1, 1e9), "distance must be at least 0"),
        (lambda: free_space_loss_db(1, 0), "frequency must be more than 0"),
        (lambda: indoor_loss_db(1, 60e9), "use log-distance"),
        (lambda: urban_macro_loss_db(9000, 3e9, line_of_sight=True), "up to 5 km"),
        (lambda: shadowing_margin_db(8, 1.0), "coverage"),
        (lambda: clarke_snr(NakagamiFading(10), 0.7, 5, 1, 1), "use independent block fading"),
        (lambda: clarke_snr(NakagamiFading(10), -0.1, 5, 1, 1), "Doppler per slot"),
        (lambda: clarke_snr(NakagamiFading(10, 100), 0.1, 5, 1, 1), "take the channel as constant"),
        (lambda: first_order_chain(NakagamiFading(10), np.array([2.0, 1.0]), 0.1), "must not fall"),
        (lambda: wiener_predictor(0.1, 10, 0, 1), "order"),
        (lambda: ReportChannel(period_slots=0), "report period"),
    ],
)
def test_bad_input_is_refused(call: object, words: str) -> None:
    assert callable(call)
    with pytest.raises(ValueRefusedError, match=words):
        call()
