"""Trace, table, replay and score by the rules of the harness."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qos.crosslayer.adaptation.bounds import acknowledged, clairvoyant, genie
from qos.crosslayer.adaptation.modetable import ModeTable, load_mode_table, make_mode_table
from qos.crosslayer.adaptation.ontime import TrafficCase, on_time_ratio
from qos.crosslayer.adaptation.registry import decide_all, make_policy, parse_policy, policy_names
from qos.crosslayer.adaptation.replay import score
from qos.crosslayer.adaptation.trace import Trace, load_trace
from qos.errors import InputError, ValueRefusedError


def write_trace(path: Path, trace: Trace, **changed: object) -> Path:
    names = ("snr_db", "cqi_db", "ack_uniform", "fd_hz", "mean_snr_db", "slot_s", "cqi_period_slots")
    names += ("cqi_delay_slots", "cqi_noise_std_db", "ack_delay_slots")
    arrays = {name: getattr(trace, name) for name in names} | changed
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})
    return path


def test_a_trace_file_is_read_as_it_was(tmp_path: Path, trace: Trace):
    read = load_trace(write_trace(tmp_path / "t.npz", trace))
    np.testing.assert_array_equal(read.snr_db, trace.snr_db)
    assert (read.cqi_period_slots, read.ack_delay_slots) == (trace.cqi_period_slots, trace.ack_delay_slots)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"snr_db": None}, "no array snr_db"),
        ({"cqi_db": np.zeros((3, 3))}, "cqi_db has shape"),
        ({"fd_hz": np.zeros(2)}, "fd_hz has shape"),
        ({"fd_hz": -np.ones(6)}, "fd_hz must not be negative"),
        ({"slot_s": 0.0}, "slot_s must be more than 0"),
        ({"ack_delay_slots": 0}, "ack_delay_slots must be at least 1"),
        ({"ack_delay_slots": 1.5}, "whole number"),
        ({"slot_s": np.zeros(2)}, "slot_s must be one number"),
        ({"snr_db": np.full((400, 6), np.nan)}, "snr_db has NaN"),
        ({"snr_db": np.full((400, 6), np.inf)}, "not finite"),
        ({"ack_uniform": np.full((400, 6), 1.5)}, "ack_uniform must lie in 0..1"),
        ({"cqi_db": np.full((400, 6), "x")}, "must hold numbers"),
    ],
)
def test_a_bad_trace_is_refused(tmp_path: Path, trace: Trace, changed: dict[str, object], says: str):
    with pytest.raises(InputError, match=says):
        load_trace(write_trace(tmp_path / "t.npz", trace, **changed))


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04broken"])
def test_a_file_that_is_no_archive_is_refused(tmp_path: Path, content: bytes):
    bad = tmp_path / "bad.npz"
    bad.write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.npz"):
        load_trace(bad)
    with pytest.raises(InputError, match="No such file"):
        load_mode_table(tmp_path / "none.npz")


GRID = np.arange(0, 3.0)


@pytest.mark.parametrize(
    ("grid", "rate", "sizes", "says"),
    [
        (GRID, [[0.5, 0.6, 0.1]], [100], "mode 0 rises with SNR at 0 dB"),
        (GRID, [[np.nan, 0.6, 0.1]], [100], "NaN"),
        (GRID, [[1.5, 0.6, 0.1]], [100], "0..1"),
        (GRID, [[0.5, 0.1]], [100], "shape"),
        (GRID[::-1], [[0.5, 0.1, 0.0]], [100], "must rise"),
        (GRID, [[0.5, 0.1, 0.0]], [0], "at least 1 bit"),
        (GRID, [[np.inf] * 3], [100], "no mode has a finite error rate"),
    ],
)
def test_a_bad_table_is_refused(grid: np.ndarray, rate: list[list[float]], sizes: list[int], says: str):
    with pytest.raises(InputError, match=says):
        make_mode_table(grid, np.array(rate), np.array(sizes), 100)


def test_equal_error_rates_and_falling_sizes_are_legal():
    made = make_mode_table(GRID, np.array([[0.5, 0.5, 0.1], [0.5, 0.5, 0.1]]), np.array([200, 100]), 100)
    assert made.dropped == ()


def test_modes_without_a_rate_are_dropped_and_never_chosen(trace: Trace, table: ModeTable):
    assert table.dropped == (0,)
    for name in policy_names():
        spelling = f"{name}:particles=64" if name.endswith("bayesian") else name
        assert 0 not in decide_all(spelling, trace, table)


@given(st.lists(st.floats(-60, 60), min_size=1, max_size=20))
def test_the_grid_point_is_the_nearest_one_clamped(values: list[float]):
    even = make_mode_table(np.arange(-5, 5, 0.5), np.full((1, 20), 0.5), np.array([1]), 1)
    odd = replace(even, snr_grid_db=np.concatenate([even.snr_grid_db[:-1], [7.0]]))
    for one in (even, odd):
        index = one.grid_index(np.array(values))
        best = np.abs(np.array(values)[:, None] - one.snr_grid_db).min(axis=1)
        np.testing.assert_allclose(np.abs(np.array(values) - one.snr_grid_db[index]), best, atol=1e-9)


def test_the_bounds_bound(trace: Trace, table: ModeTable):
    """The clairvoyant carries at least what anyone carries, in every single slot."""
    best = clairvoyant(trace, table)
    bits = np.where(best >= 0, table.tb_size_bits[np.maximum(best, 0)], 0)
    assert acknowledged(best, trace, table)[best >= 0].all()
    for name in ("genie", "outer-loop", "fixed"):
        modes = decide_all(name, trace, table)
        got = np.where(acknowledged(modes, trace, table), table.tb_size_bits[np.maximum(modes, 0)], 0)
        assert (bits >= got).all()


def test_score_of_a_case_computed_by_hand():
    table = make_mode_table(GRID, np.array([[0.5, 0.5, 0.5]]), np.array([100]), 50)
    uniform = np.array([[0.4], [0.6], [0.5], [0.9]], dtype=np.float32)
    flat = np.ones((4, 1), np.float32)
    trace = Trace(flat, flat, uniform, np.array([1.0]), np.array([1.0]))
    modes = np.array([[0], [0], [0], [-1]], dtype=np.int8)
    result = score(modes, trace, table, (), genie(trace, table))
    assert result.bler == pytest.approx(1 / 3)
    assert result.spectral_efficiency == pytest.approx(2 * 100 / 50 / 4)
    assert result.spectral_efficiency_by_doppler == {"1.0": pytest.approx(1.0)}


def on_time(bits: list[int], packet: float, deadline: int) -> float:
    got = np.array(bits, dtype=np.int64)[:, None]
    flat = np.ones(got.shape, np.float32)
    trace = Trace(flat, flat, flat * 0, np.array([1.0]), np.array([1.0]))
    genie_bits = np.full(got.shape, 100)
    return on_time_ratio(got, genie_bits, trace, TrafficCase(packet / 1000, deadline))


def test_a_packet_is_on_time_in_the_last_slot_of_its_deadline():
    assert on_time([0, 0, 50] + [0] * 7, packet=50, deadline=3) == 1.0
    assert on_time([0, 0, 0, 50] + [0] * 6, packet=50, deadline=3) == 0.0


def test_what_a_dropped_packet_got_is_lost_and_the_next_starts_afresh():
    bits = [40, 0, 0] + [0] * 7 + [40, 10] + [0] * 8
    assert on_time(bits, packet=50, deadline=3) == 0.5


def test_a_slot_serves_several_packets_first_in_first_out():
    assert on_time([0] * 10 + [100] + [0] * 9, packet=50, deadline=20) == 1.0
    assert on_time([0] * 10 + [60] + [0] * 9, packet=50, deadline=20) == 0.5


@pytest.mark.parametrize(("load", "deadline"), [(0.0, 3), (-1.0, 3), (float("nan"), 3), (0.5, 0)])
def test_a_traffic_case_out_of_range_is_refused(load: float, deadline: int):
    with pytest.raises(ValueRefusedError):
        TrafficCase(load, deadline)


@pytest.mark.parametrize(
    ("spelling", "says"),
    [
        ("baysian", "did you mean 'bayesian'"),
        ("outer-loop:tarjet=.1", "takes target"),
        ("outer-loop:target=x", "needs a number"),
        ("outer-loop:target=1", "between 0 and 1"),
        ("outer-loop:step=0", "more than 0 dB"),
        ("outer-loop:silent_above=2", "silent_above"),
        ("inner-loop:target=0", "between 0 and 1"),
        ("fixed:mode=0", "no mode 0"),
        ("fixed:mode=1.5", "whole number"),
        ("bayesian:particles=3", "16 to 16384"),
        ("minstrel:x=1", "takes seed"),
        ("posterior-table:x=1", "takes no numbers"),
        ("genie", "bound"),
    ],
)
def test_a_policy_that_cannot_be_is_refused(spelling: str, says: str, trace: Trace, table: ModeTable):
    with pytest.raises(ValueRefusedError, match=says):
        make_policy(spelling, trace, table)


def test_a_spelling_is_taken_apart():
    assert parse_policy("outer-loop:target=0.2,step=1") == ("outer-loop", {"target": 0.2, "step": 1.0})
