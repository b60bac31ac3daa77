"""AMC with truncated ARQ: closed forms, their tables, limits and designs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qos.crosslayer.amc_arq import evaluate, simulate
from qos.crosslayer.channel.fading import NakagamiFading
from qos.crosslayer.modes import HIPERLAN2, MODE_TABLES, WIFI6, Mode, ModeTable, wifi6_rate_bps
from qos.crosslayer.threshold_design import DESIGNS, design, paper, thresholds_at
from qos.errors import ValueRefusedError

# Spectral efficiency of the published design, loss 0.01; computed with an independent program.
TABLE = {
    5: (0.6627, 0.8092, 0.8550, 0.8689, 0.8711, 0.8686),
    10: (1.4065, 1.6101, 1.6622, 1.6716, 1.6671, 1.6580),
    15: (2.3136, 2.5490, 2.6107, 2.6218, 2.6164, 2.6055),
    20: (3.3170, 3.5316, 3.5813, 3.5904, 3.5872, 3.5803),
    25: (4.0293, 4.1332, 4.1555, 4.1595, 4.1582, 4.1554),
}
TABLE_M2 = {
    5: (0.7391, 0.9058),
    10: (1.5466, 1.7801),
    15: (2.5387, 2.7640),
    20: (3.6050, 3.8528),
    25: (4.3200, 4.3873),
}


@pytest.mark.parametrize("snr_db", TABLE)
def test_the_tables_of_the_published_design(snr_db: int) -> None:
    for m, table in ((1.0, TABLE), (2.0, TABLE_M2)):
        fading = NakagamiFading(snr_db, m)
        for limit, wanted in enumerate(table[snr_db]):
            got = paper(HIPERLAN2, fading, 0.01, limit).spectral_efficiency
            assert got == pytest.approx(wanted, abs=6e-5)


@pytest.mark.parametrize(
    ("error_rate", "wanted"),
    [
        (0.01, (1.068, 4.154, 7.180, 11.080, 13.589, 19.580)),
        (0.1, (-0.041, 2.888, 5.866, 9.712, 12.233, 18.142)),
        (0.2154, (-0.484, 2.368, 5.322, 9.139, 11.667, 17.534)),
    ],
)
def test_thresholds_of_an_error_rate(error_rate: float, wanted: tuple[float, ...]) -> None:
    assert 10 * np.log10(thresholds_at(HIPERLAN2, error_rate)) == pytest.approx(wanted, abs=6e-4)


def test_the_cut_offs_are_where_the_fits_reach_one() -> None:
    # Liu, Zhou, Giannakis 2004, table 2.
    wanted_db = (-1.5331, 1.0942, 3.9722, 7.7021, 10.2488, 15.9784)
    assert 10 * np.log10(HIPERLAN2.cutoffs) == pytest.approx(wanted_db, abs=5e-4)


@pytest.mark.parametrize("name", DESIGNS)
@pytest.mark.parametrize(("snr_db", "m", "limit"), [(5, 1.0, 0), (10, 2.0, 1), (15, 1.0, 2)])
def test_the_closed_form_is_within_a_thousandth_of_simulation(
    name: str, snr_db: float, m: float, limit: int
) -> None:
    fading = NakagamiFading(snr_db, m)
    found = design(name, HIPERLAN2, fading, 0.01, limit)
    checked = simulate(HIPERLAN2, fading, found, limit, slots=300_000, seed=snr_db)
    assert checked.spectral_efficiency == pytest.approx(found.spectral_efficiency, rel=1e-3)
    assert checked.mean_transmissions == pytest.approx(found.mean_transmissions, rel=1e-3)
    assert checked.error_rate == pytest.approx(found.error_rate, rel=0.03)


@pytest.mark.parametrize("snr_db", [0, 5, 10, 15, 20, 25])
@pytest.mark.parametrize("limit", [0, 1, 3])
def test_no_design_is_below_the_published_one_and_each_meets_the_loss(snr_db: int, limit: int) -> None:
    fading = NakagamiFading(snr_db)
    results = {name: design(name, HIPERLAN2, fading, 0.01, limit) for name in DESIGNS}
    floor = results["paper"].spectral_efficiency
    assert results["calibrated"].spectral_efficiency >= floor
    assert results["lagrangian"].spectral_efficiency >= results["calibrated"].spectral_efficiency
    assert all(each.loss <= 0.01 for each in results.values())


@pytest.mark.parametrize("snr_db", [0, 3, 5, 8, 10, 12, 15])
def test_lagrangian_gains_three_percent_with_one_retransmission(snr_db: int) -> None:
    fading = NakagamiFading(snr_db)
    plain = paper(HIPERLAN2, fading, 0.01, 1).spectral_efficiency
    assert design("lagrangian", HIPERLAN2, fading, 0.01, 1).spectral_efficiency >= 1.03 * plain


def test_without_retransmissions_it_is_plain_adaptive_modulation() -> None:
    found = paper(HIPERLAN2, NakagamiFading(12), 0.01, 0)
    assert found.mean_transmissions == 1
    assert found.spectral_efficiency == pytest.approx(float(HIPERLAN2.rates @ found.mode_probability))
    assert found.loss == found.error_rate


def test_without_fading_one_mode_is_used_as_on_a_gaussian_channel() -> None:
    found = evaluate(HIPERLAN2, NakagamiFading(12, 1e7), thresholds_at(HIPERLAN2, 0.01), 0)
    snr = 10**1.2
    assert found.mode_probability == pytest.approx([0, 0, 0, 1, 0, 0], abs=1e-6)
    assert found.error_rate == pytest.approx(float(HIPERLAN2.error_rate(3, snr)), rel=1e-2)


fadings = st.builds(NakagamiFading, st.floats(-5, 35), st.floats(0.5, 20))


@given(fadings, st.floats(1e-5, 0.5), st.integers(0, 5), st.sampled_from(sorted(DESIGNS)))
def test_thresholds_rise_and_shares_make_one(
    fading: NakagamiFading, loss: float, limit: int, name: str
) -> None:
    found = design(name, HIPERLAN2, fading, loss, limit)
    assert (np.diff(found.thresholds) >= 0).all()
    assert found.mode_probability.sum() + found.outage_probability == pytest.approx(1, abs=1e-9)
    assert found.loss <= loss * (1 + 1e-9)
    assert 0 <= found.error_rate <= 1


@given(fadings, st.floats(1e-4, 0.9), st.integers(0, 5))
def test_more_retransmissions_never_raise_the_loss(
    fading: NakagamiFading, error_rate: float, limit: int
) -> None:
    thresholds = thresholds_at(HIPERLAN2, error_rate)
    fewer = evaluate(HIPERLAN2, fading, thresholds, limit)
    more = evaluate(HIPERLAN2, fading, thresholds, limit + 1)
    assert more.loss <= fewer.loss
    assert more.mean_transmissions >= fewer.mean_transmissions


@given(st.sampled_from(sorted(MODE_TABLES)), st.floats(-20, 60), st.floats(0, 10))
def test_error_rates_fall_with_the_snr(name: str, snr_db: float, step_db: float) -> None:
    table = MODE_TABLES[name]
    modes = np.arange(len(table.modes))
    here, there = (table.error_rate(modes, 10 ** (db / 10)) for db in (snr_db, snr_db + step_db))
    assert (there <= here).all()
    assert ((here >= 0) & (here <= 1)).all()


def test_wifi6_rates_and_ten_percent_points() -> None:
    # IEEE 802.11ax: MCS 11, 80 MHz, two streams, 0.8 us guard interval; MCS 0, 20 MHz, one stream.
    assert wifi6_rate_bps(25 / 3, 80, 2) == pytest.approx(1201.0e6, rel=1e-4)
    assert wifi6_rate_bps(0.5, 20) == pytest.approx(8.6e6, rel=1e-3)
    assert WIFI6.error_rate(np.arange(12), WIFI6.snr_for(0.1)) == pytest.approx(np.full(12, 0.1))


def test_a_longer_packet_needs_more_snr() -> None:
    longer = HIPERLAN2.for_packet_bits(4 * HIPERLAN2.packet_bits)
    assert (longer.snr_for(0.01) > HIPERLAN2.snr_for(0.01)).all()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: NakagamiFading(float("nan")), "mean SNR must be a finite number"),
        (lambda: NakagamiFading(10, 0.4), "at least 0.5"),
        (lambda: Mode("rising", 1.0, 50.0, -0.1), "must fall with the SNR"),
        (lambda: ModeTable("x", (HIPERLAN2.modes[1], HIPERLAN2.modes[0]), 1080), "must be faster"),
        (lambda: ModeTable("x", (), 1080), "no mode"),
        (lambda: paper(HIPERLAN2, NakagamiFading(10), 0.0, 1), "loss must be more than 0"),
        (lambda: paper(HIPERLAN2, NakagamiFading(10), 0.1, -1), "retransmissions"),
        (lambda: design("best", HIPERLAN2, NakagamiFading(10), 0.1, 1), "use one of paper"),
        (lambda: evaluate(HIPERLAN2, NakagamiFading(10), np.ones(5), 1), "one for each mode"),
        (lambda: evaluate(HIPERLAN2, NakagamiFading(10), np.arange(6, 0, -1.0), 1), "must not fall"),
        (lambda: wifi6_rate_bps(1.0, 30), "channel width"),
        (lambda: HIPERLAN2.for_packet_bits(0), "packet bits"),
    ],
)
def test_bad_input_is_refused(call: object, words: str) -> None:
    assert callable(call)
    with pytest.raises(ValueRefusedError, match=words):
        call()
