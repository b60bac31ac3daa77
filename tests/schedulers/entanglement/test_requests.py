"""Requests beside a periodic schedule: booked between tasks, retried, deferred, dropped, never in the way."""

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_task_sets import task_sets, tasks

from qos.errors import ValueRefusedError
from schedulers.entanglement.admission import admit
from schedulers.entanglement.requests import Outcome, Policy, Request, poisson_requests, serve
from schedulers.entanglement.scheduler import get_scheduler
from schedulers.entanglement.tasks import PeriodicTask, Schedule, TaskSet


def task(task_id: int, length: int, period: int = 8, qubit: str = "a-C0") -> PeriodicTask:
    occupancy = {qubit: ((0, length),)}
    return PeriodicTask(task_id, f"t{task_id}", "a", "b", 0.8, period, length, occupancy)


PERIODIC = TaskSet(0.01, (task(0, 4),))
TABLE = Schedule(8, {0: (2,)})


def outcomes(*requests: Request, policy: Policy | None = None, seed: int = 0) -> tuple[Outcome, ...]:
    return serve(PERIODIC, TABLE, requests, policy, seed).outcomes


def test_a_request_takes_the_first_gap_between_the_tasks() -> None:
    # Free are [0, 2), [6, 10), [14, 18): three slots fit from 6 on.
    assert outcomes(Request(0, task(9, 3), 0, 20)) == (Outcome(0, "delivered", 1, 0, 9),)


def test_a_request_that_finds_no_gap_before_its_deadline_is_dropped() -> None:
    assert outcomes(Request(0, task(9, 5), 0, 100)) == (Outcome(0, "dropped", 0, 0, None),)
    assert outcomes(Request(0, task(9, 3), 0, 8)) == (Outcome(0, "dropped", 0, 0, None),)
    assert outcomes(Request(0, task(9, 3), 0, 2)) == (Outcome(0, "dropped", 0, 0, None),)


def test_failed_attempts_are_tried_again_while_time_and_attempts_are_left() -> None:
    hopeless = [Request(i, task(9, 2), 0, 40, success=1e-12) for i in (0,)]
    assert outcomes(*hopeless, policy=Policy(max_attempts=3)) == (Outcome(0, "failed", 3, 0, None),)
    # One run in [0, 2), two in each of [6, 10), ... [30, 34), and one in [38, 40).
    assert outcomes(*hopeless, policy=Policy(max_attempts=99)) == (Outcome(0, "failed", 10, 0, None),)


def test_success_comes_with_its_probability() -> None:
    requests = [Request(i, task(9, 2), 16 * i, 16 * i + 8, success=0.5) for i in range(400)]
    found = serve(PERIODIC, TABLE, requests, Policy(max_attempts=1), seed=1)
    assert 0.42 < found.delivered_share < 0.58
    assert found == serve(PERIODIC, TABLE, reversed(requests), Policy(max_attempts=1), seed=1)


PATIENT = Request(0, task(9, 2), 0, 40)
URGENT = Request(1, task(9, 4), 1, 10)


def test_a_patient_request_is_put_off_for_an_urgent_one() -> None:
    early = Request(0, task(9, 2), 1, 40)  # booked at 6, in the only gap of the urgent one
    assert outcomes(early, URGENT) == (
        Outcome(0, "delivered", 1, 1, 16),
        Outcome(1, "delivered", 1, 0, 10),
    )
    assert outcomes(early, URGENT, policy=Policy(defer=False))[1].status == "dropped"


def test_what_has_begun_is_not_put_off() -> None:
    assert outcomes(Request(0, task(9, 2), 6, 40), Request(1, task(9, 4), 7, 11))[1].status == "dropped"


def test_under_overload_the_less_valuable_goes() -> None:
    cheap = Request(0, task(9, 2), 1, 9, value=1)
    dear = Request(1, task(9, 4), 1, 10, value=5)
    assert [o.status for o in outcomes(cheap, dear)] == ["dropped", "delivered"]
    assert [o.status for o in outcomes(cheap, dear, policy=Policy(shed=False))] == ["delivered", "dropped"]
    equal = Request(1, task(9, 4), 1, 10, value=1)
    assert [o.status for o in outcomes(cheap, equal)] == ["delivered", "dropped"]


