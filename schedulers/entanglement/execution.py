"""What a schedule delivers on links that succeed by chance: a Monte Carlo replay, slot times kept (compiled).

A schedule promises one pair a period, as if every operation succeeded. Here each link makes heralded
attempts during its slots (geometric; where no attempt time is given, arrivals are a Poisson process), a
swap succeeds with a probability, a distillation with that of its two Werner states, and pairs decohere in
memory. An operation succeeds only if all pairs that it needs are there. A task may end in several operations
(runs that repeat, packets of pairs): each is a chance to deliver a pair. The schedule itself never moves.

A qubit waits from the moment that its pair exists to the end of the next operation on it, or until it is
given free. Its memory takes ``exp(-t / T1)`` of the ZZ correlation and ``exp(-t / T2)`` of XX and YY; pairs
are twirled to Werner states of parameter ``w = (4 F - 1) / 3``. Swapping multiplies the parameters, in
whatever order swaps run; distillation is that of section IV of arXiv 2111.13124.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from math import inf, isfinite, sqrt
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from qos.compiled import compiled
from qos.errors import ValueRefusedError
from schedulers.entanglement.packing import IntArray
from schedulers.entanglement.tasks import PeriodicTask, Schedule, TaskSet

FloatArray = npt.NDArray[np.float64]
NORMAL_95 = 1.959963984540054
LINK, DISTILL, SWAP = 0, 1, 2
_KINDS = {"link": LINK, "distill": DISTILL, "swap": SWAP}


@dataclass(frozen=True, slots=True)
class LinkQuality:
    """How one link generation does.

    Attributes
    ----------
    rate_per_s
        Mean number of pairs a second while it tries, > 0.
    fidelity
        Of a new pair, in (0.25, 1].
    """

    rate_per_s: float
    fidelity: float

    def __post_init__(self) -> None:
        if not (isfinite(self.rate_per_s) and self.rate_per_s > 0):
            raise ValueRefusedError(f"link rate {self.rate_per_s!r} ebit/s: must be more than 0")
        if not 0.25 < self.fidelity <= 1:
            raise ValueRefusedError(f"link fidelity {self.fidelity!r}: must be above 0.25 and at most 1")


@dataclass(frozen=True, slots=True)
class Conditions:
    """What the replay assumes about the network.

    Attributes
    ----------
    attempt_s
        Time of one attempt at a link; None: so short that arrivals are a Poisson process.
    swap_success
        Probability that a swap succeeds, in (0, 1].
    memory
        T1 and T2 of every qubit whose node is not in `memories`, in seconds, each > 0; infinite: no decay.
    memories
        The same by node, the part of a qubit's name before the last hyphen.
    pairs
        How many pairs a period a task promises, by task id; 1 where nothing is said.
    links
        The quality of a link by task id and index of the operation. Where none is given, its mean time is
        its slots, and its fidelity the one that brings the task to its demanded fidelity if all links are
        alike and nothing decoheres.
    """

    attempt_s: float | None = None
    swap_success: float = 1.0
    memory: tuple[float, float] = (inf, inf)
    memories: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    pairs: Mapping[int, int] = field(default_factory=dict)
    links: Mapping[tuple[int, int], LinkQuality] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.attempt_s is not None and not 0 < self.attempt_s < inf:
            raise ValueRefusedError(f"attempt_s {self.attempt_s!r}: must be more than 0 seconds")
        if not 0 < self.swap_success <= 1:
            raise ValueRefusedError(f"swap_success {self.swap_success!r}: must be above 0 and at most 1")
        for times in (self.memory, *self.memories.values()):
            if not (times[0] > 0 and times[1] > 0):
                raise ValueRefusedError(f"memory {times!r}: T1 and T2 must be more than 0 seconds")
        for task_id, pairs in self.pairs.items():
            if pairs < 1:
                raise ValueRefusedError(f"pairs {pairs} of task {task_id}: must be at least 1")


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean and its 95 % confidence interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class TaskExecution:
    """What one task got, against what was promised.

    Attributes
    ----------
    task_id
        Which task.
    promised_ebit_per_s, min_fidelity
        What the schedule and the demand say.
    completion
        Share of instances that delivered all their pairs (Wilson interval).
    delivered_ebit_per_s
        Pairs delivered a second, none beyond the promised number a period.
    fidelity
        Mean of the delivered pairs; None if there were none.
    interval_jitter_s2
        Variance of the time from one complete instance to the next; 0 for fewer than three.
    instances
        How many were replayed.
    """

    task_id: int
    promised_ebit_per_s: float
    min_fidelity: float
    completion: Estimate
    delivered_ebit_per_s: Estimate
    fidelity: Estimate | None
    interval_jitter_s2: float
    instances: int

    @property
    def keeps_fidelity(self) -> bool:
        """Whether the demanded fidelity is inside or below the interval of the delivered one."""
        return self.fidelity is not None and self.fidelity.high >= self.min_fidelity


@dataclass(frozen=True, slots=True)
class Execution:
    """A replay of a whole schedule.

    Attributes
    ----------
    rounds
        How many tables were replayed.
    promised_ebit_per_s, delivered_ebit_per_s
        Over all admitted tasks.
    tasks
        One by one, in order of arrival.
    """

    rounds: int
    promised_ebit_per_s: float
    delivered_ebit_per_s: Estimate
    tasks: tuple[TaskExecution, ...]


class _Steps(NamedTuple):
    """The operations of a task in arrays, parents first.

    Parents are places in them, -1 for none; `decay` holds for each operation and each qubit that it leaves
    its pair in the decay rates of ZZ and of XX and YY, shape (operations, qubits, 2), 0 where there are
    fewer; `ends` the places of those that deliver.
    """

    kind: IntArray
    duration: IntArray
    parents: IntArray
    rate: FloatArray
    werner: FloatArray
    decay: FloatArray
    ends: IntArray


@compiled
def _distilled(first: float, second: float) -> tuple[float, float]:
    """Give the Werner parameter after a distillation that succeeds, and the probability that it does."""
    one, two = (3 * first + 1) / 4, (3 * second + 1) / 4
    b, c = (1 - one) / 3, (1 - two) / 3
    success = one * two + one * c + two * b + 5 * b * c
    return (4 * (one * two + b * c) / success - 1) / 3, success


@compiled
def _arrival(rate: float, attempt_s: float, duration_s: float, draw: float) -> float:
    """Say after which time a link is there, or infinity; `draw` is uniform in [0, 1)."""
    if attempt_s == 0:
        waited = -np.log1p(-draw) / rate
        return waited if waited <= duration_s else np.inf
    success = min(1.0, rate * attempt_s)
    attempts = 1.0 if success == 1.0 else np.floor(np.log1p(-draw) / np.log1p(-success)) + 1
    possible = np.floor(duration_s / attempt_s * (1 + 1e-12))
    return attempts * attempt_s if attempts <= possible else np.inf


@compiled
def _kept(decay_per_s: FloatArray, until_s: FloatArray, since_s: float) -> float:
    """Say what is left of a Werner parameter after its qubits waited, twirled again."""
    population, coherence = 0.0, 0.0
    for qubit in range(until_s.size):
        waited_s = until_s[qubit] - since_s
        population += decay_per_s[qubit, 0] * waited_s
        coherence += decay_per_s[qubit, 1] * waited_s
    return float((np.exp(-population) + 2 * np.exp(-coherence)) / 3)


@compiled
def _replay_step(
    steps: _Steps,
    step: int,
    begin_s: float,
    until_s: FloatArray,
    werner: FloatArray,
    physics: FloatArray,
    draw: float,
) -> None:
    """Run one operation: note the Werner parameter of its pair as it is next used, -1 if there is none."""
    slot_s, attempt_s, swap_success = physics[0], physics[1], physics[2]
    duration_s = steps.duration[step] * slot_s
    werner[step] = -1.0
    if steps.kind[step] == LINK:
        there = begin_s + _arrival(steps.rate[step], attempt_s, duration_s, draw)
        if there != np.inf:
            werner[step] = steps.werner[step] * _kept(steps.decay[step], until_s, there)
        return
    one, two = werner[steps.parents[step, 0]], werner[steps.parents[step, 1]]
    if one < 0 or two < 0:
        return
    if steps.kind[step] == SWAP:
        result, success = one * two, swap_success
    else:
        result, success = _distilled(one, two)
    if draw < success:
        werner[step] = result * _kept(steps.decay[step], until_s, begin_s + duration_s)


@compiled
def _replay(
    steps: _Steps,
    begins_s: FloatArray,
    untils_s: FloatArray,
    rounds: int,
    physics: FloatArray,
    rng: np.random.Generator,
) -> FloatArray:
    """Run all instances of a task for some tables.

    Parameters
    ----------
    begins_s, untils_s
        When each operation begins, shape (instances, operations), and until when each qubit of its pair
        waits, shape (instances, operations, qubits).
    physics
        Slot length, attempt time and swap success.

    Returns
    -------
    array
        The Werner parameter of each pair when it is handed over, -1 for none; shape
        (rounds, instances, ends).
    """
    size = steps.kind.size
    found = np.empty((rounds, begins_s.shape[0], steps.ends.size))
    werner = np.empty(size)
    for turn in range(rounds):
        for instance in range(begins_s.shape[0]):
            for step in range(size):
                begin_s, until_s = begins_s[instance, step], untils_s[instance, step]
                _replay_step(steps, step, begin_s, until_s, werner, physics, rng.random())
            for index in range(steps.ends.size):
                found[turn, instance, index] = werner[steps.ends[index]]
    return found


def _order(task: PeriodicTask) -> list[int]:
    """Order the operations so that parents come first."""
    operations = task.operations
    if not operations:
        raise ValueRefusedError(
            f"task {task.task_id}: its operations are not known; they are needed to replay it"
        )
    for operation in operations:
        wanted = 0 if operation.kind == "link" else 2
        if len(operation.parents) != wanted:
            raise ValueRefusedError(
                f"task {task.task_id}: operation {operation.name!r} ({operation.kind}) has "
                f"{len(operation.parents)} parents; {wanted} are needed to replay it"
            )
    waiting_for = {index: operation.parents for index, operation in enumerate(operations)}
    try:
        return list(TopologicalSorter(waiting_for).static_order())
    except CycleError:
        raise ValueRefusedError(f"task {task.task_id}: its operations wait for each other") from None


def _ends(task: PeriodicTask, order: list[int]) -> list[int]:
    """Give the places in the order of the operations that nothing waits for."""
    waited_for = {parent for operation in task.operations for parent in operation.parents}
    return [place for place, index in enumerate(order) if index not in waited_for]


def _delivered_werner(task: PeriodicTask, order: list[int], link: float) -> float:
    """Give the Werner parameter that a task delivers from links all alike, without any waiting."""
    werner: dict[int, float] = {}
    for index in order:
        operation = task.operations[index]
        if operation.kind == "link":
            werner[index] = link
            continue
        one, two = (werner[parent] for parent in operation.parents)
        werner[index] = one * two if operation.kind == "swap" else _distilled(one, two)[0]
    return min(werner[order[place]] for place in _ends(task, order))


def sufficient_link_fidelity(task: PeriodicTask) -> float:
    """Find the fidelity of links, all alike, that brings a task just to its demanded fidelity.

    Raises
    ------
    ValueRefusedError
        If the task's operations are not known or are no protocol.
    """
    order = _order(task)
    wanted = (4 * task.min_fidelity - 1) / 3
    low, high = 0.0, 1.0
    while high - low > 1e-12:
        middle = (low + high) / 2
        if _delivered_werner(task, order, middle) < wanted:
            low = middle
        else:
            high = middle
    return (3 * high + 1) / 4


def _users(task: PeriodicTask, order: list[int]) -> dict[int, set[int]]:
    """Name for each operation those that use its pair, directly or through others."""
    found: dict[int, set[int]] = {index: set() for index in order}
    for index in reversed(order):
        for parent in task.operations[index].parents:
            found[parent] |= {index} | found[index]
    return found


def _waits(task: PeriodicTask, index: int, users: set[int]) -> dict[str, int]:
    """Say until which offset each qubit waits that an operation leaves its pair in.

    To the end of the next operation on it that uses the pair; the qubits of a pair that is handed over are
    free when their stay ends or another run begins on them.
    """
    operation = task.operations[index]
    end = operation.offset_slots + operation.duration_slots
    found = {}
    for qubit in operation.locked_qubits:
        later = [
            (other.offset_slots, number)
            for number, other in enumerate(task.operations)
            if qubit in other.qubits and other.offset_slots >= end
        ]
        begin, following = min(later, default=(task.exec_slots, -1))
        if following in users:
            found[qubit] = begin + task.operations[following].duration_slots
        else:
            stays = [until for start, until in task.occupancy.get(qubit, ()) if start < end <= until]
            found[qubit] = min([begin, *stays])
    return found


def _decays(task: PeriodicTask, order: list[int], conditions: Conditions) -> FloatArray:
    """Lay out the decay rates of the qubits that hold each operation's pair."""
    most = max(len(operation.locked_qubits) for operation in task.operations)
    found = np.zeros((len(order), most, 2))
    for place, index in enumerate(order):
        for number, qubit in enumerate(task.operations[index].locked_qubits):
            t1_s, t2_s = conditions.memories.get(qubit.rpartition("-")[0], conditions.memory)
            found[place, number] = 1 / t1_s, 1 / t2_s
    return found


