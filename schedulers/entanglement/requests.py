"""Requests for single pairs, on demand and with deadlines, served beside a periodic schedule.

A request is booked at the earliest start before its deadline at which its qubits are free between the
periodic tasks and the requests booked before it. An attempt may fail; it is then tried again while time and
attempts are left. Where nothing is free, booked requests that have not begun may be deferred to a later
start before their own deadline; under overload the start is taken that loses the least value, and only if
that is less than the request is worth: requests that find no other start are dropped, and instances of
periodic tasks are skipped where their task allows it, never two within its skip distance (skip-over model;
Koren & Shasha, RTSS 1995). Retry, defer and drop after Beauchamp et al., arXiv 2503.12582.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Literal, cast

import numpy as np

from qos.errors import ValueRefusedError
from schedulers.entanglement.qubit_table import QubitTable, Stays, stays_from, stays_of_schedule
from schedulers.entanglement.tasks import PeriodicTask, Schedule, TaskSet

Status = Literal["delivered", "failed", "dropped"]
_ARRIVAL, _END = 1, 0


@dataclass(frozen=True, slots=True)
class Request:
    """A demand for one pair.

    Attributes
    ----------
    request_id
        Unique among the requests.
    task
        The protocol that serves it; its period says nothing here.
    arrival_slot, deadline_slot
        When it comes, and by when the pair must be there; 0 <= arrival < deadline.
    value
        What it is worth, > 0.
    success
        Probability that one attempt delivers, in (0, 1].
    """

    request_id: int
    task: PeriodicTask
    arrival_slot: int
    deadline_slot: int
    value: float = 1.0
    success: float = 1.0

    def __post_init__(self) -> None:
        who = f"request {self.request_id}"
        if not 0 <= self.arrival_slot < self.deadline_slot:
            raise ValueRefusedError(
                f"{who}: arrival {self.arrival_slot} and deadline {self.deadline_slot}: "
                "expected 0 <= arrival < deadline"
            )
        if not 0 < self.value < inf:
            raise ValueRefusedError(f"{who}: value {self.value!r} must be more than 0")
        if not 0 < self.success <= 1:
            raise ValueRefusedError(f"{who}: success {self.success!r} must be above 0 and at most 1")


@dataclass(frozen=True, slots=True)
class Policy:
    """How requests are served.

    Attributes
    ----------
    max_attempts
        How often one request is tried, >= 1.
    defer
        Whether booked requests may be put off for others.
    shed
        Whether what is worth less may be dropped or skipped for what is worth more.
    skip_distance
        For tasks that may skip instances: of so many in a row at most one, >= 2.
    instance_value
        What a periodic instance is worth, by task id; infinite where none is given.
    search_starts
        Among how many starts the cheapest is sought under overload.
    """

    max_attempts: int = 8
    defer: bool = True
    shed: bool = True
    skip_distance: Mapping[int, int] = field(default_factory=dict)
    instance_value: Mapping[int, float] = field(default_factory=dict)
    search_starts: int = 64

    def __post_init__(self) -> None:
        if self.max_attempts < 1:
            raise ValueRefusedError(f"max_attempts {self.max_attempts}: must be at least 1")
        for task_id, distance in self.skip_distance.items():
            if distance < 2:
                raise ValueRefusedError(f"skip_distance {distance} of task {task_id}: must be at least 2")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a request.

    Attributes
    ----------
    request_id
        Which one.
    status
        Delivered; failed in all its attempts or for lack of time for another; or dropped untried.
    attempts, deferrals
        How often it was tried and put off.
    end_slot
        When the pair was there; None if it never was.
    """

    request_id: int
    status: Status
    attempts: int
    deferrals: int
    end_slot: int | None


@dataclass(frozen=True, slots=True)
class Service:
    """What became of all requests, by arrival, and which periodic instances were skipped for them.

    Attributes
    ----------
    outcomes
        One for each request.
    skipped
        Task id and number of each skipped instance, counted from slot 0.
    delivered_share, value_share
        Of the requests, and of what they are worth; 1 where there are none.
    """

    outcomes: tuple[Outcome, ...]
    skipped: tuple[tuple[int, int], ...]
    delivered_share: float
    value_share: float


_Lifted = list[tuple["_Booking", int]]
_Gone = list[tuple["Holder", Stays]]
Holder = tuple[str, int, int]
"""``("task", task id, instance)`` or ``("request", request id, 0)``."""


@dataclass(slots=True)
class _Booking:
    """Where a request stands."""

    request: Request
    start: int = -1
    attempts: int = 0
    deferrals: int = 0
    status: Status | None = None
    end_slot: int | None = None


@dataclass(frozen=True, slots=True)
class _Plan:
    """What taking a start costs."""

    loss: float
    deferred: int
    start: int


