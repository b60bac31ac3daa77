"""How long packets wait for those of other flows: a bound that holds always, and one for nearly all packets.

*Always*: while a packet waits, a fair queue serves every other flow at most what is there of it, and at most
a round's worth (deficit round robin; Shreedhar and Varghese 1996). One such round a queue bounds the wait of
a flow that sends no more than its part of a round. It grows with the number of flows.

*Nearly all*: streams that send at constant rates from starts that know nothing of each other wait less than
Poisson streams of full packets of the same load (sum of D_i/D/1 below M/D/1; Roberts and Virtamo 1991). The
wait of those has the tail ``exp(-y x / s)``, `s` the time of a packet and `y` the positive root of
``rho (e^y - 1) = y`` (Kingman 1964, after Lundberg). The tails of several queues are added by Chernoff's
or Erlang's bound.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
from scipy import special

from qos.engine.network import FRAME_BYTES, Edge

_LEAST_LOAD = 1e-12
_GRID = np.linspace(0.02, 0.98, 49)


def wait_scale_s(edge: Edge, load: float) -> float:
    """Give the scale of the tail of the wait before an edge, seconds.

    Parameters
    ----------
    edge
        With its rate.
    load
        Share of it that is in use, at least 0, below 1.
    """
    return 8 * FRAME_BYTES / edge.service_bps / _decay(min(load, 0.99)) if load > _LEAST_LOAD else 0.0


@lru_cache(maxsize=4096)
def _decay(load: float) -> float:
    """Give the positive root `y` of ``load (e^y - 1) = y``, by Lambert's function."""
    return float(-load - special.lambertw(-load * math.exp(-load), -1).real)


def total_wait_s(scales_s: Sequence[float], violation: float) -> float:
    """Give the sum of waits that is exceeded with at most a probability.

    Of independent waits with exponential tails of these scales, the smaller of Chernoff's bound,
    ``min over t of (-ln violation - sum ln(1 - t s)) / t``, and the quantile of Erlang's distribution, were
    all as long as the longest.

    Parameters
    ----------
    scales_s
        Of each queue, at least 0.
    violation
        More than 0, less than 1.

    Examples
    --------
    >>> round(total_wait_s([1e-3], 0.01), 6), total_wait_s([], 0.01)
    (0.004605, 0.0)
    """
    scales = np.array([scale for scale in scales_s if scale > 0])
    if not len(scales):
        return 0.0
    rates = _GRID / scales.max()
    sums = -np.log1p(-rates[:, None] * scales[None, :]).sum(axis=1)
    chernoff = float(((-math.log(violation) + sums) / rates).min())
    return min(chernoff, float(scales.max()) * _erlang(len(scales), violation))


@lru_cache(maxsize=4096)
def _erlang(count: int, violation: float) -> float:
    return float(special.gammainccinv(count, violation))


def usual_wait_s(edges: Iterable[Edge], loads: Iterable[float], base_s: float, violation: float) -> float:
    """Give the wait on a path that nearly all packets stay within.

    Parameters
    ----------
    edges
        The path.
    loads
        Share of each edge's channel in use.
    base_s
        Rounds of the flows outside of the plan, all queues together.
    violation
        Share of packets that may wait longer.
    """
    return base_s + total_wait_s(
        [wait_scale_s(edge, load) for edge, load in zip(edges, loads, strict=True)], violation
    )