def _steps(task: PeriodicTask, order: list[int], slot_s: float, conditions: Conditions) -> _Steps:
    position = {index: place for place, index in enumerate(order)}
    usual: float | None = None
    rates, werner = np.zeros(len(order)), np.zeros(len(order))
    parents = np.full((len(order), 2), -1, dtype=np.int64)
    for place, index in enumerate(order):
        operation = task.operations[index]
        if operation.kind == "link":
            quality = conditions.links.get((task.task_id, index))
            if quality is None:
                usual = sufficient_link_fidelity(task) if usual is None else usual
                quality = LinkQuality(1 / (operation.duration_slots * slot_s), usual)
            rates[place], werner[place] = quality.rate_per_s, (4 * quality.fidelity - 1) / 3
        else:
            parents[place] = [position[parent] for parent in operation.parents]
    operations = [task.operations[index] for index in order]
    kinds = np.array([_KINDS[operation.kind] for operation in operations], dtype=np.int64)
    durations = np.array([operation.duration_slots for operation in operations], dtype=np.int64)
    ends = np.array(_ends(task, order), dtype=np.int64)
    decay = _decays(task, order, conditions)
    return _Steps(kinds, durations, parents, rates, werner, decay, ends)


class _Clock:
    """Where the offsets of a task lie in time, instance by instance."""

    def __init__(self, task: PeriodicTask, schedule: Schedule, slot_s: float) -> None:
        self._slot_s = slot_s
        self._shifts: list[list[tuple[int, int]]] = []
        for instance, start in enumerate(schedule.starts[task.task_id]):
            parts = schedule.segments.get(task.task_id, ())
            shifts, done = [], 0
            for begin, length in parts[instance] if parts else ((start, task.exec_slots),):
                shifts.append((done + length, begin - done))
                done += length
            self._shifts.append(shifts)

    def begins_s(self, offsets: Sequence[int]) -> FloatArray:
        """Say when what begins at some offsets begins, shape (instances, offsets)."""
        return self._at(offsets, 1)

    def ends_s(self, offsets: Sequence[int]) -> FloatArray:
        """Say when what ends at some offsets ends, shape (instances, offsets)."""
        return self._at(offsets, 0)

    def _at(self, offsets: Sequence[int], least: int) -> FloatArray:
        """Find each offset in the part that goes on for at least so many slots after it."""
        rows = [
            [offset + next(shift for until, shift in shifts if offset + least <= until) for offset in offsets]
            for shifts in self._shifts
        ]
        return np.array(rows, dtype=np.float64) * self._slot_s


