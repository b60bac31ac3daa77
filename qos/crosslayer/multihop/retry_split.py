"""Where on a path a fixed number of retransmissions does most good.

The log-probability that a packet passes a hop, ``ln(1 - p^(N+1))``, is concave in the retries `N`, so giving
each next retry to the hop that gains most is optimal.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence

from qos.crosslayer.guards import check_count, check_finite
from qos.errors import ValueRefusedError


def path_loss_probability(error_rates: Sequence[float], retries: Sequence[int]) -> float:
    """Probability that a packet is lost on some hop: ``1 - prod(1 - p^(N+1))``."""
    passed = (math.log1p(-(p ** (n + 1))) for p, n in zip(error_rates, retries, strict=True))
    return -math.expm1(sum(passed))


def split_retries(error_rates: Sequence[float], total: int) -> tuple[int, ...]:
    """Give `total` retransmissions to the hops so that the path loses least.

    Parameters
    ----------
    error_rates
        Packet error rate of one transmission on each hop, at least 0 and less than 1.
    total
        Retransmissions to give, at least 0.

    Returns
    -------
    tuple of int
        Retransmission limit of each hop; they sum to `total`.

    Raises
    ------
    ValueRefusedError
        If there is no hop, or a figure is out of range.

    Examples
    --------
    >>> split_retries([0.5, 0.01], 3)
    (3, 0)
    """
    check_count("retransmissions", total)
    if not error_rates:
        raise ValueRefusedError("a path needs at least one hop")
    for hop, rate in enumerate(error_rates):
        if not 0 <= check_finite(f"error rate of hop {hop}", rate) < 1:
            raise ValueRefusedError(
                f"error rate of hop {hop} must be at least 0 and less than 1, not {rate!r}"
            )
    given = [0] * len(error_rates)

    def loss_of_waiting(hop: int) -> float:
        error = error_rates[hop]
        now, then = error ** (given[hop] + 1), error ** (given[hop] + 2)
        return math.log1p(-now) - math.log1p(-then)

    queue = [(loss_of_waiting(hop), hop) for hop in range(len(error_rates))]
    heapq.heapify(queue)
    for _ in range(total):
        _, hop = heapq.heappop(queue)
        given[hop] += 1
        heapq.heappush(queue, (loss_of_waiting(hop), hop))
    return tuple(given)


def split_uniformly(hops: int, total: int) -> tuple[int, ...]:
    """Give every hop the same number of retries, what is left over to the first ones."""
    each, rest = divmod(total, check_count("hops", hops, 1))
    return tuple(each + (hop < rest) for hop in range(hops))
