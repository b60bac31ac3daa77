"""Fair throughput: everybody's first quarter before anybody's second.

A party is a pair of end nodes; its share is the part of the ebit/s it asked for that it gets. What a share
is worth rises by quarters, each quarter worth a fourth of the one before, times the party's weight: a
concave utility, close to max-min fairness where there are few parties, and linear inside the quarters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ortools.sat.python import cp_model

from schedulers.entanglement.cpsat.derived import machines
from schedulers.entanglement.cpsat.greedy import Starts
from schedulers.entanglement.cpsat.model import Answer, Placement, PlacementModel
from schedulers.entanglement.cpsat.outcome import Clock, Options
from schedulers.entanglement.tasks import PeriodicTask

TIERS = (64, 16, 4, 1)
SCALE = 1_000_000
"""Units of a whole share of the lowest worth."""


def parties(tasks: Sequence[PeriodicTask]) -> dict[tuple[str, str], list[int]]:
    """Group tasks (indices) by the pair of end nodes they join, whichever way round."""
    found: dict[tuple[str, str], list[int]] = {}
    for index, task in enumerate(tasks):
        ends = sorted((task.source, task.destination))
        found.setdefault((ends[0], ends[1]), []).append(index)
    return found


def utility(
    tasks: Sequence[PeriodicTask], admitted: Sequence[int] | Starts, weights: Mapping[int, float]
) -> float:
    """Say what an admitted set is worth, 1 for each party that gets all it asked for and has weight 1."""
    chosen = set(admitted)
    total = 0.0
    for members in parties(tasks).values():
        asked = sum(1 / tasks[i].period_slots for i in members)
        share = sum(1 / tasks[i].period_slots for i in members if i in chosen) / asked
        quarters = (min(max(share * len(TIERS) - k, 0), 1) for k in range(len(TIERS)))
        worth = sum(tier * part for tier, part in zip(TIERS, quarters, strict=True)) / sum(TIERS)
        total += worth * _party_weight(members, tasks, weights)
    return total


def _party_weight(
    members: Sequence[int], tasks: Sequence[PeriodicTask], weights: Mapping[int, float]
) -> float:
    return sum(weights.get(tasks[i].task_id, 1.0) for i in members) / len(members)


def share_weights(
    tasks: Sequence[PeriodicTask], hyperperiod_slots: int, weights: Mapping[int, float]
) -> list[int]:
    """Weigh each task by the share of its party that it is: the linear part of fairness, for heuristics."""
    result = [0] * len(tasks)
    for members in parties(tasks).values():
        asked = sum(hyperperiod_slots // tasks[i].period_slots for i in members)
        for i in members:
            own = hyperperiod_slots // tasks[i].period_slots
            result[i] = round(1e4 * _party_weight(members, tasks, weights) * own / asked)
    return result


def maximise_fairness(
    cp: cp_model.CpModel,
    tasks: Sequence[PeriodicTask],
    hyperperiod_slots: int,
    present: Sequence[cp_model.LinearExprT],
    weights: Mapping[int, float],
) -> None:
    """Make the fairness of who is present the objective of a model, in units of SCALE * sum(TIERS)."""
    terms: list[cp_model.LinearExprT] = []
    for members in parties(tasks).values():
        asked = sum(hyperperiod_slots // tasks[i].period_slots for i in members)
        quarters = [cp.new_int_var(0, asked, "") for _ in TIERS]
        got = sum(hyperperiod_slots // tasks[i].period_slots * present[i] for i in members)
        cp.add(sum(quarters) == len(TIERS) * got)
        unit = SCALE * _party_weight(members, tasks, weights) / asked
        terms += [round(tier * unit) * quarter for tier, quarter in zip(TIERS, quarters, strict=True)]
    cp.maximize(sum(terms))


def share_fairly(placement: Placement, starts: Starts, options: Options, clock: Clock) -> Answer:
    """Find the fairest admitted set, and a schedule of it.

    Parameters
    ----------
    placement
        What is to be placed; machines are computed here.
    starts
        A schedule to start from.
    options, clock
        Weights by task id, workers and seed; the time to use.
    """
    tasks, horizon = placement.tasks, placement.hyperperiod_slots
    model = PlacementModel(Placement(tasks, machines(tasks), horizon, placement.kept, placement.same_offset))
    maximise_fairness(model.model, tasks, horizon, model.present, options.weights)
    model.hint(starts)
    clock.say("fair shares")
    answer = model.solve(clock.left_s, options.workers, options.seed)
    clock.stopped |= answer.stopped
    return answer
