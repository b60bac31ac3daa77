"""Short transfers beside downloads."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.lfq_short_transfers import Case, measure, scenario

BESIDE_TWO = Case(10_000_000, 2)


def test_every_queue_gets_the_same_transfers() -> None:
    ours, theirs = (scenario(BESIDE_TWO, name, 3).flows for name in ("lfq balanced", "fq_codel"))
    assert ours == theirs
    assert [flow.sender for flow in ours[:2]] == ["cubic", "cubic"]


@pytest.mark.parametrize("preference", ["latency", "balanced"])
def test_few_pages_lose_a_packet_beside_downloads(preference: str) -> None:
    rows = np.concatenate([measure((BESIDE_TWO, f"lfq {preference}", seed))[0] for seed in range(3)])
    assert len(rows) > 60
    assert (rows[:, 1] > 0).mean() < 0.3  # 0.8 where first limits were shared with whoever was there
