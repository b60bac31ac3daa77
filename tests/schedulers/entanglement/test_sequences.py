from __future__ import annotations

from itertools import permutations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from schedulers.entanglement.cpsat.bounds import Question, knapsack_bound, tightened
from schedulers.entanglement.cpsat.conflicts import separations
from schedulers.entanglement.cpsat.derived import DerivedMachines, machines
from schedulers.entanglement.cpsat.model import Placement, PlacementModel
from schedulers.entanglement.cpsat.sequences import Scarcity, SequenceBounds
from schedulers.entanglement.tasks import Interval, PeriodicTask

HORIZON = 24
NODES = "wxyz"


def between(number: int, source: str, destination: str, offsets: tuple[Interval, Interval]) -> PeriodicTask:
    """Make a task that holds its source and its destination for a while each, not at the same time."""
    stays = {f"{source}-C0": (offsets[0],), f"{destination}-C0": (offsets[1],)}
    length = max(end for _, end in offsets)
    return PeriodicTask(number, "", source, destination, 0.8, HORIZON, length, stays)


def most_by_search(tasks: list[PeriodicTask]) -> int:
    """Count the instances that run when every task may run in any period, by the solver alone."""
    everyone = PlacementModel(Placement(tasks, machines(tasks), HORIZON))
    everyone.model.maximize(sum(everyone.present))
    answer = everyone.solve(20, 1, 0)
    assert answer.proven
    assert answer.value is not None
    return answer.value


@st.composite
def crossing(draw: st.DrawFn) -> list[PeriodicTask]:
    tasks = []
    for number in range(draw(st.integers(4, 9))):
        source, destination = draw(st.lists(st.sampled_from(NODES), min_size=2, max_size=2, unique=True))
        first = draw(st.integers(2, 5))
        begin = draw(st.integers(0, 2))
        offsets = ((0, first), (begin, begin + draw(st.integers(2, 5))))
        tasks.append(between(number, source, destination, offsets))
    return tasks


@settings(max_examples=30)
@given(tasks=crossing())
def test_no_limit_is_below_what_runs(tasks: list[PeriodicTask]) -> None:
    wished = np.ones(len(tasks))
    everything = machines(tasks)
    bounds = SequenceBounds(tasks, separations(tasks), everything, HORIZON)
    for shares in (np.ones(len(everything)), np.arange(len(everything), 0, -1.0)):
        for limit in bounds.limits(Scarcity(wished, shares)):
            members = [task for index, task in enumerate(tasks) if index in limit.tasks]
            assert limit.most >= most_by_search(members)


@settings(max_examples=20)
@given(tasks=crossing())
def test_the_tightened_bound_holds_with_the_limits(tasks: list[PeriodicTask]) -> None:
    question = Question(tasks, machines(tasks), [1] * len(tasks), frozenset(), HORIZON)
    bound, _ = tightened(question, DerivedMachines(tasks), 20)
    assert knapsack_bound(question, 20) >= bound >= most_by_search(tasks)


def test_four_nodes_that_pair_up_are_not_all_busy_all_the_time() -> None:
    """Each task takes 62 of the 2048 slots of four nodes, but no sequence packs them that closely."""
    tasks = [
        PeriodicTask(
            number, "", source, destination, 0.8, 512, 38, {source: ((9, 38),), destination: ((0, 33),)}
        )
        for number, (source, destination) in enumerate(permutations(NODES, 2))
    ]
    everything = machines(tasks)
    wished = np.full(len(tasks), 33 / len(tasks))
    bounds = SequenceBounds(tasks, separations(tasks), everything, 512)
    (limit,) = bounds.limits(Scarcity(wished, np.ones(len(everything))))
    assert limit.tasks == frozenset(range(len(tasks)))
    assert limit.most == 30  # two in each of fifteen rows of 33 slots, which do run
