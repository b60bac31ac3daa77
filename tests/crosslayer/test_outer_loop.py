"""The outer loop: its target, its limits, and that a block is the slots it is made of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qos.crosslayer.adaptation.bounds import acknowledged, genie
from qos.crosslayer.adaptation.contract import Feedback, knowledge_for
from qos.crosslayer.adaptation.modetable import ModeTable, load_mode_table, make_mode_table
from qos.crosslayer.adaptation.outer_loop import OuterLoop, OuterLoopRun, PlainOuterLoop, evenly_spaced
from qos.crosslayer.adaptation.outer_loop_kernel import OuterLoopRule
from qos.crosslayer.adaptation.registry import decide_all
from qos.crosslayer.adaptation.replay import replay, score
from qos.crosslayer.adaptation.simulated import SimulationPlan, simulate_trace
from qos.crosslayer.adaptation.trace import Trace, load_trace
from qos.errors import ValueRefusedError


@pytest.mark.parametrize(
    "rule", [OuterLoopRule(), OuterLoopRule(target=0.2, step_db=0.3, anti_windup=True, silent_above=0.7)]
)
@given(pieces=st.lists(st.integers(1, 150), min_size=1, max_size=4))
def test_blocks_decide_as_slot_by_slot(
    rule: OuterLoopRule, pieces: list[int], trace: Trace, table: ModeTable
):
    policy = PlainOuterLoop(knowledge_for(PlainOuterLoop.told, trace, table), rule)
    slotwise = replay(policy, trace, table)
    run = OuterLoopRun(table, rule, trace.users, trace.ack_delay_slots)
    start = 0
    for rows in [*pieces, trace.slots]:
        block = slice(start, min(start + rows, trace.slots))
        if block.start < block.stop:
            modes, acks = run.run(trace.cqi_db[block], trace.snr_db[block], trace.ack_uniform[block])
            np.testing.assert_array_equal(modes, slotwise[block])
            np.testing.assert_array_equal(acks, acknowledged(slotwise, trace, table)[block])
        start = block.stop
    np.testing.assert_array_equal(run.offset_db, policy.offset_db)


def test_the_error_rate_settles_on_the_target(table: ModeTable):
    plan = SimulationPlan(doppler_hz=(1.0,), mean_snr_db=(18.0,), users_per_class=20, slots=4000)
    trace = simulate_trace(plan, seed=1)
    rule = OuterLoopRule(target=0.1, step_db=0.2)
    modes = replay(PlainOuterLoop(knowledge_for(PlainOuterLoop.told, trace, table), rule), trace, table)
    tail = slice(1000, None)
    failed = (~acknowledged(modes, trace, table))[tail]
    assert failed.mean() == pytest.approx(0.1, abs=0.015)


def test_the_offset_stays_within_its_limits(table: ModeTable, trace: Trace):
    dead = replace(trace, snr_db=np.full_like(trace.snr_db, -40.0))
    policy = PlainOuterLoop(knowledge_for(PlainOuterLoop.told, dead, table), OuterLoopRule(step_db=1.0))
    replay(policy, dead, table)
    assert policy.offset_db.max() == 20.0


def hard_fades(trace: Trace) -> Trace:
    """The first half of each 100 slots is hopeless and reported so; the rest is good."""
    good = (np.arange(trace.slots) % 100 >= 50)[:, None]
    level = np.where(good, 20.0, -12.0).astype(np.float32) * np.ones_like(trace.snr_db)
    return replace(trace, snr_db=level, cqi_db=level)


def test_anti_windup_keeps_the_offset_through_fades_that_no_mode_survives(trace: Trace, table: ModeTable):
    faded = hard_fades(trace)
    offsets, carried = {}, {}
    for name, kind in (("plain", PlainOuterLoop), ("anti-windup", OuterLoop)):
        rule = OuterLoopRule(target=0.01, step_db=1.0, anti_windup=kind is OuterLoop, silent_above=1.0)
        policy = kind(knowledge_for(kind.told, faded, table), rule)
        modes = replay(policy, faded, table)
        offsets[name] = policy.offset_db.mean()
        carried[name] = score(modes, faded, table, (), genie(faded, table)).spectral_efficiency
    assert offsets["plain"] == pytest.approx(20.0, abs=1.0)
    assert offsets["anti-windup"] < 3.0
    assert carried["anti-windup"] > 2 * carried["plain"]


def test_silence_where_the_lowest_mode_would_fail_and_it_ends(trace: Trace, table: ModeTable):
    faded = hard_fades(trace)
    modes = decide_all("outer-loop", faded, table)
    silent = (modes < 0).mean(axis=1)
    phase = np.arange(trace.slots) % 100
    assert (silent[phase < 50] == 1).all()
    assert (silent[phase >= 50] == 0).all()
    assert (decide_all("plain-outer-loop", faded, table) >= 0).all()


def test_a_silent_loop_lets_its_offset_sink(trace: Trace, table: ModeTable):
    one = replace(knowledge_for(OuterLoop.told, trace, table), users=1)
    policy = OuterLoop(one, OuterLoopRule(step_db=5.0, anti_windup=True, silent_above=0.5))
    report = np.array([3.0], np.float32)
    lost = np.array([False])
    modes = [policy.decide(0, report, None)]
    for slot in range(1, 60):
        modes.append(policy.decide(slot, report, Feedback(slot - 1, modes[-1], lost)))
    sent = np.array(modes)[:, 0] >= 0
    assert not sent.all()
    assert sent[1:][~sent[:-1]].any(), "silence never ended"


@pytest.mark.parametrize(
    "rule", [OuterLoopRule(target=0.0), OuterLoopRule(step_db=-1.0), OuterLoopRule(silent_above=0.0)]
)
def test_a_rule_out_of_range_is_refused(rule: OuterLoopRule, table: ModeTable):
    with pytest.raises(ValueRefusedError):
        OuterLoopRun(table, rule, 3, 4)


def test_an_uneven_grid_gives_the_modes_of_its_nearest_points(trace: Trace, table: ModeTable):
    keep = np.ones(table.snr_grid_db.size, dtype=bool)
    keep[np.random.default_rng(4).choice(np.arange(1, keep.size - 1), 60, replace=False)] = False
    uneven = make_mode_table(
        table.snr_grid_db[keep], table.block_error_rate[:, keep], table.tb_size_bits, table.num_re
    )
    assert uneven.grid_step_db is None
    for name in ("plain-outer-loop", "outer-loop"):
        assert decide_all(name, trace, uneven).shape == trace.snr_db.shape
    even = evenly_spaced(uneven)
    assert even.grid_step_db == pytest.approx(0.1)
    at = uneven.grid_index(even.snr_grid_db)
    np.testing.assert_array_equal(even.block_error_rate, uneven.block_error_rate[:, at])


def test_a_delay_of_no_slot_is_refused(table: ModeTable):
    with pytest.raises(ValueRefusedError, match="at least 1 slot"):
        OuterLoopRun(table, OuterLoopRule(), 3, 0)


@pytest.mark.parametrize(
    ("spelling", "bler", "efficiency", "by_doppler"),
    [
        ("plain-outer-loop", 0.113, 2.275, (2.96, 2.62, 2.34, 1.76, 1.69)),
        ("plain-outer-loop:step=0.1", 0.113, 2.354, (2.88, 2.72, 2.52, 1.89, 1.76)),
        ("inner-loop", 0.295, 2.494, (3.00, 2.73, 2.53, 2.14, 2.07)),
        ("posterior-table", 0.204, 2.785, (3.20, 2.98, 2.79, 2.50, 2.46)),
    ],
)
def test_published_figures_of_the_reference_trace(
    shared_data: Path, spelling: str, bler: float, efficiency: float, by_doppler: tuple[float, ...]
):
    """The table of specs/crosslayer.md section i is of 200 users, the trace of 100: within 1.5 %."""
    trace = load_trace(shared_data / "crosslayer" / "trace.npz")
    table = load_mode_table(shared_data / "crosslayer" / "nr_tbler_table.npz")
    modes = decide_all(spelling, trace, table)
    got = score(modes, trace, table, (), genie(trace, table))
    assert got.bler == pytest.approx(bler, abs=0.003)
    assert got.spectral_efficiency == pytest.approx(efficiency, rel=0.003)
    assert list(got.spectral_efficiency_by_doppler.values()) == pytest.approx(by_doppler, rel=0.015)