def test_periodic_instances_are_skipped_only_where_allowed_and_never_too_close() -> None:
    requests = [Request(i, task(9, 6), 8 * i, 8 * i + 8, value=2) for i in range(6)]
    assert serve(PERIODIC, TABLE, requests).skipped == ()
    policy = Policy(skip_distance={0: 3}, instance_value={0: 1.0})
    found = serve(PERIODIC, TABLE, requests, policy)
    assert found.skipped == ((0, 0), (0, 3))
    assert [o.status == "delivered" for o in found.outcomes] == [True, False, False, True, False, False]
    assert serve(PERIODIC, TABLE, requests, Policy(skip_distance={0: 3})).skipped == ()


@settings(max_examples=60)
@given(
    task_set=task_sets(4),
    wishes=st.lists(
        st.tuples(st.integers(0, 60), st.integers(1, 40), st.sampled_from([0.5, 1.0]), st.integers(1, 9)),
        max_size=8,
    ),
    protocol=tasks(99),
    shed=st.booleans(),
)
def test_no_attempt_ever_shares_a_slot_of_a_qubit(
    task_set: TaskSet, wishes: list[tuple[int, int, float, int]], protocol: PeriodicTask, shed: bool
) -> None:
    schedule = admit(task_set, get_scheduler("rcpsp-pb"))
    requests = [
        Request(i, protocol, arrival, arrival + window, value, success)
        for i, (arrival, window, success, value) in enumerate(wishes)
    ]
    policy = Policy(shed=shed, skip_distance={t.task_id: 2 for t in task_set.tasks})
    found = serve(task_set, schedule, requests, policy, seed=3)
    assert len(found.outcomes) == len(requests)
    by_id = {outcome.request_id: outcome for outcome in found.outcomes}
    ends: dict[int, list[int]] = defaultdict(list)
    for request in requests:
        outcome = by_id[request.request_id]
        assert outcome.attempts <= policy.max_attempts
        if outcome.end_slot is not None:
            assert outcome.end_slot <= request.deadline_slot
            assert outcome.end_slot - protocol.exec_slots >= request.arrival_slot
            ends[request.request_id].append(outcome.end_slot)
    taken = {
        (qubit, outcome_end - protocol.exec_slots + slot)
        for found_ends in ends.values()
        for outcome_end in found_ends
        for qubit, spans in protocol.occupancy.items()
        for begin, end in spans
        for slot in range(begin, end)
    }
    used = sum(end - begin for spans in protocol.occupancy.values() for begin, end in spans)
    assert len(taken) == used * len(ends)


def test_poisson_requests_come_at_their_rate_and_repeat_with_their_seed() -> None:
    found = poisson_requests([task(9, 2)], 0.01, 5.0, 100_000, 20, seed=2)
    assert 4700 < len(found) < 5300
    assert found == poisson_requests([task(9, 2)], 0.01, 5.0, 100_000, 20, seed=2)
    assert all(request.deadline_slot - request.arrival_slot == 20 for request in found)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((0, task(9, 2), 5, 5), "arrival 5 and deadline 5"),
        ((0, task(9, 2), -1, 5), "arrival -1"),
        ((0, task(9, 2), 0, 5, 0.0), "value"),
        ((0, task(9, 2), 0, 5, 1.0, 0.0), "success"),
        ((0, task(9, 2), 0, 5, 1.0, float("nan")), "success"),
    ],
)
def test_requests_that_cannot_be_are_refused(arguments: tuple[object, ...], complaint: str) -> None:
    with pytest.raises(ValueRefusedError, match=complaint):
        Request(*arguments)  # type: ignore[arg-type]


def test_policies_ids_and_rates_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueRefusedError, match="max_attempts"):
        Policy(max_attempts=0)
    with pytest.raises(ValueRefusedError, match="skip_distance"):
        Policy(skip_distance={0: 1})
    with pytest.raises(ValueRefusedError, match="twice"):
        outcomes(PATIENT, PATIENT)
    with pytest.raises(ValueRefusedError, match="seed"):
        serve(PERIODIC, TABLE, [], seed=-1)
    with pytest.raises(ValueRefusedError, match="rate"):
        poisson_requests([task(9, 2)], 0.01, 0.0, 100, 20, seed=1)
