"""`optimise`: from a task set to the best schedule found, with a proven bound beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from qos.errors import InfeasibleError, ValueRefusedError
from schedulers.entanglement.cpsat.bounds import Question, tightened
from schedulers.entanglement.cpsat.derived import DerivedMachines, machines
from schedulers.entanglement.cpsat.fairness import Fairness, share_fairly
from schedulers.entanglement.cpsat.greedy import Starts
from schedulers.entanglement.cpsat.makespan import last_end, shorten
from schedulers.entanglement.cpsat.model import Placement, PlacementModel
from schedulers.entanglement.cpsat.online import OnlineScheduler
from schedulers.entanglement.cpsat.outcome import Clock, Options, Outcome, Status
from schedulers.entanglement.cpsat.smooth import smooth
from schedulers.entanglement.cpsat.weighted import (
    MAX_WHOLE_STAYS,
    Best,
    Contest,
    admit_best,
    first_schedule,
    stays,
)
from schedulers.entanglement.tasks import Schedule, TaskSet

PAPER_SCHEDULERS = ("pts-np-edf", "rcpsp-np-fpr", "rcpsp-np-edf")
"""The paper's default schedulers; of equal throughput the first counts as the best."""

SELECTION_SHARE = 0.5
WEIGHT_UNITS = 1000
"""Weights given by the user are rounded to 1/WEIGHT_UNITS."""


def paper_schedules(task_set: TaskSet) -> list[Schedule]:
    """Compute what each of the paper's three default schedulers admits, the best first."""
    from schedulers.entanglement.admission import admit
    from schedulers.entanglement.scheduler import get_scheduler

    rate = {task.task_id: 1 / task.period_slots for task in task_set.tasks}
    found = [admit(task_set, get_scheduler(name)) for name in PAPER_SCHEDULERS]
    return sorted(found, key=lambda schedule: -sum(rate[i] for i in schedule.starts))