def _untils_s(task: PeriodicTask, order: list[int], clock: _Clock, qubits: int) -> FloatArray:
    """Say until when each qubit waits, shape (instances, operations, qubits)."""
    offsets: list[int] = []
    users = _users(task, order)
    for index in order:
        waits = list(_waits(task, index, users[index]).values())
        offsets += waits + [task.exec_slots] * (qubits - len(waits))
    found = clock.ends_s(offsets)
    return found.reshape(len(found), len(order), qubits)


def wilson(successes: int, trials: int) -> Estimate:
    """Estimate a probability with Wilson's 95 % interval.

    Examples
    --------
    >>> found = wilson(8, 10)
    >>> round(found.mean, 2), round(found.low, 3), round(found.high, 3)
    (0.8, 0.49, 0.943)
    """
    share, square = successes / trials, NORMAL_95**2
    centre = (share + square / (2 * trials)) / (1 + square / trials)
    spread = sqrt(share * (1 - share) / trials + square / (4 * trials**2))
    half = NORMAL_95 * spread / (1 + square / trials)
    return Estimate(share, max(0.0, centre - half), min(1.0, centre + half))


def _mean(values: FloatArray) -> Estimate:
    half = NORMAL_95 * float(values.std(ddof=1)) / sqrt(values.size) if values.size > 1 else inf
    mean = float(values.mean())
    return Estimate(mean, mean - half, mean + half)


