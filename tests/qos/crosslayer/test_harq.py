"""HARQ in the mode choice: limits, orders and a judge that draws blocks one by one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qos.crosslayer.amc_arq import evaluate
from qos.crosslayer.channel.fading import NakagamiFading
from qos.crosslayer.harq import (
    COMBININGS,
    Combining,
    HarqLink,
    best_retransmissions,
    block_curves,
    design_harq,
    evaluate_harq,
    failure,
    later_snrs,
    simulate_harq,
)
from qos.crosslayer.modes import HIPERLAN2
from qos.crosslayer.nr_block_error import nr_mode_table
from qos.crosslayer.threshold_design import design, thresholds_at
from qos.errors import InfeasibleError, ValueRefusedError


def link(
    kind: Combining, snr_db: float = 12.0, doppler: float = 0.02, most: int = 3, m: float = 1.0
) -> HarqLink:
    return HarqLink(HIPERLAN2, NakagamiFading(snr_db, m), kind, doppler, most)


@given(
    snr=st.lists(st.floats(0.01, 300), min_size=1, max_size=6),
    mode=st.integers(0, len(HIPERLAN2.modes) - 1),
)
@settings(max_examples=60, deadline=None)
def test_more_is_decoded_the_more_is_kept_of_failed_attempts(snr: list[float], mode: int) -> None:
    single, chase, incremental = (failure(HIPERLAN2, mode, np.array(snr), kind) for kind in COMBININGS)
    for left in (single, chase, incremental):
        assert all(later <= earlier for earlier, later in itertools.pairwise(left))
    assert np.all(incremental <= chase + 1e-15)
    assert np.all(chase <= single + 1e-15)
    assert single[0] == chase[0] == pytest.approx(incremental[0])


@pytest.mark.parametrize("kind", COMBININGS)
def test_without_retransmissions_it_is_plain_adaptive_modulation(kind: Combining) -> None:
    levels = thresholds_at(HIPERLAN2, 0.05)
    found = evaluate_harq(link(kind), levels, 0)
    plain = evaluate(HIPERLAN2, NakagamiFading(12.0), levels, 0)
    assert found.loss == pytest.approx(plain.error_rate, rel=0.02)
    assert found.spectral_efficiency == pytest.approx(plain.delivered_bits_per_symbol, rel=0.005)


@pytest.mark.parametrize("kind", COMBININGS)
@pytest.mark.parametrize("doppler", [0.0, 0.02, 0.5])
def test_the_quadrature_agrees_with_blocks_sent_one_by_one(kind: Combining, doppler: float) -> None:
    each = link(kind, doppler=doppler)
    found = design_harq(each, 0.02, 3)
    efficiency, loss = simulate_harq(each, found, 3, blocks=100_000)
    assert found.loss <= 0.02
    assert efficiency == pytest.approx(found.spectral_efficiency, rel=0.015)
    assert loss <= 1.15 * found.loss + 5e-4


@pytest.mark.parametrize("doppler", [0.0, 0.05, 0.5])
def test_the_design_carries_more_the_more_is_combined(doppler: float) -> None:
    found = [design_harq(link(kind, 5.0, doppler), 0.01, 2).spectral_efficiency for kind in COMBININGS]
    assert found == sorted(found)
    assert found[-1] > 1.05 * found[0]


def test_at_high_snr_retransmissions_in_one_mode_do_not_pay_on_a_fast_channel() -> None:
    """Conventional HARQ on top of adaptive modulation (Jabi et al., arXiv 1802.06933)."""
    each = link("type-1", 25.0, 0.5)
    assert design_harq(each, 0.01, 3).spectral_efficiency < design_harq(each, 0.01, 0).spectral_efficiency


def test_it_beats_the_published_thresholds_of_single_attempts() -> None:
    published = design("paper", HIPERLAN2, NakagamiFading(10.0), 0.01, 0).delivered_bits_per_symbol
    limit, found = best_retransmissions(link("chase", 10.0, 0.01, 4), 0.01, range(5))
    assert limit >= 1
    assert found.spectral_efficiency > 1.1 * published


def test_later_attempts_have_the_law_and_the_memory_of_the_channel() -> None:
    fading, rng = NakagamiFading(10.0, 2.0), np.random.default_rng(5)
    first = fading.sample(rng, 40_000)
    snr = later_snrs(fading, first, 0.05, 3, 1, rng)[:, 0]
    assert snr.mean(axis=0) == pytest.approx(np.full(3, 10.0), rel=0.03)
    assert snr.var(axis=0) == pytest.approx(np.full(3, 50.0), rel=0.06)
    # The power correlation of Clarke's model is J0^2; J0(0.1 pi) = 0.9755, J0(0.2 pi) = 0.9037.
    assert np.corrcoef(snr.T)[0, 1:] == pytest.approx([0.9755**2, 0.9037**2], abs=0.02)


def test_the_modes_of_5g_nr_can_be_used() -> None:
    nr = nr_mode_table()
    curves = block_curves(nr.tb_size_bits, nr.num_re, nr.usable, nr.error_rate)
    assert np.all(np.diff(curves.rates) > 0)
    found = [
        design_harq(HarqLink(curves, NakagamiFading(5.0), kind, 0.01, 1), 0.01, 1).spectral_efficiency
        for kind in COMBININGS
    ]
    assert found == sorted(found)


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueRefusedError, match="HARQ 'soft' is unknown; use one of type-1"):
        link("soft")  # type: ignore[arg-type]
    with pytest.raises(ValueRefusedError, match="at most 15 with HARQ"):
        link("chase", most=16)
    with pytest.raises(ValueRefusedError, match="Doppler per attempt"):
        link("chase", doppler=-0.1)
    with pytest.raises(ValueRefusedError, match="at most 3 here"):
        design_harq(link("chase"), 0.01, 4)
    with pytest.raises(ValueRefusedError, match="6 SNRs above 0"):
        evaluate_harq(link("chase"), np.array([1.0, 2.0]), 1)
    with pytest.raises(InfeasibleError, match="no mode keeps a loss of 1e-12 with 0 retransmissions"):
        design_harq(link("type-1", -30.0), 1e-12, 0)
