"""What a plan promised beside what its simulation delivered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

UNLIKELY = 0.01
"""A run breaks a promise if a network that just keeps it would do as badly in fewer runs than this."""


def breaks_share(count: int, trials: int, allowed: float) -> bool:
    """Say whether so many bad ones among so many show more than the allowed share (binomial test).

    Examples
    --------
    >>> [breaks_share(count, 100, 0.01) for count in (1, 4, 5)]
    [False, False, True]
    """
    if count <= allowed * trials:
        return False
    from scipy.stats import binom

    return bool(binom.sf(count - 1, trials, allowed) < UNLIKELY)


@dataclass(frozen=True, slots=True)
class Delivered:
    """What one demand got in one run.

    Attributes
    ----------
    name
        Of the demand.
    rate
        Bit/s, or entangled pairs a second.
    delay_s
        One-way delay that all but the violation probability of the packets stayed within; None for pairs.
    jitter_s
        The same delay less the shortest one; None for pairs.
    loss
        Share of packets lost; of pairs, share of periods without one.
    late
        Share of packets past the bound.
    fidelity
        Mean of the pairs; None for packets, or where there was no pair.
    broken
        What was promised and not kept, in words; empty if all was.
    """

    name: str
    rate: float
    delay_s: float | None
    jitter_s: float | None
    loss: float
    late: float
    fidelity: float | None
    broken: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DemandOutcome:
    """One demand over all runs.

    Attributes
    ----------
    name, kind
        Of the demand; the kind is ``flow`` or ``entanglement``.
    promised
        Figures of the plan: rate, delay_s, jitter_s, loss, violation, fidelity; None where none is promised.
    delivered
        The same, as the mean over the runs (the delay and jitter as the largest).
    runs, kept
        How many runs there were, and in how many everything was kept.
    broken
        What was not kept, with the number of runs.
    """

    name: str
    kind: str
    promised: dict[str, float | None]
    delivered: dict[str, float | None]
    runs: int
    kept: int
    broken: dict[str, int]


@dataclass(frozen=True, slots=True)
class PlanOutcome:
    """All demands over all runs.

    Attributes
    ----------
    runs
        How many.
    duration_s
        Simulated time of each.
    seed
        Of the first; the others follow from it.
    background
        Greedy flows beside the plan, and links on which there was none because they are too fast.
    left_without_background
        Those links.
    demands
        One for each admitted demand.
    """

    runs: int
    duration_s: float
    seed: int
    background: int
    left_without_background: tuple[str, ...]
    demands: tuple[DemandOutcome, ...]

    @property
    def kept_share(self) -> float:
        """Share of runs of demands in which all that was promised was delivered."""
        total = sum(each.runs for each in self.demands)
        return sum(each.kept for each in self.demands) / total if total else 1.0

    def to_json(self) -> dict[str, Any]:
        """Give a plain document."""
        return {"schema": 1, **asdict(self), "kept_share": self.kept_share}


def summarise(kind: str, promised: dict[str, float | None], found: Sequence[Delivered]) -> DemandOutcome:
    """Join the runs of one demand."""
    count = len(found)
    broken: dict[str, int] = {}
    for run in found:
        for what in run.broken:
            broken[what] = broken.get(what, 0) + 1
    delays = [run.delay_s for run in found if run.delay_s is not None]
    jitters = [run.jitter_s for run in found if run.jitter_s is not None]
    fidelities = [run.fidelity for run in found if run.fidelity is not None]
    return DemandOutcome(
        name=found[0].name,
        kind=kind,
        promised=promised,
        delivered={
            "rate": sum(run.rate for run in found) / count,
            "delay_s": max(delays, default=None),
            "jitter_s": max(jitters, default=None),
            "loss": sum(run.loss for run in found) / count,
            "late": sum(run.late for run in found) / count,
            "fidelity": sum(fidelities) / len(fidelities) if fidelities else None,
        },
        runs=count,
        kept=sum(not run.broken for run in found),
        broken=broken,
    )