def _judge(
    task: PeriodicTask, werner: FloatArray, ends_s: FloatArray, table_s: float, pairs: int
) -> TaskExecution:
    """Sum up the pairs of a task, shape (rounds, instances, ends); the first ones that succeed count."""
    rank = np.cumsum(werner >= 0, axis=2)
    counted = (werner >= 0) & (rank <= pairs)
    complete = counted.sum(axis=2) >= pairs
    count, instances = int(counted.sum()), complete.size
    rate = complete.shape[1] / table_s
    share = wilson(int(complete.sum()), instances)
    if pairs == 1:
        delivered = Estimate(share.mean * rate, share.low * rate, share.high * rate)
    else:
        delivered = _mean(counted.sum(axis=2).reshape(-1) * rate)
    times = (np.arange(complete.shape[0])[:, None] * table_s + ends_s[:, 0])[complete]
    return TaskExecution(
        task_id=task.task_id,
        promised_ebit_per_s=rate * pairs,
        min_fidelity=task.min_fidelity,
        completion=share,
        delivered_ebit_per_s=delivered,
        fidelity=_mean((3 * werner[counted] + 1) / 4) if count else None,
        interval_jitter_s2=float(np.diff(times).var()) if times.size > 2 else 0.0,
        instances=instances,
    )


