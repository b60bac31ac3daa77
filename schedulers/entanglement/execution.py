"""What a schedule delivers on links that succeed by chance: a Monte Carlo replay, slot times kept (compiled).

A schedule promises one pair a period, as if every operation succeeded. Here each link makes heralded
attempts during its slots (geometric; where no attempt time is given, arrivals are a Poisson process), a
swap succeeds with a probability, a distillation with that of its two Werner states, and pairs decohere in
memory from the moment that they exist until their qubits are given free. An operation runs at its slot if
all pairs that it needs are there. A task may end in several operations (runs that repeat, packets of pairs):
each is a chance to deliver a pair. The schedule itself never moves.

A memory takes ``exp(-t / T1)`` of a pair's ZZ correlation and ``exp(-t / T2)`` of XX and YY; operations twirl
their pairs to Werner states of parameter ``w = (4 F - 1) / 3``. Swapping multiplies the parameters;
distillation is that of section IV of arXiv 2111.13124.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
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
    """The operations of a task in arrays, by offset.

    Parents are places in them, -1 for none; `decay` holds the decay rates of ZZ and of XX and YY of the pair
    that each leaves, shape (operations, 2); `ends` the places of those that deliver.
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
def _kept(steps: _Steps, step: int, waited_s: float) -> float:
    """Say what is left of a Werner parameter after a pair waited, twirled again."""
    return float(
        (np.exp(-steps.decay[step, 0] * waited_s) + 2 * np.exp(-steps.decay[step, 1] * waited_s)) / 3
    )


@compiled
def _replay_step(
    steps: _Steps,
    step: int,
    begin_s: float,
    there: FloatArray,
    werner: FloatArray,
    physics: FloatArray,
    draw: float,
) -> None:
    """Run one operation: note when its pair is there and with which Werner parameter; never is infinity."""
    slot_s, attempt_s, swap_success = physics[0], physics[1], physics[2]
    duration_s = steps.duration[step] * slot_s
    if steps.kind[step] == LINK:
        there[step] = begin_s + _arrival(steps.rate[step], attempt_s, duration_s, draw)
        werner[step] = steps.werner[step]
        return
    first, second = steps.parents[step, 0], steps.parents[step, 1]
    there[step] = np.inf
    if there[first] == np.inf or there[second] == np.inf:
        return
    done = begin_s + duration_s
    one = werner[first] * _kept(steps, first, done - there[first])
    two = werner[second] * _kept(steps, second, done - there[second])
    if steps.kind[step] == SWAP:
        werner[step], success = one * two, swap_success
    else:
        werner[step], success = _distilled(one, two)
    if draw < success:
        there[step] = done


@compiled
def _replay(
    steps: _Steps,
    begins_s: FloatArray,
    ends_s: FloatArray,
    rounds: int,
    physics: FloatArray,
    rng: np.random.Generator,
) -> FloatArray:
    """Run all instances of a task for some tables.

    `physics` holds slot length, attempt time and swap success; `ends_s` has shape (instances, ends).

    Returns
    -------
    array
        The Werner parameter of each pair when it is handed over, -1 for none; shape
        (rounds, instances, ends).
    """
    size = steps.kind.size
    found = np.full((rounds, ends_s.shape[0], steps.ends.size), -1.0)
    there, werner = np.empty(size), np.empty(size)
    for turn in range(rounds):
        for instance in range(ends_s.shape[0]):
            for step in range(size):
                _replay_step(steps, step, begins_s[instance, step], there, werner, physics, rng.random())
            for index in range(steps.ends.size):
                last = steps.ends[index]
                if there[last] != np.inf:
                    waited_s = ends_s[instance, index] - there[last]
                    found[turn, instance, index] = werner[last] * _kept(steps, last, waited_s)
    return found


