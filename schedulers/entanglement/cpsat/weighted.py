"""Which demands to admit so that their total weight is greatest: warm start, bounds, search.

The knapsack over all machines bounds, `ruin` improves the first schedule (also beside all that takes one
worker only), and small problems go to the solver as a whole: first without, then with the bound of the folded
relaxation, which is only paid for where the first rounds left a gap. Problems with too many instances for
that are improved by `ruin` and piece by piece (`neighbourhood`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from qos.errors import InfeasibleError
from schedulers.entanglement.cpsat.bounds import Question, folded_bound, tightened, window_for
from schedulers.entanglement.cpsat.conflicts import Machine, qubit_machines, uncovered
from schedulers.entanglement.cpsat.derived import MAX_PAIRS, DerivedMachines
from schedulers.entanglement.cpsat.greedy import Starts, best_of_orders, extend, fill
from schedulers.entanglement.cpsat.model import Answer, Placement, PlacementModel
from schedulers.entanglement.cpsat.neighbourhood import improve
from schedulers.entanglement.cpsat.outcome import Clock, Options
from schedulers.entanglement.cpsat.sequences import InstanceLimit
from schedulers.entanglement.cpsat.timetable import Timetable
from schedulers.entanglement.tasks import PeriodicTask

if TYPE_CHECKING:
    from schedulers.entanglement.cpsat.ruin import Changer

MAX_WHOLE_STAYS = 40_000
"""Stays on machines up to which the solver gets the whole problem."""

KNAPSACK_SHARE, RUIN_SHARE, FIRST_SHARE, PIECES_SHARE, FOLDED_SHARE = 0.2, 0.15, 0.15, 0.1, 0.15
ALONE_SHARE = 0.1
"""Of the time one worker gets first: what it proves is the same in every run, which many workers' is not."""

TURN_SHARE = 0.1
"""Of the time for each turn where there are only turns."""

PAIRS_A_SECOND = 20_000
"""Pairs of tasks that may be compared for each second of the time limit: a few per cent of it."""

FIRST_ROUNDS, ROUNDS_A_SECOND = 3000, 100_000
"""Changes that are tried before the solver begins, and later for each second that there is for them."""


@dataclass(frozen=True, slots=True)
class Contest:
    """Tasks of which the best are to be admitted.

    Attributes
    ----------
    tasks
        All tasks.
    weights
        What admitting each is worth: whole numbers >= 0.
    kept
        Indices that must be admitted.
    hyperperiod_slots
        A multiple of every period.
    same_offset
        Only schedules with the same offset in every period.
    """

    tasks: Sequence[PeriodicTask]
    weights: Sequence[int]
    kept: frozenset[int]
    hyperperiod_slots: int
    same_offset: bool = False

    @property
    def fixed_offsets(self) -> frozenset[int]:
        """The tasks that may not move within their period."""
        return frozenset(range(len(self.tasks))) if self.same_offset else frozenset()

    def value(self, starts: Starts) -> int:
        """Total weight of an admitted set."""
        return sum(self.weights[index] for index in starts)


@dataclass(frozen=True, slots=True)
class Best:
    """The best admitted set found.

    Attributes
    ----------
    starts
        None if no schedule of all kept tasks was found.
    bound
        No schedule is worth more.
    searched
        The solver, not only a heuristic, has worked on it.
    """

    starts: Starts | None
    bound: int
    searched: bool


def stays(tasks: Sequence[PeriodicTask], hyperperiod_slots: int) -> int:
    """Count the stays of all instances on all qubits: the size of the problem."""
    return sum(
        hyperperiod_slots // task.period_slots * sum(len(intervals) for intervals in task.occupancy.values())
        for task in tasks
    )


def _with_same_offsets(contest: Contest, starts: Starts) -> Starts:
    """Leave out the tasks that move within their period."""
    return {
        index: s
        for index, s in starts.items()
        if len({start % contest.tasks[index].period_slots for start in s}) == 1
    }