def execute(
    task_set: TaskSet, schedule: Schedule, conditions: Conditions, rounds: int = 200, seed: int = 0
) -> Execution:
    """Replay a schedule on a network where things fail.

    Parameters
    ----------
    task_set, schedule
        The tasks, whose operations must be known, and a valid schedule of some of them.
    conditions
        How links, swaps and memories do.
    rounds
        How many tables to replay, >= 1.
    seed
        Of all draws; each task has its own stream, so leaving one out does not change the others.

    Raises
    ------
    ValueRefusedError
        If `rounds` or the seed is out of range, or the operations of an admitted task are no protocol.
    """
    if rounds < 1:
        raise ValueRefusedError(f"rounds {rounds}: must be at least 1")
    if seed < 0:
        raise ValueRefusedError(f"seed {seed}: must not be negative")
    slot_s = task_set.slot_s
    table_s = schedule.hyperperiod_slots * slot_s
    physics = np.array([slot_s, conditions.attempt_s or 0.0, conditions.swap_success])
    tasks: list[TaskExecution] = []
    per_round = np.zeros(rounds)
    for task in task_set.tasks:
        if task.task_id not in schedule.starts:
            continue
        order = _order(task)
        steps = _steps(task, order, slot_s, conditions)
        clock = _Clock(task, schedule, slot_s)
        begins_s = clock.begins_s([task.operations[index].offset_slots for index in order])
        untils_s = _untils_s(task, order, clock, steps.decay.shape[1])
        rng = np.random.default_rng(np.random.SeedSequence((seed, task.task_id)))
        werner = _replay(steps, begins_s, untils_s, rounds, physics, rng)
        pairs = conditions.pairs.get(task.task_id, 1)
        per_round += np.minimum((werner >= 0).sum(axis=2), pairs).sum(axis=1)
        tasks.append(_judge(task, werner, clock.ends_s([task.exec_slots]), table_s, pairs))
    promised = sum(task.promised_ebit_per_s for task in tasks)
    return Execution(rounds, promised, _mean(per_round / table_s), tuple(tasks))