def _order(task: PeriodicTask) -> list[int]:
    """Order the operations so that parents come first."""
    operations = task.operations
    if not operations:
        raise ValueRefusedError(
            f"task {task.task_id}: its operations are not known; they are needed to replay it"
        )
    order = sorted(range(len(operations)), key=lambda i: (operations[i].offset_slots, i))
    for index in order:
        operation = operations[index]
        wanted = 0 if operation.kind == "link" else 2
        if len(operation.parents) != wanted:
            raise ValueRefusedError(
                f"task {task.task_id}: operation {operation.name!r} ({operation.kind}) has "
                f"{len(operation.parents)} parents; {wanted} are needed to replay it"
            )
    return order


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


def _held(task: PeriodicTask, order: list[int]) -> list[frozenset[str]]:
    """Name for each operation, in order, the qubits that hold its pair."""
    held: dict[int, frozenset[str]] = {}
    for index in order:
        operation = task.operations[index]
        if operation.kind == "swap":
            both = frozenset().union(*(held[parent] for parent in operation.parents))
            held[index] = both - set(operation.qubits)
        else:
            held[index] = frozenset(operation.locked_qubits)
    return [held[index] for index in order]


def _decay(qubits: frozenset[str], conditions: Conditions) -> tuple[float, float]:
    """Add up the decay rates of the memories that hold a pair."""
    times = [conditions.memories.get(qubit.rpartition("-")[0], conditions.memory) for qubit in qubits]
    return sum(1 / t1_s for t1_s, _ in times), sum(1 / t2_s for _, t2_s in times)


def _handover(task: PeriodicTask, index: int, held: frozenset[str]) -> int:
    """Say at which offset the qubits of a delivered pair are given free; the task's end if none holds it."""
    operation = task.operations[index]
    end = operation.offset_slots + operation.duration_slots
    found = task.exec_slots
    for qubit in held:
        later = [o.offset_slots for o in task.operations if qubit in o.qubits and o.offset_slots >= end]
        stays = [until for begin, until in task.occupancy.get(qubit, ()) if begin < end <= until]
        found = min([found, *later, *stays])
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
    decay = np.array([_decay(qubits, conditions) for qubits in _held(task, order)], dtype=np.float64)
    return _Steps(kinds, durations, parents, rates, werner, decay, ends)


def _times_s(
    task: PeriodicTask, order: list[int], schedule: Schedule, slot_s: float
) -> tuple[FloatArray, FloatArray]:
    """Say when each operation of each instance begins, and when each pair is handed over, in seconds."""
    held = _held(task, order)
    handovers = [_handover(task, order[place], held[place]) for place in _ends(task, order)]
    offsets = [task.operations[index].offset_slots for index in order]
    begins, ends = [], []
    for instance, start in enumerate(schedule.starts[task.task_id]):
        parts = schedule.segments.get(task.task_id, ())
        pieces = parts[instance] if parts else ((start, task.exec_slots),)
        shifts: list[tuple[int, int]] = []
        done = 0
        for begin, length in pieces:
            shifts.append((done + length, begin - done))
            done += length
        begins.append([x + next(shift for until, shift in shifts if x < until) for x in offsets])
        ends.append([x + next(shift for until, shift in shifts if x <= until) for x in handovers])
    return np.array(begins) * slot_s, np.array(ends) * slot_s


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
    times = (np.arange(complete.shape[0])[:, None] * table_s + ends_s.max(axis=1))[complete]
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
        begins_s, ends_s = _times_s(task, order, schedule, slot_s)
        steps = _steps(task, order, slot_s, conditions)
        rng = np.random.default_rng(np.random.SeedSequence((seed, task.task_id)))
        werner = _replay(steps, begins_s, ends_s, rounds, physics, rng)
        pairs = conditions.pairs.get(task.task_id, 1)
        per_round += np.minimum((werner >= 0).sum(axis=2), pairs).sum(axis=1)
        tasks.append(_judge(task, werner, ends_s, table_s, pairs))
    promised = sum(task.promised_ebit_per_s for task in tasks)
    return Execution(rounds, promised, _mean(per_round / table_s), tuple(tasks))
