"""5G NR tables and our block error model against the standard, limits and published thresholds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qos.crosslayer.adaptation.modetable import load_mode_table
from qos.crosslayer.nr_block_error import CURVE_DB, information_curves, nr_mode_table
from qos.crosslayer.nr_effective_snr import (
    exponential_effective_snr_db,
    matched_beta,
    mutual_information_effective_snr_db,
)
from qos.crosslayer.nr_tables import CQI_1, SCHEMES, code_blocks, schemes, transport_block_bits
from qos.errors import ValueRefusedError

SIONNA_THRESHOLDS_DB = (
    -2.9, -2.0, -1.0, 0.5, 0.8, 2.4, 2.5, 2.9, 4.2, 4.5, 6.0, 6.3, 7.9, 7.9, 8.8, 9.8, 10.1, 11.6, 12.3, 13.4,
    14.3, 15.0, 16.6, 17.2, 18.5, 19.2,
)  # fmt: skip
"""MCS 3 to 28 at a block error rate of 0.1, read from Sionna 2.2.0 (specs/crosslayer.md, section g)."""


def test_sizes_are_those_of_the_reference_table(shared_data: Path):
    reference = load_mode_table(shared_data / "crosslayer" / "nr_tbler_table.npz")
    sizes = [transport_block_bits(scheme, reference.num_re) for scheme in schemes("64qam")]
    np.testing.assert_array_equal(sizes, reference.tb_size_bits)


@pytest.mark.parametrize(
    ("name", "count", "top"), [("64qam", 29, 5.5547), ("256qam", 28, 7.4063), ("64qam-low-se", 29, 4.5234)]
)
def test_tables_have_the_length_and_top_efficiency_of_the_standard(name: str, count: int, top: float):
    table = schemes(name)
    assert len(table) == count
    assert table[-1].bits_per_symbol * table[-1].code_rate == pytest.approx(top, abs=1e-4)


def test_cqi_efficiencies_are_those_of_the_standard():
    """TS 38.214 table 5.2.2.1-2: 0.1523 for CQI 1, 1.4766 for CQI 7, 5.5547 for CQI 15."""
    efficiency = [bits * rate / 1024 for bits, rate in CQI_1]
    assert len(efficiency) == 15
    assert (np.diff(efficiency) > 0).all()
    assert [efficiency[0], efficiency[6], efficiency[14]] == pytest.approx([0.1523, 1.4766, 5.5547], abs=1e-4)


@given(st.sampled_from(sorted(SCHEMES)), st.integers(0, 27), st.integers(12, 40000))
def test_a_transport_block_is_whole_bytes_near_its_target(name: str, index: int, num_re: int):
    scheme = schemes(name)[index]
    bits = transport_block_bits(scheme, num_re)
    target = num_re * scheme.code_rate * scheme.bits_per_symbol
    assert bits % 8 == 0
    assert bits == 24 or abs(bits - target) <= max(0.08 * target, 32)
    blocks, each = code_blocks(bits, scheme.code_rate)
    assert bits <= blocks * each
    assert each <= 8448


@pytest.mark.parametrize("bits", [2, 4, 6, 8])
def test_information_rises_from_shannon_to_the_constellation(bits: int):
    mean, variance = information_curves(bits)
    shannon = np.log2(1 + 10 ** (CURVE_DB / 10))
    assert (np.diff(mean) >= 0).all()
    assert (mean <= shannon + 1e-3).all()
    assert mean[-1] == pytest.approx(bits, abs=1e-6)
    low = np.searchsorted(CURVE_DB, -10)
    assert mean[low] == pytest.approx(shannon[low], rel=0.02)
    assert (variance > 0).all()


def test_bpsk_information_by_another_way():
    """QPSK at 0 dB is twice BPSK at unit signal-to-noise ratio: 0.486 bit each, by plain summation."""
    unit = np.linspace(-9, 9, 20001)
    weight = np.exp(-(unit**2) / 2) / np.exp(-(unit**2) / 2).sum()
    density = 1 - np.log2(1 + np.exp(-2 * (1 + unit)))
    mean_bits = float(weight @ density)
    variance_bits = float(weight @ density**2) - mean_bits**2
    assert mean_bits == pytest.approx(0.486, abs=5e-4)
    mean, variance = information_curves(2)
    at = np.argmin(np.abs(CURVE_DB))
    assert mean[at] == pytest.approx(2 * mean_bits, abs=1e-6)
    assert variance[at] == pytest.approx(2 * variance_bits, rel=1e-4)


def test_thresholds_agree_with_a_link_simulation_of_others():
    """Ours uses no curve of theirs; their table's points stand 1.79 dB apart, so 1 dB is agreement."""
    ours = nr_mode_table().thresholds_db(0.1)[3:]
    off = ours - np.array(SIONNA_THRESHOLDS_DB)
    assert np.abs(off).max() < 1.2
    assert abs(np.median(off)) < 0.5


@pytest.mark.parametrize("name", sorted(SCHEMES))
def test_our_table_is_a_legal_one_with_rising_thresholds(name: str):
    table = nr_mode_table(name)
    thresholds = table.thresholds_db(0.1)
    assert table.dropped == ()
    assert np.isfinite(thresholds).all()
    efficiency = [scheme.bits_per_symbol * scheme.code_rate for scheme in schemes(name)]
    rises = np.diff(efficiency) > 0.1
    assert (np.diff(thresholds)[rises] > 0).all()


@given(st.lists(st.floats(-10, 30), min_size=1, max_size=12), st.floats(0.5, 40))
def test_effective_snr_lies_between_the_worst_and_the_mean(values: list[float], beta: float):
    snr = np.array(values)
    mean_db = 10 * np.log10(np.mean(10 ** (snr / 10)))
    by_exponent = exponential_effective_snr_db(snr, beta)
    by_information = mutual_information_effective_snr_db(snr, 4)
    assert snr.min() - 1e-6 <= by_exponent <= mean_db + 1e-6
    # Where the constellation is full, information no longer tells SNRs apart.
    assert min(snr.min(), 20.0) - 0.11 <= by_information <= max(mean_db, snr.min()) + 0.11


def test_a_flat_channel_has_its_own_snr():
    flat = np.full(7, 6.0)
    assert exponential_effective_snr_db(flat, 3.0) == pytest.approx(6.0)
    assert mutual_information_effective_snr_db(flat, 6) == pytest.approx(6.0, abs=0.01)


def test_a_matched_beta_brings_the_two_together():
    snr = 8 + 10 * np.log10(np.random.default_rng(2).exponential(size=(200, 24)))
    beta = matched_beta(2, snr)
    off = exponential_effective_snr_db(snr, beta) - mutual_information_effective_snr_db(snr, 2)
    assert 0.5 < beta < 3.0
    assert np.abs(off).mean() < 0.3
    assert matched_beta(6, snr) > 2 * beta


@pytest.mark.parametrize(
    "call",
    [
        lambda: schemes("1024qam"),
        lambda: transport_block_bits(schemes("64qam")[0], 0),
        lambda: information_curves(3),
        lambda: exponential_effective_snr_db(np.array([1.0]), 0.0),
        lambda: exponential_effective_snr_db(np.array([np.nan]), 1.0),
        lambda: mutual_information_effective_snr_db(np.array([]), 2),
    ],
)
def test_what_cannot_be_is_refused(call):  # type: ignore[no-untyped-def]
    with pytest.raises(ValueRefusedError):
        call()
