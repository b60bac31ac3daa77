"""What is asked of the optimiser, and what it answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from qos.errors import ValueRefusedError
from schedulers.entanglement.tasks import MAX_WEIGHT, Schedule

Objective = Literal["throughput", "fair", "count", "jitter", "zero-jitter", "makespan"]
Mode = Literal["batch", "dominate", "online"]
Status = Literal["optimal", "feasible", "heuristic", "unknown"]

OBJECTIVES: tuple[Objective, ...] = get_args(Objective)
MODES: tuple[Mode, ...] = get_args(Mode)


def _say_nothing(phase: str, done: float) -> None:  # noqa: ARG001
    return


@dataclass(frozen=True, slots=True)
class Options:
    """How to optimise.

    Attributes
    ----------
    objective
        What is best; `docs/schedule.md` has the definitions.
    mode
        ``batch`` chooses freely among all demands; ``dominate`` keeps all that the paper's best scheduler
        admits; ``online`` decides on each demand when it arrives and never gives up an admitted one.
    time_limit_s
        Wall-clock seconds, > 0; the best found by then is returned.
    workers
        Threads of the solver, >= 1.
    seed
        Of the solver's random choices, >= 0.
    weights
        For each task id what its ebit/s are worth, in place of the task's own weight, from 0 to a million;
        for ``throughput`` and ``fair``.
    kept
        Ids that must be admitted; None lets the mode say.
    progress
        Called with the phase and the fraction of the time that is spent.

    Raises
    ------
    ValueRefusedError
        For a value out of range.
    """

    objective: Objective = "throughput"
    mode: Mode = "batch"
    time_limit_s: float = 10.0
    workers: int = 2
    seed: int = 0
    weights: Mapping[int, float] = field(default_factory=dict)
    kept: frozenset[int] | None = None
    progress: Callable[[str, float], None] = _say_nothing

    def __post_init__(self) -> None:
        if self.objective not in OBJECTIVES:
            raise ValueRefusedError(f"objective {self.objective!r}: expected one of {', '.join(OBJECTIVES)}")
        if self.mode not in MODES:
            raise ValueRefusedError(f"mode {self.mode!r}: expected one of {', '.join(MODES)}")
        if not 0 < self.time_limit_s <= 86400:
            raise ValueRefusedError(f"time limit {self.time_limit_s}: expected more than 0 s, at most a day")
        if self.workers < 1:
            raise ValueRefusedError(f"workers {self.workers}: expected 1 or more")
        if not 0 <= self.seed < 2**31:
            raise ValueRefusedError(f"seed {self.seed}: expected 0 to 2147483647")
        wrong = [task for task, weight in self.weights.items() if not 0 <= weight <= MAX_WEIGHT]
        if wrong:
            raise ValueRefusedError(f"weights: task {wrong[0]}: expected a number from 0 to {MAX_WEIGHT}")


@dataclass(frozen=True, slots=True)
class Outcome:
    """A schedule, and how good it is known to be.

    Attributes
    ----------
    schedule
        The best found.
    status
        ``optimal``: nothing better exists; ``feasible``: found by search, better may exist; ``heuristic``:
        from a heuristic, unimproved; ``unknown``: nothing was found in time.
    objective
        What was optimised.
    value, bound
        The objective reached, and what is proven that no schedule surpasses: ebit/s (times weights) for
        ``throughput`` and ``zero-jitter`` (of schedules without jitter), the lowest part of what it asked for
        that a pair of end nodes gets (divided by its weight) for ``fair``, demands for ``count``, s^2 for
        ``jitter``, seconds for ``makespan``; a lower bound for the last two.
    bound_ebit_per_s
        Proven bound on the throughput of any schedule of the task set, at most the offered rate.
    seconds
        Wall-clock time spent.
    interrupted
        The user stopped the search.
    """

    schedule: Schedule
    status: Status
    objective: Objective
    value: float
    bound: float
    bound_ebit_per_s: float
    seconds: float
    interrupted: bool = False

    @property
    def gap(self) -> float:
        """How far value and bound are apart, as a fraction of the bound; 0 for a proven optimum."""
        if self.status == "optimal" or self.value == self.bound:
            return 0.0
        return abs(self.bound - self.value) / max(abs(self.bound), abs(self.value))


class Clock:
    """The time left of a limit, and whether the user wants to stop.

    Parameters
    ----------
    limit_s
        Seconds from now.
    progress
        As in `Options`.
    whole
        The clock of which this is a part.
    """

    def __init__(
        self,
        limit_s: float,
        progress: Callable[[str, float], None] = _say_nothing,
        whole: Clock | None = None,
    ) -> None:
        self.begun = time.monotonic()
        self.limit_s = limit_s
        self.stopped = False
        self._progress = progress
        self.whole = whole

    @property
    def spent_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.begun

    @property
    def left_s(self) -> float:
        """Seconds left; 0 once the user has interrupted."""
        return 0.0 if self.stopped else max(0.0, self.limit_s - self.spent_s)

    def part(self, limit_s: float) -> Clock:
        """Make a clock for a part of what is left."""
        return Clock(min(limit_s, self.left_s), lambda phase, _: self.say(phase), self)

    def leave_out(self, work: Callable[[], None]) -> None:
        """Do something that does not count: compiling."""
        begun = time.monotonic()
        work()
        lost = time.monotonic() - begun
        clock: Clock | None = self
        while clock is not None:
            clock.begun += lost
            clock = clock.whole

    def say(self, phase: str) -> None:
        """Report a phase."""
        self._progress(phase, min(1.0, self.spent_s / max(self.limit_s, 1e-9)))
