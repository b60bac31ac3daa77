"""Ruin and recreate: take a few rivals of a demand that was left out away, put in what fits, see if it pays.

A round costs some ten microseconds, since places are found on bit masks by compiled code (`changes`); no
solver is involved, so a hundred thousand rounds fit where a solver builds one model. Worse schedules are
accepted with a probability that falls from round to round (simulated annealing), the best one is kept. Each
worker has a seed, and so random choices and a temperature, of its own.
The name and the idea are Schrimpf et al., Record breaking optimization results using the ruin and recreate
principle, J. Comput. Phys. 159 (2000).
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from schedulers.entanglement.cpsat.changes import NO_LIMIT, Ground, State, new_room, try_changes
from schedulers.entanglement.cpsat.greedy import Starts
from schedulers.entanglement.cpsat.model import Placement
from schedulers.entanglement.cpsat.outcome import Clock
from schedulers.entanglement.packing import pack
from schedulers.entanglement.rival_table import rival_table, stay_pairs
from schedulers.entanglement.tasks import PeriodicTask, TaskSet

LEAST_BATCH, MOST_BATCH, BATCH_WORK = 16, 1024, 32_000
"""Rounds between two looks at the clock: as many as this many instances are looked at, some 10 ms."""

MOST_STAY_PAIRS = 50_000_000
"""Work of making the table of rivals above which nothing is tried: it takes seconds, uninterrupted."""

WAYS = ((0.2, 0.1, 0.15), (0.4, 0.03, 0.5))
"""First and last temperature, in units of the weight of the median task, and how many of the rounds make
room; seeds use them in turn. The first way is the faster where all tasks look alike and in large networks,
the second where few tasks are worth much more than others.
"""

LATE = 0.1
"""How far the time may run ahead of the rounds before it says how much to cool, in parts of the whole."""


class Changer:
    """Improves schedules of one problem by many small changes.

    Parameters
    ----------
    placement
        The whole problem; its windows and machines are not used.
    weights
        What admitting each task is worth.
    """

    def __init__(self, placement: Placement, weights: Sequence[int]) -> None:
        tasks, horizon = placement.tasks, placement.hyperperiod_slots
        self._ground: Ground | None = None
        packed = pack(TaskSet(1.0, tuple(tasks)))
        if not tasks or stay_pairs(packed) > MOST_STAY_PAIRS:
            return
        numbers = range(len(tasks))
        self._ground = Ground(
            horizon,
            packed.period,
            packed.exec_time,
            np.array(weights, dtype=np.int64),
            np.array([_limit(task) for task in tasks], dtype=np.int64),
            np.array([index in placement.kept for index in numbers]),
            np.array([index in placement.same_offset for index in numbers]),
            np.concatenate([[0], np.cumsum(horizon // packed.period)]),
            rival_table(packed),
        )
        positive = sorted(weight for weight in weights if weight > 0)
        self._unit = positive[len(positive) // 2] if positive else 1

    def improve(self, starts: Starts, bound: int, rounds: int, seeds: Sequence[int], clock: Clock) -> Starts:
        """Improve a schedule, once for each seed side by side.

        Parameters
        ----------
        starts
            The schedule to begin with; it serves all that are to be kept.
        bound
            Total weight that nothing surpasses.
        rounds
            How many changes to try for each seed, fewer if the time is up or the bound is met. With one
            seed, where the time is enough for all, the result depends on the seed only.
        seeds
            Of the random choices; a thread for each.
        clock
            The time to use; it says afterwards whether the user interrupted.

        Returns
        -------
        dict
            The best schedule found; at least as good as the first.
        """
        if self._ground is None:
            return starts
        ground = self._ground
        first = _state(ground, starts)
        found = [first.copy() for _ in seeds]

        def work(number: int) -> None:
            self._anneal(ground, first.copy(), found[number], (bound, rounds, seeds[number]), clock, met)

        met: list[int] = []
        with ThreadPoolExecutor(len(seeds)) as threads:
            try:
                list(threads.map(work, range(len(seeds))))
            except KeyboardInterrupt:
                clock.stopped = True  # which the threads see
        best = max(found, key=lambda state: int(state.value[0]))
        return starts if best.value[0] <= first.value[0] else _starts(ground, best)

    def _anneal(
        self,
        ground: Ground,
        present: State,
        best: State,
        wish: tuple[int, int, int],
        clock: Clock,
        met: list[int],
    ) -> None:
        """Run the rounds of one seed; `met` holds something once any seed has met the bound."""
        bound, rounds, seed = wish
        random = np.random.default_rng(seed)
        room = new_room(ground)
        first, last, room_share = WAYS[seed % len(WAYS)]
        batch = min(MOST_BATCH, max(LEAST_BATCH, BATCH_WORK // int(ground.instances_of[-1])))
        for number in range(0, rounds, batch):
            if met or clock.left_s <= 0:
                return
            done, spent = number / rounds, clock.spent_s / clock.limit_s
            warm = 1 - (spent if spent > done + LATE else done)
            temperature = self._unit * max(last, first * warm)
            size = min(batch, rounds - number)
            if not try_changes(ground, room, present, best, bound, size, temperature, room_share, random):
                met.append(seed)
                return


def _limit(task: PeriodicTask) -> int:
    return NO_LIMIT if task.max_jitter_slots is None else task.max_jitter_slots


def _state(ground: Ground, starts: Starts) -> State:
    state = State(
        np.zeros(ground.period.size, dtype=np.bool_),
        np.zeros(ground.instances_of[-1], dtype=np.int64),
        np.zeros(1, dtype=np.int64),
    )
    for index, placed in starts.items():
        state.placed[index] = True
        state.start[ground.instances_of[index] : ground.instances_of[index + 1]] = placed
        state.value[0] += ground.weight[index]
    return state


def _starts(ground: Ground, state: State) -> Starts:
    of = ground.instances_of
    return {
        int(index): tuple(map(int, state.start[of[index] : of[index + 1]]))
        for index in np.flatnonzero(state.placed)
    }


def compile_changes() -> None:
    """Compile what `Changer` needs, or read it from the disk: a fraction of a second, once in a process."""
    one, other = (PeriodicTask(i, "", "x", "y", 0.8, 4, 3, {"a": ((0, 3),)}) for i in range(2))
    Changer(Placement((one, other), (), 4), (1, 1)).improve({0: (0,)}, 2, 1, (0,), Clock(60))
