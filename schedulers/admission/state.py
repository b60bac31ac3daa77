"""What chosen options take, kept up to date as options come and go."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from schedulers.admission.problem import TOLERANCE, Option, Problem

_WAIT_TOLERANCE_S = 1e-12


class Loads:
    """Loads of the channels, rounds of the queues and what is left of each admitted option's slack.

    Parameters
    ----------
    problem
        Channels and queues; its options are not needed to be the ones admitted.
    """

    def __init__(self, problem: Problem) -> None:
        self.capacity = np.asarray(problem.capacity, dtype=np.float64)
        self.load = np.zeros(len(self.capacity))
        self.wait_s = np.array(problem.base_wait_s, dtype=np.float64)
        self.admitted: dict[int, Option] = {}
        self._left_s: dict[int, float] = {}
        self._at: list[set[int]] = [set() for _ in problem.base_wait_s]

    def room(self, channel: int) -> float:
        """Share of a channel that is still free, at least 0."""
        return max(float(self.capacity[channel] - self.load[channel]), 0.0)

    def wait_of(self, option: Option) -> float:
        """Tell what the rounds on an option's way would add up to with it, seconds."""
        held = option.demand in self.admitted and self.admitted[option.demand] is option
        own = 0.0 if held else sum(option.waits.values())
        return sum(float(self.wait_s[queue]) for queue in option.waits) + own

    def overfull(self, option: Option) -> int | None:
        """Give the number of the channel that lacks most for an option; None where each has room."""
        worst, lack = None, 0.0
        for channel, share in option.use.items():
            missing = share - (self.capacity[channel] - self.load[channel])
            if missing > max(lack, TOLERANCE * self.capacity[channel]):
                worst, lack = channel, float(missing)
        return worst

    def disturbed(self, option: Option) -> int | None:
        """Give the number of an admitted demand whose slack an option would exceed; None for nobody."""
        if not option.waits:
            return None
        near: set[int] = set().union(*(self._at[queue] for queue in option.waits))
        for demand in sorted(near):
            left = self._left_s[demand]
            if left == np.inf:
                continue
            shared = self.admitted[demand].waits
            more = sum(wait for queue, wait in option.waits.items() if queue in shared)
            if more > left + _WAIT_TOLERANCE_S:
                return demand
        return None

    def fits(self, option: Option) -> bool:
        """Whether an option may be added."""
        if self.overfull(option) is not None or self.wait_of(option) > option.slack_s + _WAIT_TOLERANCE_S:
            return False
        return self.disturbed(option) is None

    def add(self, option: Option) -> None:
        """Take an option; whether it fits is the caller's to ask."""
        left_s = option.slack_s - self.wait_of(option)
        for channel, share in option.use.items():
            self.load[channel] += share
        self._shift(option, 1)
        self.admitted[option.demand] = option
        self._left_s[option.demand] = left_s
        for queue in option.waits:
            self._at[queue].add(option.demand)

    def remove(self, demand: int) -> Option:
        """Give an admitted option back."""
        option = self.admitted.pop(demand)
        del self._left_s[demand]
        for queue in option.waits:
            self._at[queue].discard(demand)
        for channel, share in option.use.items():
            self.load[channel] -= share
        self._shift(option, -1)
        return option

    def _shift(self, option: Option, sign: int) -> None:
        for queue, wait in option.waits.items():
            self.wait_s[queue] += sign * wait
            for demand in self._at[queue]:
                self._left_s[demand] -= sign * wait


def loads_of(problem: Problem, chosen: Iterable[int | None]) -> Loads:
    """Give the loads of a choice, whether it is valid or not."""
    loads = Loads(problem)
    for number in chosen:
        if number is not None:
            loads.add(problem.options[number])
    return loads


def violations(problem: Problem, chosen: Iterable[int | None]) -> list[str]:
    """List what a choice violates, from scratch; empty for a valid one."""
    taken = [problem.options[number] for number in chosen if number is not None]
    load = np.zeros(len(problem.capacity))
    wait_s = np.array(problem.base_wait_s, dtype=np.float64)
    for option in taken:
        for channel, share in option.use.items():
            load[channel] += share
        for queue, wait in option.waits.items():
            wait_s[queue] += wait
    found = [
        f"channel {n}: {load[n]:.6g} of {limit:.6g}"
        for n, limit in enumerate(problem.capacity)
        if load[n] > limit * (1 + 1e-6) + 1e-12
    ]
    for option in taken:
        total = sum(float(wait_s[queue]) for queue in option.waits)
        if total > option.slack_s * (1 + 1e-9) + 1e-9:
            found.append(f"demand {option.demand}: waits {total:.6g} s of {option.slack_s:.6g} s")
    if len({option.demand for option in taken}) < len(taken):
        found.append("a demand is served twice")
    return found
