"""Max-min fair throughput, exactly: nobody can get more without someone who has no more getting less.

A party is a pair of end nodes; its level is the part of the ebit/s it asked for that it gets, divided by its
weight. Of two schedules the one is fairer whose levels, sorted from the lowest, are greater at the first
place where they differ (leximin order). It is found step by step: raise the lowest level as far as it goes;
then let as many parties as possible have more than that; raise the lowest of those; and so on. Who the
parties with more are stays open until the end. Of equally fair schedules one of most throughput is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from ortools.sat.python import cp_model

from schedulers.entanglement.cpsat.greedy import Starts
from schedulers.entanglement.cpsat.model import Answer, PlacementModel
from schedulers.entanglement.cpsat.outcome import Clock, Options
from schedulers.entanglement.tasks import PeriodicTask

SCALE = 10**7
"""Units of a level in the solver; the levels themselves are fractions."""

WEIGHT_UNITS = 1000
"""Weights are rounded to 1/WEIGHT_UNITS."""

STEP_SHARE = 0.4
"""Of the time left, for one step."""


@dataclass(frozen=True, slots=True)
class Party:
    """A pair of end nodes.

    Attributes
    ----------
    members
        Indices of its demands.
    asked
        Their instances in a hyperperiod, all together.
    weight
        How much it is to get beside others; more than 0.
    """

    members: tuple[int, ...]
    asked: int
    weight: Fraction

    def level(self, instances: int) -> Fraction:
        """Divide the part of what it asked for that it gets by its weight."""
        return Fraction(instances, self.asked) / self.weight

    def instances_for(self, level: Fraction) -> int:
        """Give the fewest instances with which it has a level."""
        exact = level * self.weight * self.asked
        return -(-exact.numerator // exact.denominator)


@dataclass(frozen=True, slots=True)
class Fair:
    """How fair a schedule can be.

    Attributes
    ----------
    starts
        The fairest found.
    proven
        None is fairer.
    least_bound
        No schedule has a greater lowest level.
    """

    starts: Starts
    proven: bool
    least_bound: float


class Fairness:
    """The parties of a set of demands and what they get.

    Parameters
    ----------
    tasks
        The demands.
    hyperperiod_slots
        A multiple of every period.
    weights
        By task id; a party has the mean of its demands'. Parties of weight 0 do not count.
    """

    def __init__(
        self, tasks: Sequence[PeriodicTask], hyperperiod_slots: int, weights: Mapping[int, float]
    ) -> None:
        self.instances = [hyperperiod_slots // task.period_slots for task in tasks]
        found: dict[tuple[str, str], list[int]] = {}
        for index, task in enumerate(tasks):
            ends = sorted((task.source, task.destination))
            found.setdefault((ends[0], ends[1]), []).append(index)
        self.parties: list[Party] = []
        for members in found.values():
            mean = sum(weights.get(tasks[i].task_id, tasks[i].weight) for i in members) / len(members)
            weight = Fraction(round(WEIGHT_UNITS * mean), WEIGHT_UNITS)
            if weight > 0:
                asked = sum(self.instances[i] for i in members)
                self.parties.append(Party(tuple(members), asked, weight))

    def levels(self, served: Iterable[int]) -> list[Fraction]:
        """Give the levels of all parties, the lowest first, if some demands (indices) are served."""
        chosen = set(served)
        return sorted(
            party.level(sum(self.instances[i] for i in party.members if i in chosen))
            for party in self.parties
        )

    def linear_weights(self) -> list[int]:
        """Weigh each demand by the part of its party that it is: a rough guide for heuristics."""
        result = [0] * len(self.instances)
        for party in self.parties:
            for i in party.members:
                result[i] = round(1e4 * self.instances[i] / (party.asked * party.weight))
        return result

    @property
    def highest(self) -> float:
        """Give the level that a party may reach at most; 1 where there are no parties."""
        return float(max((party.level(party.asked) for party in self.parties), default=Fraction(1)))

    def lowest(self, served: Iterable[int]) -> float:
        """Give the lowest level; 1 where there are no parties."""
        return float(min(self.levels(served), default=Fraction(1)))


class _Leximin:
    """The steps on one model."""

    def __init__(
        self,
        model: PlacementModel,
        present: Sequence[cp_model.LinearExprT],
        fairness: Fairness,
        served: Callable[[Starts], Iterable[int]],
        best: Starts,
    ) -> None:
        self.model, self.fairness, self.served, self.best = model, fairness, served, best
        self.got = [
            sum(fairness.instances[i] * present[i] for i in party.members) for party in fairness.parties
        ]
        self.throughput = sum(n * x for n, x in zip(fairness.instances, present, strict=True))
        self.proven = True

    @property
    def levels(self) -> list[Fraction]:
        return self.fairness.levels(self.served(self.best))

    def run(self, objective: cp_model.LinearExprT, options: Options, clock: Clock) -> Answer:
        """Maximise something from the best schedule on."""
        self.model.hint(self.best)
        self.model.model.maximize(objective)
        clock.say("fair shares")
        answer = self.model.solve(STEP_SHARE * clock.left_s, options.workers, options.seed)
        clock.stopped |= answer.stopped
        self.proven &= answer.proven
        if answer.starts is not None:
            before = sum(self.fairness.instances[i] for i in self.served(self.best))
            after = sum(self.fairness.instances[i] for i in self.served(answer.starts))
            levels = self.fairness.levels(self.served(answer.starts))
            if (levels, after) > (self.levels, before):
                self.best = answer.starts
        return answer

    def raise_lowest(self, count: int, options: Options, clock: Clock) -> tuple[Fraction, float]:
        """Raise the lowest level of so many parties, and keep it; the level, and a bound on it."""
        cp, parties = self.model.model, self.fairness.parties
        most = max(party.level(party.asked) for party in parties)
        level = cp.new_int_var(0, int(most * SCALE), "")
        chosen = [cp.new_bool_var("") for _ in parties]
        cp.add(sum(chosen) >= count)
        for party, got, one in zip(parties, self.got, chosen, strict=True):
            unit = party.weight * party.asked
            scaled = SCALE * unit.denominator * got
            cp.add(scaled >= unit.numerator * level).only_enforce_if(one)
        answer = self.run(level, options, clock)
        bound = float(most) if answer.bound is None else answer.bound / SCALE
        reached = self.levels[len(parties) - count]
        for party, got, one in zip(parties, self.got, chosen, strict=True):
            cp.add(got >= party.instances_for(reached)).only_enforce_if(one)
        return reached, bound

    def count_above(self, level: Fraction, options: Options, clock: Clock) -> int:
        """Let as many parties as possible have more than a level, and keep their number."""
        cp = self.model.model
        above = []
        for party, got in zip(self.fairness.parties, self.got, strict=True):
            needed = party.instances_for(level)
            needed += party.level(needed) == level
            if needed <= party.asked:
                above.append(cp.new_bool_var(""))
                cp.add(got >= needed).only_enforce_if(above[-1])
        if not above:
            return 0
        self.run(sum(above), options, clock)
        count = sum(one > level for one in self.levels)
        cp.add(sum(above) >= count)
        return count


def share_fairly(
    model: PlacementModel,
    present: Sequence[cp_model.LinearExprT],
    fairness: Fairness,
    served: Callable[[Starts], Iterable[int]],
    starts: Starts,
    limits: tuple[Options, Clock],
) -> Fair:
    """Find a fairest schedule.

    Parameters
    ----------
    model
        The problem, without an objective; constraints are added to it.
    present
        For each demand whether it is served.
    fairness
        The parties.
    served
        Says which demands (indices) a solution of the model serves.
    starts
        A schedule to start from.
    limits
        Workers and seed; the time to use.

    Returns
    -------
    Fair
        The fairest found; not proven if the time was up before the end.
    """
    options, clock = limits
    steps = _Leximin(model, present, fairness, served, starts)
    count = len(fairness.parties)
    least_bound: float | None = None
    while count > 0 and (least_bound is None or clock.left_s > 0):
        level, bound = steps.raise_lowest(count, options, clock)
        least_bound = bound if least_bound is None else least_bound
        if clock.left_s <= 0:
            break
        count = steps.count_above(level, options, clock)
    proven = steps.proven and count == 0
    if clock.left_s > 0:
        steps.run(steps.throughput, options, clock)
    least = fairness.lowest(served(steps.best))
    return Fair(steps.best, proven, least if least_bound is None else max(least, least_bound))
