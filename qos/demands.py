"""What is asked of a network."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EntanglementDemand:
    """Entangled pairs between two nodes, delivered periodically.

    Attributes
    ----------
    source, destination
        Ids of two nodes.
    rate_ebit_per_s
        Pairs per second, more than 0.
    min_fidelity
        Of each delivered pair, in (0.5, 1].
    max_jitter_s
        How far the start of an instance may move from period to period, or None for any.
    probability
        Probability that the pair of a period is delivered, in (0, 1), or None where link generation is
        taken as deterministic.
    """

    source: str
    destination: str
    rate_ebit_per_s: float
    min_fidelity: float
    max_jitter_s: float | None = None
    probability: float | None = None
