"""The rate of a radio in time: its mean is the model's, and the forecast knows more than the mean."""

from __future__ import annotations

import numpy as np
import pytest

from qos.crosslayer.amc_arq import AmcPerformance
from qos.crosslayer.link_design import LinkModel
from qos.crosslayer.rate_process import RateForecast, rate_series, wifi_radio
from qos.errors import ValueRefusedError


@pytest.fixture(scope="module")
def radio() -> tuple[LinkModel, AmcPerformance]:
    return wifi_radio(snr_db=18, doppler_hz=20, error_rate=0.01)


def test_the_series_carries_the_mean_rate_of_the_model(radio: tuple[LinkModel, AmcPerformance]) -> None:
    series = rate_series(*radio, 100_000, seed=3)
    forecast = RateForecast(*radio, horizon_slots=10)
    assert series.rates_bps.mean() == pytest.approx(forecast.mean_bps, rel=0.03)


def test_the_forecast_is_nearer_to_what_comes_than_the_mean(
    radio: tuple[LinkModel, AmcPerformance],
) -> None:
    horizon = 5
    series = rate_series(*radio, 50_000, seed=4)
    forecast = RateForecast(*radio, horizon)
    ahead = np.convolve(series.rates_bps, np.ones(horizon) / horizon, "valid")[1:]
    told = np.array([forecast.expect(int(state)) for state in series.states[: len(ahead)]])
    error = np.sqrt(np.mean((told - ahead) ** 2))
    assert error < 0.7 * np.sqrt(np.mean((forecast.mean_bps - ahead) ** 2))


def test_far_ahead_the_forecast_is_the_mean(radio: tuple[LinkModel, AmcPerformance]) -> None:
    forecast = RateForecast(*radio, horizon_slots=20_000)
    assert forecast.expect(0) == pytest.approx(forecast.mean_bps, rel=0.02)


def test_the_changes_are_a_trace_that_gives_the_series_back(
    radio: tuple[LinkModel, AmcPerformance],
) -> None:
    series = rate_series(*radio, 500, seed=5)
    times, rates = series.changes()
    slots = np.arange(500) * series.slot_s
    places = np.searchsorted(np.array(times), slots + 1e-9, side="right") - 1
    assert (np.array(rates)[places] == series.rates_bps.astype(np.int64)).all()
    assert times[0] == 0


def test_the_same_seed_gives_the_same_series(radio: tuple[LinkModel, AmcPerformance]) -> None:
    one, other = (rate_series(*radio, 200, seed=6).rates_bps for _ in range(2))
    assert (one == other).all()


def test_no_slots_are_refused(radio: tuple[LinkModel, AmcPerformance]) -> None:
    with pytest.raises(ValueRefusedError):
        rate_series(*radio, 0, seed=1)
    with pytest.raises(ValueRefusedError):
        RateForecast(*radio, 0)