def first_schedule(contest: Contest, given: Sequence[Starts], clock: Clock) -> Starts | None:
    """Choose the best of the schedules given, filled up, and the greedy ones; None if none keeps all."""
    horizon = contest.hyperperiod_slots
    found = [extend(contest.tasks, starts, horizon) for starts in given]
    if contest.kept:
        timetable = Timetable(horizon)
        kept = fill(
            contest.tasks, sorted(contest.kept, key=lambda i: contest.tasks[i].period_slots), timetable
        )
        found.append(extend(contest.tasks, kept, horizon))
    if not (found and clock.left_s <= 0):
        found.append(best_of_orders(contest.tasks, contest.weights, horizon, lambda: clock.left_s <= 0))
    if contest.same_offset:
        found = [_with_same_offsets(contest, starts) for starts in found]
    found = [starts for starts in found if contest.kept <= starts.keys()]
    return max(found, key=contest.value, default=None)


class _Search:
    """The state of one search: the incumbent, the bound, the time."""

    def __init__(self, contest: Contest, options: Options, clock: Clock) -> None:
        self.contest, self.options, self.clock = contest, options, clock
        self.starts: Starts | None = None
        self.bound = sum(contest.weights)
        self.searched = False
        self._changer: Changer | None = None
        self._seeds_used = 0
        self.machines: tuple[Machine, ...] = ()
        self.loads: tuple[Machine, ...] = ()
        self.limits: tuple[InstanceLimit, ...] = ()

    @property
    def closed(self) -> bool:
        """Nothing better exists."""
        return self.starts is not None and self.contest.value(self.starts) >= self.bound

    def relax(self) -> None:
        """Lower the bound by the knapsack, and note the machines that it rests on."""
        self.clock.say("bound")
        seconds = min(KNAPSACK_SHARE * self.clock.limit_s, self.clock.left_s)
        most_pairs = max(MAX_PAIRS, int(PAIRS_A_SECOND * self.clock.limit_s))
        derived = DerivedMachines(self.contest.tasks, most_pairs)
        question = self._question(uncovered(derived.contended() + qubit_machines(self.contest.tasks)))
        self.machines = tuple(question.machines)
        bound, tight = tightened(question, derived, seconds)
        self.bound = min(self.bound, bound)
        self.loads, self.limits = tuple(tight.machines[len(self.machines) :]), tuple(tight.limits)

    def fold(self) -> None:
        """Lower the bound by the folded relaxation."""
        question = replace(self._question((*self.loads, *self.machines)), limits=self.limits)
        window = window_for(question)
        if window is not None:
            self.clock.say("stronger bound")
            seconds = min(FOLDED_SHARE * self.clock.limit_s, self.clock.left_s)
            self.bound = min(self.bound, folded_bound(question, window, seconds))

    def _question(self, machines: tuple[Machine, ...]) -> Question:
        contest = self.contest
        return Question(contest.tasks, machines, contest.weights, contest.kept, contest.hyperperiod_slots)

    def solve(self, time_limit_s: float, workers: int) -> None:
        """Let the solver work on the whole problem."""
        contest = self.contest
        self.clock.say("search")
        whole = PlacementModel(
            Placement(
                contest.tasks,
                self.machines,
                contest.hyperperiod_slots,
                contest.kept,
                contest.fixed_offsets,
                loads=self.loads,
                limits=self.limits,
            )
        )
        worth = sum(weight * x for weight, x in zip(contest.weights, whole.present, strict=True))
        whole.model.add(worth <= self.bound)
        if self.starts is not None:
            whole.model.add(worth >= contest.value(self.starts))
            whole.hint(self.starts)
        whole.model.maximize(worth)
        answer = whole.solve(min(time_limit_s, self.clock.left_s), workers, self.options.seed)
        self.take(answer)

    def take(self, answer: Answer) -> None:
        """Use what the solver found out."""
        self.searched = True
        if answer.proven and answer.starts is None and self.starts is None:
            raise InfeasibleError("no schedule serves all demands that must be kept; this is proven")
        if answer.stopped:
            self.clock.stopped = True
        if answer.starts is not None and (
            self.starts is None or self.contest.value(answer.starts) > self.contest.value(self.starts)
        ):
            self.starts = answer.starts
        if answer.bound is not None:
            self.bound = min(self.bound, answer.bound)

    @property
    def _placement(self) -> Placement:
        contest = self.contest
        return Placement(contest.tasks, (), contest.hyperperiod_slots, contest.kept, contest.fixed_offsets)

    def _changes(self) -> Changer:
        if self._changer is None:
            from schedulers.entanglement.cpsat.ruin import Changer, compile_changes

            self.clock.leave_out(compile_changes)
            self._changer = Changer(self._placement, self.contest.weights)
        return self._changer

    def _seeds(self, count: int) -> list[int]:
        """Give seeds that no part of the search had before."""
        first = self.options.seed + self._seeds_used
        self._seeds_used += count
        return list(range(first, first + count))

    def ruin(self, time_limit_s: float, rounds: int | None = None) -> None:
        """Improve the incumbent by many small changes, on all workers where `rounds` does not limit them."""
        if self.starts is None or self.closed or self.clock.left_s <= 0:
            return
        changes, part = self._changes(), self.clock.part(time_limit_s)
        self.clock.say("ruin and recreate")
        seeds = self._seeds(self.options.workers if rounds is None else 1)
        rounds = rounds or int(ROUNDS_A_SECOND * time_limit_s) + 1
        self.starts = changes.improve(self.starts, self.bound, rounds, seeds, part)
        self.clock.stopped |= part.stopped
        self.searched = True

    def beside(self, work: Callable[[], None], time_limit_s: float) -> None:
        """Do something that takes one worker; the others improve the incumbent meanwhile."""
        others = self.options.workers - 1
        if others == 0 or self.starts is None:
            return work()
        changes, part = self._changes(), self.clock.part(time_limit_s)
        rounds, seeds = int(ROUNDS_A_SECOND * time_limit_s) + 1, self._seeds(others)
        with ThreadPoolExecutor(1) as thread:
            improved = thread.submit(changes.improve, self.starts, self.bound, rounds, seeds, part)
            try:
                work()
            finally:
                part.stopped = True  # which the others see
                found = improved.result()
                if self.contest.value(found) > self.contest.value(self.starts):
                    self.starts = found

    def polish(self, time_limit_s: float) -> None:
        """Improve the incumbent piece by piece."""
        if self.starts is None or self.closed or self.clock.left_s <= 0:
            return
        part = self.clock.part(time_limit_s)
        self.starts = improve(
            self._placement, self.contest.weights, self.starts, self.bound, self.options, part
        )
        self.clock.stopped |= part.stopped
        self.searched = True

    def run_whole(self) -> None:
        """Search with the solver on the whole problem, and piece by piece, until nothing is left open."""
        workers, limit_s = self.options.workers, self.clock.limit_s
        phases: tuple[Callable[[], None], ...] = (
            lambda: self.beside(self.relax, KNAPSACK_SHARE * limit_s),
            lambda: self.ruin(RUIN_SHARE * limit_s, FIRST_ROUNDS),
            lambda: self.beside(lambda: self.solve(ALONE_SHARE * limit_s, 1), ALONE_SHARE * limit_s),
            lambda: self.ruin(RUIN_SHARE * limit_s),
            lambda: self.solve(FIRST_SHARE * limit_s, workers),
            lambda: self.polish(PIECES_SHARE * limit_s),
            lambda: self.ruin(RUIN_SHARE * limit_s),
            lambda: self.beside(self.fold, FOLDED_SHARE * limit_s),
            lambda: self.solve(self.clock.left_s, workers),
        )
        for phase in phases:
            if self.closed or self.clock.left_s <= 0:
                return
            phase()

    def run_by_pieces(self) -> None:
        """Bound by the knapsack and improve the incumbent piece by piece, in turns of two ways."""
        self.relax()
        while self.starts is not None and not self.closed and self.clock.left_s > 0:
            self.ruin(TURN_SHARE * self.clock.limit_s)
            self.polish(TURN_SHARE * self.clock.limit_s)


def admit_best(contest: Contest, given: Sequence[Starts], options: Options, clock: Clock) -> Best:
    """Find the admitted set of greatest weight, and a schedule of it.

    Parameters
    ----------
    contest
        The tasks and what they are worth.
    given
        Schedules to start from.
    options, clock
        Workers and seed; the time to use.

    Raises
    ------
    InfeasibleError
        If it is proven that no schedule serves all kept tasks.
    """
    search = _Search(contest, options, clock)
    try:
        clock.say("first schedule")
        search.starts = first_schedule(contest, given, clock)
        if not search.closed:
            if stays(contest.tasks, contest.hyperperiod_slots) <= MAX_WHOLE_STAYS:
                search.run_whole()
            else:
                search.run_by_pieces()
    except KeyboardInterrupt:
        clock.stopped = True
    return Best(search.starts, search.bound, search.searched)