class _Desk:
    """The table of the periodic tasks, laid ahead of time, and the bookings in between."""

    def __init__(self, task_set: TaskSet, schedule: Schedule, policy: Policy) -> None:
        tasks = {task.task_id: task for task in task_set.tasks}
        self.instances = list(stays_of_schedule(tasks, schedule))
        self.counts = {task_id: len(starts) for task_id, starts in schedule.starts.items()}
        self.hyperperiod = schedule.hyperperiod_slots
        self.policy = policy
        self.table = QubitTable()
        self.bookings: dict[int, _Booking] = {}
        self.skipped: set[tuple[int, int]] = set()
        self._laid = 0
        self._ends: list[tuple[int, Holder]] = []
        self._trial: tuple[_Booking, _Lifted, _Gone] | None = None

    def lay_until(self, slot: int) -> None:
        """Lay tables of the periodic schedule up to a slot."""
        while self._laid * self.hyperperiod < slot:
            shift = self._laid * self.hyperperiod
            for (task_id, k), stays in self.instances:
                holder = ("task", task_id, k + self._laid * self.counts[task_id])
                self._put(holder, tuple((qubit, shift + b, shift + e) for qubit, b, e in stays))
            self._laid += 1

    def _put(self, holder: Holder, stays: Stays) -> None:
        self.table.put(holder, stays)
        heapq.heappush(self._ends, (max(end for _, _, end in stays), holder))

    def forget(self, slot: int) -> None:
        """Forget periodic instances that are over; bookings go when their attempt ends."""
        while self._ends and self._ends[0][0] <= slot:
            _, holder = heapq.heappop(self._ends)
            if holder[0] == "task" and (holder[1], holder[2]) not in self.skipped:
                self.table.remove(holder)

    def put_booking(self, booking: _Booking, start: int) -> None:
        """Give a request a start."""
        booking.start = start
        stays = stays_from(booking.request.task.occupancy, start)
        self.table.put(("request", booking.request.request_id, 0), stays)

    def lift_booking(self, booking: _Booking) -> int:
        """Take a request's start away; say what it was."""
        self.table.remove(("request", booking.request.request_id, 0))
        start, booking.start = booking.start, -1
        return start

    def free_starts(self, request: Request, now: int) -> list[int]:
        """List the free starts of a request from now to its deadline."""
        latest = request.deadline_slot - request.task.exec_slots
        return self.table.free_starts(request.task.occupancy, max(now, request.arrival_slot), latest)

    def _may_skip(self, task_id: int, instance: int) -> bool:
        distance = self.policy.skip_distance.get(task_id, 0)
        near = range(instance - distance + 1, instance + distance)
        return distance > 0 and not any((task_id, other) in self.skipped for other in near)

    def _movable(self, holders: Sequence[Holder], now: int) -> bool:
        """Say if everything in the way may be put off or skipped."""
        for kind, number, instance in holders:
            begun = self.table.begin((kind, number, instance)) <= now
            if kind == "task" and (begun or not self.policy.shed or not self._may_skip(number, instance)):
                return False
            if kind == "request" and (begun or not self.policy.defer):
                return False
        in_rows = [number for kind, number, _ in holders if kind == "task"]
        return len(in_rows) == len(set(in_rows))

    def _clear(
        self, holders: Sequence[Holder]
    ) -> tuple[list[tuple[_Booking, int]], list[tuple[Holder, Stays]]]:
        lifted, gone = [], []
        for holder in holders:
            if holder[0] == "request":
                booking = self.bookings[holder[1]]
                lifted.append((booking, self.lift_booking(booking)))
            else:
                gone.append((holder, self.table.remove(holder)))
        return lifted, gone

    def _rebook(self, lifted: Sequence[tuple[_Booking, int]], now: int) -> None:
        """Give those put off another start, those with the earliest deadline first."""
        for booking, _ in sorted(lifted, key=lambda pair: pair[0].request.deadline_slot):
            free = self.free_starts(booking.request, now)
            if free:
                self.put_booking(booking, free[0])

    def take(self, booking: _Booking, start: int, now: int) -> _Plan | None:
        """Book a start and put off or skip what is in the way, as a trial; None if that may not be."""
        stays = stays_from(booking.request.task.occupancy, start)
        holders = cast("list[Holder]", self.table.in_the_way(stays))
        if not self._movable(holders, now):
            return None
        lifted, gone = self._clear(holders)
        self.put_booking(booking, start)
        self._rebook(lifted, now)
        lost = [other.request.value for other, _ in lifted if other.start < 0]
        skipped = [self.policy.instance_value.get(holder[1], inf) for holder, _ in gone]
        plan = _Plan(sum(lost) + sum(skipped), len(lifted), start)
        self._trial = (booking, lifted, gone)
        return plan

    def give_back(self) -> None:
        """Undo the last trial."""
        assert self._trial is not None
        booking, lifted, gone = self._trial
        self.lift_booking(booking)
        for other, start in lifted:
            if other.start >= 0:
                self.lift_booking(other)
            self.put_booking(other, start)
        for holder, stays in gone:
            self.table.put(holder, stays)

    def keep(self) -> list[_Booking]:
        """Make the last trial final; say whose bookings changed."""
        assert self._trial is not None
        booking, lifted, gone = self._trial
        self.skipped |= {(holder[1], holder[2]) for holder, _ in gone}
        for other, _ in lifted:
            other.deferrals += 1
            if other.start < 0:
                other.status = "dropped" if other.attempts == 0 else "failed"
        return [booking, *(other for other, _ in lifted if other.start >= 0)]

    def book(self, booking: _Booking, now: int) -> list[_Booking]:
        """Find a start for a request; say whose bookings changed, nobody's if there is none."""
        request = booking.request
        self.lay_until(request.deadline_slot)
        free = self.free_starts(request, now)
        if free:
            self.put_booking(booking, free[0])
            return [booking]
        first = max(now, request.arrival_slot)
        latest = min(request.deadline_slot - request.task.exec_slots, first + self.policy.search_starts - 1)
        best: _Plan | None = None
        for start in range(first, latest + 1) if self.policy.defer or self.policy.shed else ():
            plan = self.take(booking, start, now)
            if plan is None:
                continue
            self.give_back()
            allowed = plan.loss == 0 or (self.policy.shed and plan.loss < request.value)
            if allowed and (best is None or (plan.loss, plan.deferred) < (best.loss, best.deferred)):
                best = plan
        if best is None:
            return []
        self.take(booking, best.start, now)
        return self.keep()


