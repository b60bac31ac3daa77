"""The default policy under this kernel's TCP: it fills the link with a much shorter queue than one BDP."""

from __future__ import annotations

import pytest

from linux_qdisc.lab.compare import Path3, Queue, Scenario

pytestmark = pytest.mark.netns
SHORT = Scenario(10_000_000, 0.04, ("cubic",), 9.0, 4.0)


def test_a_cubic_flow_fills_the_link_and_waits_less_than_half_as_long_as_with_limits_of_one_bdp() -> None:
    with Path3(SHORT) as path:
        fixed = path.measure(Queue("fixed", policy=f"fixed:{SHORT.bdp_bytes}b"))
        learned = path.measure(Queue("lfq", policy="lfq"))
    # Both suffer alike on a machine that is busy with something else; full figures: experiments.lfq_live.
    assert learned.utilisation > 0.8 * fixed.utilisation
    assert learned.delay_s.mean() < 0.5 * max(fixed.delay_s.mean(), SHORT.rtt_s / 2)