@dataclass(frozen=True, slots=True)
class _Case:
    """A task set made ready: everything by index instead of id."""

    task_set: TaskSet
    options: Options
    kept: frozenset[int]
    given: Sequence[Starts]

    @property
    def horizon(self) -> int:
        return self.task_set.hyperperiod_slots

    def rates(self) -> list[int]:
        """Instances a hyperperiod of each task."""
        return [self.horizon // task.period_slots for task in self.task_set.tasks]

    @property
    def weights(self) -> list[float] | None:
        """What an ebit/s of each task is worth; None if all are worth the same."""
        found = [self.options.weights.get(task.task_id, task.weight) for task in self.task_set.tasks]
        return None if all(weight == 1 for weight in found) else found

    def per_second(self, instances: float) -> float:
        return instances / (self.horizon * self.task_set.slot_s)

    def schedule(self, starts: Mapping[int, Sequence[int]]) -> Schedule:
        tasks = self.task_set.tasks
        return Schedule(self.horizon, {tasks[i].task_id: tuple(starts[i]) for i in sorted(starts)})

    def throughput_bound(self, clock: Clock) -> float:
        """Bound the throughput of any schedule, cheaply."""
        tasks = self.task_set.tasks
        question = Question(tasks, machines(tasks), self.rates(), frozenset(), self.horizon)
        bound, _ = tightened(question, DerivedMachines(tasks), max(1.0, 0.1 * clock.limit_s))
        return self.per_second(bound)


def _status(best: Best, value: float) -> Status:
    if best.starts is None:
        return "unknown"
    if value >= best.bound:
        return "optimal"
    return "feasible" if best.searched else "heuristic"


def _throughput_weights(case: _Case) -> list[int]:
    weights = case.weights
    if weights is None:
        return case.rates()
    return [round(WEIGHT_UNITS * weight) * rate for weight, rate in zip(weights, case.rates(), strict=True)]


def _admit(case: _Case, clock: Clock, weights: Sequence[int], *, same_offset: bool = False) -> Best:
    contest = Contest(case.task_set.tasks, weights, case.kept, case.horizon, same_offset)
    best = admit_best(contest, case.given, case.options, clock)
    if best.starts is None:
        raise _nothing_found(clock)
    return best


def _nothing_found(clock: Clock) -> InfeasibleError:
    return InfeasibleError(
        f"no schedule of all the demands to be kept was found in {clock.spent_s:.1f} s, and none was ruled "
        "out; give more time, or another mode or objective"
    )


def _linear(case: _Case, clock: Clock) -> Outcome:
    """Optimise objectives that are sums over the admitted demands."""
    objective = case.options.objective
    count = len(case.task_set.tasks)
    weights = [1] * count if objective == "count" else _throughput_weights(case)
    best = _admit(case, clock, weights, same_offset=objective == "zero-jitter")
    starts = best.starts or {}
    value = sum(weights[index] for index in starts)
    unit = 1.0 if objective == "count" else _unit(case)
    weighted = objective == "count" or case.weights is not None
    throughput = case.throughput_bound(clock) if weighted else case.per_second(best.bound)
    return Outcome(
        case.schedule(starts),
        _status(best, value),
        objective,
        value * unit,
        best.bound * unit,
        min(throughput, case.task_set.offered_ebit_per_s),
        clock.spent_s,
        clock.stopped,
    )


def _unit(case: _Case) -> float:
    """Give the ebit/s of one unit of the weights of `throughput`."""
    return case.per_second(1 if case.weights is None else 1 / WEIGHT_UNITS)


def _selected(case: _Case, clock: Clock) -> tuple[Starts, Best | None]:
    """Choose whom jitter and makespan are about: those to be kept, else those of greatest throughput."""
    if case.kept:
        for starts in case.given:
            if case.kept <= starts.keys():
                return {index: starts[index] for index in sorted(case.kept)}, None
        only = Contest(
            case.task_set.tasks,
            [int(index in case.kept) for index in range(len(case.task_set.tasks))],
            case.kept,
            case.horizon,
        )
        best = admit_best(only, case.given, case.options, clock)
        if best.starts is None:
            raise InfeasibleError(
                f"no schedule of all the demands to be kept was found in {clock.limit_s:g} s"
            )
        return {index: best.starts[index] for index in sorted(case.kept)}, None
    half = clock.part(SELECTION_SHARE * clock.left_s)
    best = _admit(case, half, case.rates())
    clock.stopped = half.stopped
    return dict(best.starts or {}), best


def _shaped(case: _Case, clock: Clock) -> Outcome:
    """Optimise the shape of the schedule of a chosen set: jitter or makespan."""
    objective = case.options.objective
    chosen, best = _selected(case, clock)
    members = sorted(chosen)
    tasks = [case.task_set.tasks[index] for index in members]
    starts: Starts = {k: chosen[index] for k, index in enumerate(members)}
    slot_s = case.task_set.slot_s
    certain = best is None or _status(best, sum(case.rates()[i] for i in members)) == "optimal"
    small = stays(tasks, case.horizon) <= MAX_WHOLE_STAYS
    if not small:
        proven, bound = False, 0.0
        value = _jitter(case, members, starts) if objective == "jitter" else last_end(tasks, starts) * slot_s
    elif objective == "jitter":
        found = smooth(tasks, starts, case.horizon, case.options, clock)
        starts, proven = found.starts, found.proven
        value, bound = _jitter(case, members, starts), found.jitter_bound_slots2 * slot_s**2
    else:
        answer = shorten(tasks, starts, case.horizon, case.options, clock)
        if answer.starts is not None and last_end(tasks, answer.starts) <= last_end(tasks, starts):
            starts = answer.starts
        proven = answer.proven
        value, bound = last_end(tasks, starts) * slot_s, (answer.bound or 0) * slot_s
    throughput = case.throughput_bound(clock) if best is None else case.per_second(best.bound)
    return Outcome(
        case.schedule({index: starts[k] for k, index in enumerate(members)}),
        "optimal" if proven and certain else "feasible" if small else "heuristic",
        objective,
        value,
        bound,
        min(throughput, case.task_set.offered_ebit_per_s),
        clock.spent_s,
        clock.stopped,
    )


def _jitter(case: _Case, members: Sequence[int], starts: Starts) -> float:
    from schedulers.entanglement.metrics import measure

    return measure(case.task_set, case.schedule({i: starts[k] for k, i in enumerate(members)})).jitter_s2


def _fair(case: _Case, clock: Clock) -> Outcome:
    """Optimise fairness among the pairs of end nodes."""
    tasks = case.task_set.tasks
    fairness = Fairness(tasks, case.horizon, case.options.weights)
    contest = Contest(tasks, fairness.linear_weights(), case.kept, case.horizon)
    starts = first_schedule(contest, case.given, clock) or {}
    bound, status = fairness.highest, "heuristic"
    if stays(tasks, case.horizon) > MAX_WHOLE_STAYS:
        best = admit_best(contest, case.given, case.options, clock)
        starts = best.starts or starts
        status = "feasible" if best.searched else "heuristic"
    else:
        model = PlacementModel(Placement(tasks, machines(tasks), case.horizon, case.kept))
        limits = (case.options, clock)
        found = share_fairly(model, model.present, fairness, lambda starts: starts, starts, limits)
        starts, bound = found.starts, found.least_bound
        status = "optimal" if found.proven else "feasible"
    if not case.kept <= starts.keys():
        raise _nothing_found(clock)
    return Outcome(
        case.schedule(starts),
        "optimal" if status == "optimal" else "feasible" if status == "feasible" else "heuristic",
        "fair",
        fairness.lowest(starts),
        bound,
        min(case.throughput_bound(clock), case.task_set.offered_ebit_per_s),
        clock.spent_s,
        clock.stopped,
    )


def _online(case: _Case, clock: Clock) -> Outcome:
    """Let the demands arrive one by one."""
    objective = case.options.objective
    online = OnlineScheduler(case.horizon, same_offset=objective == "zero-jitter", seed=case.options.seed)
    try:
        for task in case.task_set.tasks:
            clock.say("demand by demand")
            online.offer(task)
            if clock.left_s <= 0:
                break
    except KeyboardInterrupt:
        clock.stopped = True
    place = {task.task_id: index for index, task in enumerate(case.task_set.tasks)}
    starts = {place[i]: s for i, s in online.schedule.starts.items()}
    bound = min(case.throughput_bound(clock), case.task_set.offered_ebit_per_s)
    value = case.per_second(sum(case.rates()[index] for index in starts))
    return Outcome(
        case.schedule(starts),
        "optimal" if value >= bound else "feasible",
        "throughput",
        value,
        bound,
        bound,
        clock.spent_s,
        clock.stopped,
    )


def _indices(task_set: TaskSet, options: Options) -> frozenset[int]:
    place = {task.task_id: index for index, task in enumerate(task_set.tasks)}
    unknown = sorted((options.kept or frozenset()) - place.keys())
    if unknown:
        raise ValueRefusedError(f"kept: there is no task {unknown[0]} in the task set")
    return frozenset(place[task_id] for task_id in options.kept or ())


def _by_index(task_set: TaskSet, schedule: Schedule) -> Starts:
    """Name a schedule's tasks by index; those that move further than their demand allows are left out."""
    found: Starts = {}
    for index, task in enumerate(task_set.tasks):
        starts = tuple(schedule.starts.get(task.task_id, ()))
        offsets = [start % task.period_slots for start in starts]
        if starts and (task.max_jitter_slots is None or max(offsets) - min(offsets) <= task.max_jitter_slots):
            found[index] = starts
    return found


def optimise(task_set: TaskSet, options: Options | None = None) -> Outcome:
    """Choose which demands to admit and when each of their instances runs.

    Parameters
    ----------
    task_set
        The demands in order of arrival; of one with alternatives at most one way runs.
    options
        Objective, mode, time limit and the rest; the defaults of `Options` if None.

    Returns
    -------
    Outcome
        The best schedule found within the time limit or until Ctrl-C, its status and the proven bound.

    Raises
    ------
    InfeasibleError
        If the mode or `kept` demands tasks that no schedule serves under the objective, or none was found.
    ValueRefusedError
        If `kept` names a task that is not in the set.
    """
    options = options or Options()
    kept = _indices(task_set, options)
    if task_set.alternatives:
        from schedulers.entanglement.cpsat.routed import optimise_routed

        return optimise_routed(task_set, options)
    if task_set.tasks and options.mode != "online":
        paper_schedules(replace(task_set, tasks=task_set.tasks[:1]))  # compiles, which is not counted
    clock = Clock(options.time_limit_s, options.progress)
    given: list[Starts] = []
    if task_set.tasks and options.mode != "online":
        clock.say("the paper's schedulers")
        given = [_by_index(task_set, schedule) for schedule in paper_schedules(task_set)]
        if options.mode == "dominate" and options.kept is None:
            kept = frozenset(given[0])
    case = _Case(task_set, options, kept, [starts for starts in given if kept <= starts.keys()])
    if options.mode == "online":
        return _online(case, clock)
    if options.objective == "fair":
        return _fair(case, clock)
    if options.objective in ("jitter", "makespan"):
        return _shaped(case, clock)
    return _linear(case, clock)