def serve(
    task_set: TaskSet,
    schedule: Schedule,
    requests: Iterable[Request],
    policy: Policy | None = None,
    seed: int = 0,
) -> Service:
    """Serve requests beside a periodic schedule that repeats for ever.

    Parameters
    ----------
    task_set, schedule
        The periodic tasks and a valid schedule of some of them.
    requests
        In any order; handled by arrival, then by id.
    policy
        How to serve them.
    seed
        Of the attempts; each request has its own stream.

    Raises
    ------
    ValueRefusedError
        If two requests have the same id, or the seed is negative.
    """
    if seed < 0:
        raise ValueRefusedError(f"seed {seed}: must not be negative")
    rules = policy or Policy()
    desk = _Desk(task_set, schedule, rules)
    events: list[tuple[int, int, int, int]] = []
    for request in sorted(requests, key=lambda r: (r.arrival_slot, r.request_id)):
        if request.request_id in desk.bookings:
            raise ValueRefusedError(f"request {request.request_id}: its id occurs twice")
        desk.bookings[request.request_id] = _Booking(request)
        heapq.heappush(events, (request.arrival_slot, _ARRIVAL, request.request_id, -1))
    draws = {i: np.random.default_rng(np.random.SeedSequence((seed, i))) for i in desk.bookings}
    while events:
        now, kind, request_id, start = heapq.heappop(events)
        booking = desk.bookings[request_id]
        if kind == _END:
            if booking.start != start or booking.status is not None:
                continue  # it was put off after this event was planned
            desk.lift_booking(booking)
            booking.attempts += 1
            if draws[request_id].random() < booking.request.success:
                booking.status, booking.end_slot = "delivered", now
                continue
        desk.forget(now)
        changed = desk.book(booking, now) if booking.attempts < rules.max_attempts else []
        if not changed:
            booking.status = "failed" if booking.attempts else "dropped"
        for other in changed:
            end = other.start + other.request.task.exec_slots
            heapq.heappush(events, (end, _END, other.request.request_id, other.start))
    return _summed_up(desk)


def _summed_up(desk: _Desk) -> Service:
    bookings = list(desk.bookings.values())
    outcomes = tuple(
        Outcome(b.request.request_id, b.status or "failed", b.attempts, b.deferrals, b.end_slot)
        for b in bookings
    )
    delivered = [booking for booking in bookings if booking.status == "delivered"]
    value = sum(booking.request.value for booking in bookings)
    return Service(
        outcomes=outcomes,
        skipped=tuple(sorted(desk.skipped)),
        delivered_share=len(delivered) / len(bookings) if bookings else 1.0,
        value_share=sum(booking.request.value for booking in delivered) / value if value else 1.0,
    )


def poisson_requests(
    tasks: Sequence[PeriodicTask],
    slot_s: float,
    rate_per_s: float,
    horizon_slots: int,
    window_slots: int,
    seed: int,
) -> list[Request]:
    """Draw requests that arrive as a Poisson process, each served by one of some protocols.

    Parameters
    ----------
    tasks
        The protocols to choose from, all alike likely.
    slot_s
        Length of a slot in seconds.
    rate_per_s
        Mean number of arrivals a second, > 0.
    horizon_slots
        No arrivals from this slot on.
    window_slots
        From arrival to deadline.
    seed
        Of all draws.

    Raises
    ------
    ValueRefusedError
        If the rate or the window is out of range, or there is no protocol.
    """
    if not 0 < rate_per_s < inf or not tasks or window_slots < 1:
        raise ValueRefusedError(
            f"rate {rate_per_s!r}/s, {len(tasks)} protocols, window {window_slots}: all must be more than 0"
        )
    rng = np.random.default_rng(seed)
    found: list[Request] = []
    time_s = rng.exponential(1 / rate_per_s)
    while time_s < horizon_slots * slot_s:
        slot = int(time_s / slot_s)
        task = tasks[int(rng.integers(len(tasks)))]
        found.append(Request(len(found), task, slot, slot + window_slots))
        time_s += rng.exponential(1 / rate_per_s)
    return found
