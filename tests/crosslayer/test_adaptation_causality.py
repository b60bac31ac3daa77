"""No policy decides with what it cannot know yet: alter the future and compare."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qos.crosslayer.adaptation.contract import ACKS_AHEAD, TOLD_WORDS, TRUE_SNR, knowledge_for
from qos.crosslayer.adaptation.modetable import ModeTable
from qos.crosslayer.adaptation.registry import BOUNDS, decide_all, policy_names, told_by
from qos.crosslayer.adaptation.trace import Trace

SPELLINGS = [
    f"{name}:particles=128" if name.endswith("bayesian") else name
    for name in policy_names()
    if name not in BOUNDS
] + ["bayesian:particles=128,target=0.1"]
CUT = 200


def altered_from(trace: Trace, slot: int, acks_from: int) -> Trace:
    """Give the trace another channel and other reports from `slot`, other error draws from `acks_from`."""
    random = np.random.default_rng(5)
    snr, cqi, uniform = trace.snr_db.copy(), trace.cqi_db.copy(), trace.ack_uniform.copy()
    snr[acks_from:] = random.uniform(-5, 30, snr[acks_from:].shape)
    cqi[slot:] = random.uniform(-5, 30, cqi[slot:].shape)
    uniform[acks_from:] = random.random(uniform[acks_from:].shape)
    return replace(trace, snr_db=snr, cqi_db=cqi, ack_uniform=uniform)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_decisions_do_not_change_with_the_future(spelling: str, trace: Trace, table: ModeTable):
    """At slot t known: reports up to t, what came of slots up to t - ack delay; nothing else."""
    modes = decide_all(spelling, trace, table)
    last_heard = CUT - trace.ack_delay_slots
    other = decide_all(spelling, altered_from(trace, CUT + 1, last_heard + 1), table)
    np.testing.assert_array_equal(modes[: CUT + 1], other[: CUT + 1])
    if told_by(spelling):
        assert np.any(modes[CUT + 1 :] != other[CUT + 1 :]), "the altered future was never seen at all"


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_same_seed_same_decisions(spelling: str, trace: Trace, table: ModeTable):
    np.testing.assert_array_equal(decide_all(spelling, trace, table), decide_all(spelling, trace, table))


@pytest.mark.parametrize("name", policy_names())
def test_what_a_policy_is_told_is_named(name: str):
    told = told_by(name)
    assert set(told) <= set(TOLD_WORDS)
    if name not in BOUNDS:
        assert not {TRUE_SNR, ACKS_AHEAD} & set(told)


def test_what_a_policy_is_not_told_is_not_there(trace: Trace, table: ModeTable):
    nothing = knowledge_for((), trace, table)
    assert nothing.table is None
    assert nothing.mean_snr_db is None
    assert nothing.doppler_slots is None
    assert nothing.report_age_slots is None
    assert nothing.report_noise_db is None


@pytest.mark.parametrize("spelling", ["inner-loop", "posterior-table", "fixed"])
def test_policies_that_do_not_hear_acks_do_not_change_with_them(
    spelling: str, trace: Trace, table: ModeTable
):
    deaf = replace(trace, ack_uniform=np.zeros_like(trace.ack_uniform))
    np.testing.assert_array_equal(decide_all(spelling, trace, table), decide_all(spelling, deaf, table))


@pytest.mark.parametrize(
    "spelling", ["outer-loop", "plain-outer-loop", "blind-bayesian:particles=128", "minstrel"]
)
def test_policies_without_a_topology_do_not_change_with_it(spelling: str, trace: Trace, table: ModeTable):
    """Told only reports and acknowledgements: the facts of the link cannot matter."""
    lied = replace(
        trace,
        mean_snr_db=trace.mean_snr_db + 7,
        fd_hz=trace.fd_hz * 5,
        cqi_noise_std_db=3.0,
        cqi_delay_slots=9,
    )
    np.testing.assert_array_equal(decide_all(spelling, trace, table), decide_all(spelling, lied, table))
