"""Ruin and recreate: take a few rivals of a demand that was left out away, put in what fits, see if it pays.

A round costs a fraction of a millisecond for each task that it touches, since places are found on bit
masks; no solver is involved, so thousands of rounds fit where a solver builds one model. Worse schedules are
accepted with a probability that falls from round to round (simulated annealing), the best one is kept.
The name and the idea are Schrimpf et al., Record breaking optimization results using the ruin and recreate
principle, J. Comput. Phys. 159 (2000).
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from schedulers.entanglement.cpsat.greedy import Starts
from schedulers.entanglement.cpsat.model import Placement
from schedulers.entanglement.cpsat.neighbourhood import Rivals
from schedulers.entanglement.cpsat.outcome import Clock
from schedulers.entanglement.cpsat.timetable import Timetable, lowest
from schedulers.entanglement.tasks import PeriodicTask

MOST_RUINED = 5
MOST_TRIED = 48
"""Tasks that a round tries to put in."""

FIRST_TEMPERATURE, LAST_TEMPERATURE = 1.0, 0.03
"""In units of the weight of the median task."""

LATE = 0.1
"""How far the time may run ahead of the rounds before it says how much to cool, in parts of the whole."""

STEADY_SHARE = 0.5
"""How often a task gets the same offset in every period where it can, in place of any free starts."""


def _highest(mask: int) -> int:
    return mask.bit_length() - 1


class _Table:
    """A schedule that changes, the slots that it takes, and what it is worth."""

    def __init__(self, placement: Placement, weights: Sequence[int], starts: Starts, seed: int) -> None:
        self.placement, self.weights = placement, weights
        self.random = random.Random(seed)
        self.slots = Timetable(placement.hyperperiod_slots)
        self.starts: Starts = {}
        self.value = 0
        for index, placed in starts.items():
            self.put(index, placed)

    def put(self, index: int, placed: tuple[int, ...]) -> None:
        self.slots.place(self.placement.tasks[index], placed)
        self.starts[index] = placed
        self.value += self.weights[index]

    def take(self, index: int) -> tuple[int, ...]:
        placed = self.starts.pop(index)
        self.slots.remove(self.placement.tasks[index], placed)
        self.value -= self.weights[index]
        return placed

    def _edge(self, mask: int) -> int:
        """Pick one of the ends of the runs of bits of a mask: there a task lies next to another."""
        ends = mask & ~(mask << 1) | mask & ~(mask >> 1)
        for _ in range(self.random.randrange(ends.bit_count())):
            ends &= ends - 1
        return lowest(ends)

    def try_to_put(self, index: int, rule: int) -> bool:
        """Put a task where it fits, if it fits anywhere."""
        task = self.placement.tasks[index]
        steady = index in self.placement.same_offset
        pick = (lowest, _highest, self._edge)[rule]
        placed = self.slots.choose_starts(task, pick, steady=steady or self.random.random() < STEADY_SHARE)
        if placed is None or (steady and not _is_steady(task, placed)):
            return False
        self.put(index, placed)
        return True


def _is_steady(task: PeriodicTask, placed: tuple[int, ...]) -> bool:
    return len({start % task.period_slots for start in placed}) == 1


def _round(
    table: _Table, near: Sequence[Sequence[int]], centre: int
) -> tuple[dict[int, tuple[int, ...]], list[int]]:
    """Take some rivals of a task out and put in what fits, the task itself first.

    Returns
    -------
    tuple
        The starts of those taken out, and who was put in.
    """
    chance, kept = table.random, table.placement.kept
    rivals = [index for index in near[centre] if index in table.starts]
    ruined = chance.sample(rivals, min(len(rivals), chance.randint(1, MOST_RUINED)))
    before = {index: table.take(index) for index in ruined}
    others = [index for index in near[centre] if index not in table.starts and table.weights[index] > 0]
    if len(others) > MOST_TRIED:
        others = [*chance.sample(others, MOST_TRIED), *(set(ruined) & kept)]
    worth = {index: (index in kept, table.weights[index] * chance.random()) for index in others}
    rule = chance.choice((0, 0, 1, 2, 2))
    order = [centre, *sorted(worth, key=lambda index: worth[index], reverse=True)]
    return before, [index for index in order if table.try_to_put(index, rule)]


def ruin_and_recreate(
    placement: Placement,
    weights: Sequence[int],
    starts: Starts,
    bound: int,
    rounds: int,
    seed: int,
    clock: Clock,
) -> Starts:
    """Improve a schedule by many small changes.

    Parameters
    ----------
    placement
        The whole problem; its windows and machines are not used.
    weights
        What admitting each task is worth.
    starts
        The schedule to begin with; it serves all that are to be kept.
    bound
        Total weight that nothing surpasses.
    rounds
        How many changes to try, fewer if the time is up or the bound is met. Where the time is enough for
        all, the result depends on the seed only.
    seed
        Of the random choices.
    clock
        The time to use.

    Returns
    -------
    dict
        The best schedule found; at least as good as the first.
    """
    table = _Table(placement, weights, starts, seed)
    best, best_value = dict(starts), table.value
    rivals = Rivals(placement.tasks)
    near = [sorted(rivals.of(index)) for index in range(len(placement.tasks))]
    positive = sorted(weight for weight in weights if weight > 0)
    unit = positive[len(positive) // 2] if positive else 1
    for number in range(rounds):
        if best_value >= bound or clock.left_s <= 0:
            break
        clock.say("ruin and recreate")
        left_out = [i for i, weight in enumerate(weights) if weight > 0 and i not in table.starts]
        if not left_out:
            break
        old = table.value
        before, new = _round(table, near, table.random.choice(left_out))
        done, spent = number / rounds, clock.spent_s / clock.limit_s
        warm = 1 - (spent if spent > done + LATE else done)
        temperature = unit * max(LAST_TEMPERATURE, FIRST_TEMPERATURE * warm)
        lost = old - table.value
        keeps = all(index in table.starts for index in before if index in placement.kept)
        if keeps and (lost <= 0 or table.random.random() < math.exp(-lost / temperature)):
            if table.value > best_value:
                best, best_value = dict(table.starts), table.value
            continue
        for index in new:
            table.take(index)
        for index, placed in before.items():
            table.put(index, placed)
    return best
