from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qos.demands import EntanglementDemand
from qos.errors import ValueRefusedError
from schedulers.entanglement.allocation import Allocation, allocate
from schedulers.entanglement.compile import Asked, CompileOptions, Packet
from schedulers.entanglement.cpsat.outcome import Options
from schedulers.entanglement.verify import violations
from topologies.files import load

ENDS = ("0", "1", "2")


@st.composite
def wishes(draw: st.DrawFn) -> Asked:
    demand = EntanglementDemand(
        draw(st.sampled_from((*ENDS, "9"))),
        draw(st.sampled_from(ENDS)),
        100 / 2 ** draw(st.integers(2, 8)),
        draw(st.sampled_from([0.4, 0.55, 0.65, 0.8, 0.99])),
        draw(st.sampled_from([None, None, 0.0])),
    )
    return draw(st.sampled_from([demand, (demand, Packet(2))]))


def decide(asked: list[Asked], scheduler: str = "cpsat", *, with_changes: bool = True) -> Allocation:
    return allocate(
        load("star"),
        asked,
        CompileOptions(paths=2),
        scheduler=scheduler,
        options=Options(workers=1, time_limit_s=5, mode="online"),
        with_changes=with_changes,
    )


@settings(max_examples=15, deadline=None)
@given(st.lists(wishes(), max_size=5), st.sampled_from(["cpsat", "rcpsp-np-edf", "rcpsp-pb"]))
def test_every_demand_is_admitted_or_rejected_with_a_reason(asked: list[Asked], scheduler: str) -> None:
    found = decide(asked, scheduler, with_changes=False)
    places = [one.position for one in found.admitted] + [one.position for one in found.rejected]
    assert sorted(places) == list(range(len(asked)))
    assert violations(found.task_set, found.scheduled.schedule) == []
    assert all(one.reason and "\n" not in one.reason for one in found.rejected)
    for one in found.admitted:
        assert one.path[0] == one.demand.source
        assert one.path[-1] == one.demand.destination
        assert one.rate_ebit_per_s >= one.demand.rate_ebit_per_s * (1 - 1e-9)


@settings(max_examples=6, deadline=None)
@given(st.lists(wishes(), min_size=2, max_size=4))
def test_a_change_that_is_offered_is_smaller_than_what_was_asked(asked: list[Asked]) -> None:
    for one in decide(asked).rejected:
        losses = [change.loss for change in one.changes]
        assert losses == sorted(losses)
        assert all(0 < loss <= 1 for loss in losses)
        for change in one.changes:
            assert str(change)
            if change.field != "max_jitter_s":
                assert change.asked is not None
                assert change.possible < change.asked


def test_no_demands_are_an_empty_schedule() -> None:
    found = decide([])
    assert (found.admitted, found.rejected) == ((), ())
    assert found.metrics.throughput_ebit_per_s == 0


def test_an_unknown_scheduler_is_refused() -> None:
    with pytest.raises(ValueRefusedError, match="rcpsp-np-edf"):
        decide([EntanglementDemand("0", "1", 1.0, 0.65)], "rcpsp-np-edff")
