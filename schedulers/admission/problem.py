"""The joint admission of demands, each with some options (paths), of which at most one is taken.

An option uses shares of channels, whose capacities hold, and adds its packets to the rounds of the queues
it passes. What all rounds on its way add up to must stay within its slack. The value is the sum of the
weights of the options taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Option:
    """One way to serve a demand.

    Attributes
    ----------
    demand
        Number of the demand.
    weight
        Its value if taken, more than 0.
    use
        Share of each channel that it takes, by number, more than 0.
    waits
        What its packets add to a round of each queue that it passes, seconds, by number.
    slack_s
        What the rounds of its queues, its own packets included, may add up to; infinite where nothing bounds
        them.
    """

    demand: int
    weight: float
    use: Mapping[int, float]
    waits: Mapping[int, float]
    slack_s: float


@dataclass(frozen=True, eq=False)
class Problem:
    """Options to choose among.

    Attributes
    ----------
    demands
        How many there are, numbered from 0.
    options
        All options of all demands.
    capacity
        Of each channel, as the share that may be taken.
    base_wait_s
        Round of each queue without any option: what is left room for.
    """

    demands: int
    options: Sequence[Option]
    capacity: Sequence[float]
    base_wait_s: Sequence[float]
    by_demand: tuple[tuple[int, ...], ...] = field(init=False)

    def __post_init__(self) -> None:
        found: list[list[int]] = [[] for _ in range(self.demands)]
        for number, option in enumerate(self.options):
            found[option.demand].append(number)
        object.__setattr__(self, "by_demand", tuple(map(tuple, found)))


@dataclass(frozen=True, slots=True)
class Selection:
    """What was chosen.

    Attributes
    ----------
    chosen
        Number of the option of each demand, None where it is not served.
    value
        Sum of their weights.
    bound
        Proven bound on the value; infinite where none is known.
    method
        What found it.
    """

    chosen: tuple[int | None, ...]
    value: float
    bound: float
    method: str

    @property
    def optimal(self) -> bool:
        """Whether nothing better exists among the options."""
        return self.bound <= self.value * (1 + 1e-9) + 1e-9
