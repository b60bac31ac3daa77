"""The path of each demand chosen together with the schedule.

Of the ways of a demand (`TaskSet.alternatives`) at most one runs. First everybody is scheduled on the way
that runs shortest, as without alternatives; then those left out are put on other ways where these have
room; then the solver chooses ways and starts together, as a whole where the problem is small enough, and
piece by piece where not: a step frees a demand that was left out and its rivals, all their ways included.
The bounds are those of `bounds` over all ways, of which a demand counts once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from qos.errors import InfeasibleError
from schedulers.entanglement.cpsat.bounds import Question, folded_bound, tightened, window_for
from schedulers.entanglement.cpsat.derived import DerivedMachines, machines
from schedulers.entanglement.cpsat.fairness import Fairness, share_fairly
from schedulers.entanglement.cpsat.greedy import Starts
from schedulers.entanglement.cpsat.makespan import last_end, shorten
from schedulers.entanglement.cpsat.model import Answer, Placement, PlacementModel
from schedulers.entanglement.cpsat.neighbourhood import (
    FIRST_SIZE,
    LEAST_SIZE,
    MAX_STEP_STAYS,
    MOST_SIZE,
    STEP_S,
    Rivals,
)
from schedulers.entanglement.cpsat.online import OnlineScheduler
from schedulers.entanglement.cpsat.outcome import Clock, Options, Outcome, Status
from schedulers.entanglement.cpsat.smooth import smooth
from schedulers.entanglement.cpsat.ways import Ways
from schedulers.entanglement.cpsat.weighted import MAX_WHOLE_STAYS, stays
from schedulers.entanglement.tasks import Schedule, TaskSet

FIRST_SHARE, FIRST_SHARE_OF_PIECES = 0.5, 0.6
"""Part of the time for schedules on the shortest ways; more where the rest is a search piece by piece."""

BOUND_SHARE, ALONE_SHARE, PIECES_SHARE, FOLDED_SHARE = 0.1, 0.1, 0.2, 0.2
WEIGHT_UNITS = 1000
"""Weights given by the user are rounded to 1/WEIGHT_UNITS."""


class _Search:
    """The state of one search: ways and starts found, the bound, the time."""

    def __init__(self, ways: Ways, weights: Sequence[int], options: Options, clock: Clock) -> None:
        self.ways, self.weights, self.options, self.clock = ways, weights, options, clock
        self.fixed_offsets = options.objective == "zero-jitter"
        self.kept: frozenset[int] = frozenset()
        self.starts: Starts | None = None
        self.bound = sum(weights)
        self.searched = False

    def value(self, starts: Starts) -> int:
        """Total weight of the demands served."""
        return sum(self.weights[demand] for demand in self.ways.served(starts))

    @property
    def closed(self) -> bool:
        """Nothing better exists."""
        return self.starts is not None and self.value(self.starts) >= self.bound

    def offer(self, starts: Starts) -> None:
        """Take a schedule if it keeps whom it must and is better."""
        if self.kept <= self.ways.served(starts) and (
            self.starts is None or self.value(starts) > self.value(self.starts)
        ):
            self.starts = starts

    def fill_up(self, starts: Starts) -> None:
        """Offer a schedule with everybody else who fits, best weights first."""
        order = sorted(range(len(self.weights)), key=lambda demand: -self.weights[demand])
        self.offer(self.ways.fill(order, starts, same_offset=self.fixed_offsets))

    def greedy(self) -> None:
        """Offer what the greedy orders find, the kept demands first."""
        kept = self.ways.fill(sorted(self.kept), {}, same_offset=self.fixed_offsets)
        if self.kept:
            self.fill_up(kept)
        self.offer(
            self.ways.best_of_orders(
                self.value, lambda: self.clock.left_s <= 0, same_offset=self.fixed_offsets
            )
        )

    def relax(self, *, folded: bool) -> None:
        """Lower the bound."""
        ways = self.ways
        weights = [self.weights[demand] for demand in ways.demand_of]
        question = Question(ways.tasks, ways.machines, weights, frozenset(), ways.horizon, ways.of_demand)
        self.clock.say("stronger bound" if folded else "bound")
        if not folded:
            seconds = min(BOUND_SHARE * self.clock.limit_s, self.clock.left_s)
            bound, _ = tightened(question, DerivedMachines(ways.tasks), seconds)
            self.bound = min(self.bound, bound)
            return
        window = window_for(question)
        if window is not None:
            seconds = min(FOLDED_SHARE * self.clock.limit_s, self.clock.left_s)
            self.bound = min(self.bound, folded_bound(question, window, seconds))

    def _model(self, placement: Placement, demands: Sequence[Sequence[int]]) -> PlacementModel:
        """Write a placement down in which of each group of candidates at most one is present."""
        model = PlacementModel(placement)
        for group in demands:
            model.model.add_at_most_one(model.present[index] for index in group)
        return model

    def whole_model(self) -> PlacementModel:
        """Write the whole problem down, without an objective."""
        ways = self.ways
        everyone = frozenset(range(len(ways.tasks))) if self.fixed_offsets else frozenset()
        model = self._model(
            Placement(ways.tasks, ways.machines, ways.horizon, same_offset=everyone), ways.of_demand
        )
        for demand in self.kept:
            model.model.add_at_least_one(model.present[index] for index in ways.of_demand[demand])
        if self.starts is not None:
            model.hint(self.starts)
        return model

    def solve(self, time_limit_s: float, workers: int) -> None:
        """Let the solver work on the whole problem."""
        self.clock.say("search over paths")
        model = self.whole_model()
        worth = sum(
            self.weights[demand] * x for demand, x in zip(self.ways.demand_of, model.present, strict=True)
        )
        model.model.add(worth <= self.bound)
        if self.starts is not None:
            model.model.add(worth >= self.value(self.starts))
        model.model.maximize(worth)
        answer = model.solve(min(time_limit_s, self.clock.left_s), workers, self.options.seed)
        self.searched = True
        self.clock.stopped |= answer.stopped
        if answer.proven and answer.starts is None and self.starts is None:
            raise InfeasibleError(
                "no schedule on any of the paths serves all demands that must be kept; this is proven"
            )
        if answer.starts is not None:
            self.offer(answer.starts)
        if answer.bound is not None:
            self.bound = min(self.bound, answer.bound)

    def polish(self, time_limit_s: float) -> None:
        """Improve the schedule piece by piece."""
        if self.starts is None:
            return
        random = np.random.default_rng(self.options.seed)
        rivals, part = Rivals(self.ways.tasks), self.clock.part(time_limit_s)
        size = FIRST_SIZE
        while part.left_s > 0.05 and not self.closed:
            served = self.ways.served(self.starts)
            left_out = [d for d, weight in enumerate(self.weights) if weight > 0 and d not in served]
            demands = self._neighbourhood(rivals, int(random.choice(left_out)), size, random)
            answer = self._step(demands, min(STEP_S, part.left_s), int(random.integers(2**31)))
            size = min(MOST_SIZE, size + 1) if answer.proven else max(LEAST_SIZE, size - 2)
            self.clock.say("search over paths, piece by piece")
            if answer.stopped:
                part.stopped = self.clock.stopped = True
        self.searched = True

    def _neighbourhood(
        self, rivals: Rivals, centre: int, size: int, random: np.random.Generator
    ) -> list[int]:
        """Choose demands around one left out, nearest first by chance, as many as a step can take."""
        chosen, frontier, total = [centre], [centre], 0
        while frontier and len(chosen) < size:
            shared: dict[int, float] = {}
            for index in self.ways.of_demand[frontier.pop(0)]:
                for other, qubits in rivals.of(index).items():
                    demand = self.ways.demand_of[other]
                    shared[demand] = max(shared.get(demand, 0.0), qubits * random.random())
            fresh = sorted(shared.keys() - set(chosen), key=lambda demand: (-shared[demand], demand))
            chosen += fresh[: size - len(chosen)]
            frontier += fresh[:3]
        fitting: list[int] = []
        for demand in chosen:
            total += sum(
                stays([self.ways.tasks[index]], self.ways.horizon) for index in self.ways.of_demand[demand]
            )
            if total <= MAX_STEP_STAYS or not fitting:
                fitting.append(demand)
        return fitting

    def _step(self, demands: Sequence[int], seconds: float, seed: int) -> Answer:
        """Choose ways and starts of a few demands anew at best; everybody else stays."""
        assert self.starts is not None
        ways = self.ways
        free = [index for demand in demands for index in ways.of_demand[demand]]
        place = {index: number for number, index in enumerate(free)}
        others = {index: s for index, s in self.starts.items() if index not in place}
        table, tasks = ways.timetable(others), [ways.tasks[index] for index in free]
        fixed = frozenset(range(len(free))) if self.fixed_offsets else frozenset()
        windows = [table.free_starts(task) for task in tasks]
        model = self._model(
            Placement(tasks, machines(tasks), ways.horizon, same_offset=fixed, windows=windows),
            [[place[index] for index in ways.of_demand[demand]] for demand in demands],
        )
        for demand in self.kept & set(demands):
            model.model.add_at_least_one(model.present[place[index]] for index in ways.of_demand[demand])
        present = {place[index]: s for index, s in self.starts.items() if index in place}
        worth = sum(
            self.weights[ways.demand_of[index]] * x for index, x in zip(free, model.present, strict=True)
        )
        model.model.add(worth >= self.value({free[k]: s for k, s in present.items()}))
        model.hint(present)
        model.model.maximize(worth)
        answer = model.solve(seconds, self.options.workers, seed)
        if answer.starts is not None:
            self.starts = others | {free[k]: s for k, s in answer.starts.items()}
        return answer

    @property
    def whole(self) -> bool:
        """Whether the solver can take the whole problem."""
        return stays(self.ways.tasks, self.ways.horizon) <= MAX_WHOLE_STAYS

    def run(self) -> None:
        """Search until nothing is left open or the time is up."""
        limit_s, workers = self.clock.limit_s, self.options.workers
        phases: list[Callable[[], None]] = [lambda: self.relax(folded=False)]
        if self.whole:
            phases += [
                lambda: self.solve(ALONE_SHARE * limit_s, 1),
                lambda: self.solve(ALONE_SHARE * limit_s, workers),
                lambda: self.polish(PIECES_SHARE * limit_s),
                lambda: self.relax(folded=True),
                lambda: self.solve(self.clock.left_s, workers),
            ]
        else:
            phases.append(lambda: self.polish(self.clock.left_s))
        for phase in phases:
            if self.closed or self.clock.left_s <= 0:
                return
            phase()


def _weights(ways: Ways, options: Options) -> list[int]:
    """Say what each demand is worth."""
    tasks = ways.task_set.tasks
    if options.objective == "count":
        return [1] * len(tasks)
    rates = [ways.horizon // task.period_slots for task in tasks]
    if not _is_weighted(ways, options):
        return rates
    return [
        round(WEIGHT_UNITS * options.weights.get(task.task_id, task.weight)) * rate
        for task, rate in zip(tasks, rates, strict=True)
    ]


def _is_weighted(ways: Ways, options: Options) -> bool:
    """Whether the ebit/s of some demands are worth more than those of others."""
    return options.objective == "throughput" and any(
        options.weights.get(task.task_id, task.weight) != 1 for task in ways.task_set.tasks
    )


def _on_shortest_ways(search: _Search) -> Starts | None:
    """Schedule without alternatives; note which demands the mode keeps."""
    from schedulers.entanglement.cpsat.optimise import optimise, paper_schedules

    ways, options, clock = search.ways, search.options, search.clock
    plain = replace(ways.task_set, alternatives={})
    kept = options.kept
    if kept is None and options.mode == "dominate" and plain.tasks:
        kept = frozenset(paper_schedules(plain)[0].starts)
    place = {task.task_id: demand for demand, task in enumerate(plain.tasks)}
    first = options.objective if options.objective not in ("jitter", "makespan") else "throughput"
    whole = stays(ways.tasks, ways.horizon) <= MAX_WHOLE_STAYS
    part = FIRST_SHARE if whole else FIRST_SHARE_OF_PIECES
    share = replace(
        options,
        objective=first,
        kept=kept,
        mode="batch",
        time_limit_s=max(0.01, part * clock.left_s),
        progress=lambda phase, _: clock.say(phase),
    )
    search.kept = frozenset(place[i] for i in kept or ())
    try:
        outcome = optimise(plain, share)
    except InfeasibleError:
        return None
    clock.stopped |= outcome.interrupted
    search.searched = outcome.status in ("optimal", "feasible")
    return ways.starts_of(outcome.schedule)


def _per_second(ways: Ways, instances: float) -> float:
    return instances / (ways.horizon * ways.task_set.slot_s)


def _throughput_bound(ways: Ways, clock: Clock) -> float:
    """Bound the throughput of any schedule over all ways, cheaply."""
    rates = [ways.horizon // task.period_slots for task in ways.tasks]
    question = Question(ways.tasks, ways.machines, rates, frozenset(), ways.horizon, ways.of_demand)
    bound, _ = tightened(question, DerivedMachines(ways.tasks), max(1.0, BOUND_SHARE * clock.limit_s))
    return min(_per_second(ways, bound), ways.task_set.offered_ebit_per_s)


def _status(search: _Search) -> Status:
    if search.starts is None:
        return "unknown"
    return "optimal" if search.closed else "feasible" if search.searched else "heuristic"


def _linear(search: _Search) -> Outcome:
    ways, options, starts = search.ways, search.options, search.starts or {}
    unit = 1.0
    if options.objective != "count":
        unit = _per_second(ways, 1 / WEIGHT_UNITS if _is_weighted(ways, options) else 1)
    plain = options.objective != "count" and not _is_weighted(ways, options)
    bound = search.bound * unit if plain else _throughput_bound(ways, search.clock)
    return Outcome(
        ways.schedule(starts),
        _status(search),
        options.objective,
        search.value(starts) * unit,
        search.bound * unit,
        min(bound, ways.task_set.offered_ebit_per_s),
        search.clock.spent_s,
        search.clock.stopped,
    )


def _shaped(search: _Search) -> Outcome:
    """Give the chosen ways the least jitter or makespan."""
    ways, clock, objective = search.ways, search.clock, search.options.objective
    chosen = search.starts or {}
    if search.kept:  # it is about those to be kept, as without alternatives
        chosen = {index: s for index, s in chosen.items() if ways.demand_of[index] in search.kept}
    members = sorted(chosen)
    tasks = [ways.tasks[index] for index in members]
    starts: Starts = {k: chosen[index] for k, index in enumerate(members)}
    slot_s = ways.task_set.slot_s
    small = stays(tasks, ways.horizon) <= MAX_WHOLE_STAYS
    if small and objective == "jitter":
        starts = smooth(tasks, starts, ways.horizon, search.options, clock).starts
    elif small:
        answer = shorten(tasks, starts, ways.horizon, search.options, clock)
        if answer.starts is not None and last_end(tasks, answer.starts) <= last_end(tasks, starts):
            starts = answer.starts
    schedule = ways.schedule({index: starts[k] for k, index in enumerate(members)})
    value = last_end(tasks, starts) * slot_s if objective == "makespan" else _jitter(ways, schedule)
    return Outcome(
        schedule,
        "optimal" if value == 0 and search.closed else "feasible" if small else "heuristic",
        objective,
        value,
        0.0,  # other ways of the same demands might do better
        _throughput_bound(ways, clock),
        clock.spent_s,
        clock.stopped,
    )


def _jitter(ways: Ways, schedule: Schedule) -> float:
    from schedulers.entanglement.metrics import measure

    return measure(ways.task_set.on_paths_of(schedule), schedule).jitter_s2


def _fair(search: _Search) -> Outcome:
    """Optimise fairness among the pairs of end nodes over all ways."""
    ways, options, clock = search.ways, search.options, search.clock
    fairness = Fairness(ways.task_set.tasks, ways.horizon, options.weights)
    starts = search.starts or {}
    bound, status = fairness.highest, "heuristic"
    if search.whole and clock.left_s > 0:
        model = search.whole_model()
        present = [sum(model.present[index] for index in group) for group in ways.of_demand]
        found = share_fairly(model, present, fairness, ways.served, starts, (options, clock))
        starts, bound = found.starts, found.least_bound
        status = "optimal" if found.proven else "feasible"
    return Outcome(
        ways.schedule(starts),
        "optimal" if status == "optimal" else "feasible" if status == "feasible" else "heuristic",
        "fair",
        fairness.lowest(ways.served(starts)),
        bound,
        _throughput_bound(ways, clock),
        clock.spent_s,
        clock.stopped,
    )


def _online(ways: Ways, options: Options, clock: Clock) -> Outcome:
    """Let the demands arrive one by one, each on the first of its ways that has room."""
    same_offset = options.objective == "zero-jitter"
    online = OnlineScheduler(ways.horizon, same_offset=same_offset, seed=options.seed)
    chosen: dict[int, int] = {}
    try:
        for task in ways.task_set.tasks:
            clock.say("demand by demand")
            for number, way in enumerate(ways.task_set.ways(task)):
                if online.offer(way).admitted:
                    chosen[task.task_id] = number
                    break
            if clock.left_s <= 0:
                break
    except KeyboardInterrupt:
        clock.stopped = True
    table = online.schedule
    several = {i: number for i, number in chosen.items() if i in ways.task_set.alternatives}
    starts = ways.starts_of(replace(table, chosen=several))
    value = _per_second(ways, sum(ways.horizon // ways.tasks[index].period_slots for index in starts))
    bound = _throughput_bound(ways, clock)
    status: Status = "optimal" if value >= bound else "feasible"
    return Outcome(
        ways.schedule(starts), status, "throughput", value, bound, bound, clock.spent_s, clock.stopped
    )


def optimise_routed(task_set: TaskSet, options: Options) -> Outcome:
    """Choose demands, their ways and their starts; what `optimise` does for a set with alternatives.

    Parameters
    ----------
    task_set
        The demands in order of arrival, with alternatives.
    options
        As for `optimise`; ``jitter`` and ``makespan`` keep the ways that the choice of demands took.

    Raises
    ------
    InfeasibleError
        If the mode or `kept` demands tasks that no schedule on any of the paths serves, or none was found.
    """
    ways, clock = Ways.of(task_set), Clock(options.time_limit_s, options.progress)
    if options.mode == "online":
        return _online(ways, options, clock)
    search = _Search(ways, _weights(ways, options), options, clock)
    first = _on_shortest_ways(search)
    shaped = options.objective in ("jitter", "makespan")
    try:
        if first is not None:
            search.fill_up(first)
        if not search.closed:
            search.greedy()
        if options.objective == "fair":
            return _fair(search)
        search.clock = clock.part(clock.left_s / 2) if shaped else clock
        search.run()
    except KeyboardInterrupt:
        clock.stopped = True
    clock.stopped |= search.clock.stopped
    if search.starts is None:
        raise InfeasibleError(
            f"no schedule of all the demands to be kept was found in {clock.spent_s:.1f} s, and none was "
            "ruled out; give more time, or another mode or objective"
        )
    search.clock = clock
    return _shaped(search) if shaped else _linear(search)
