"""Splitting a path's loss and delay budget: least channel time that meets both, exactly.

Each hop has working points (mode, retransmission limit), each with a loss, a delay and a channel time. One is
chosen a hop. Labels (partial choices) are kept while no other label is better in all three and a Lagrangian
bound on their completion is below the best complete choice found; the answer is the optimum.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qos.crosslayer.amc_arq import mean_transmissions
from qos.crosslayer.guards import check_count, check_not_negative, check_positive, check_probability
from qos.crosslayer.multihop.pareto import undominated
from qos.errors import InfeasibleError, ValueRefusedError

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

_BEAM = 8
_MAX_LABELS = 100_000
_SLACK = 1e-12


@dataclass(frozen=True)
class WorkingPoint:
    """One setting of a hop.

    Attributes
    ----------
    error_rate
        Packet error rate of one transmission, at least 0 and less than 1.
    attempt_s
        Time of one attempt in seconds, acknowledgement included, more than 0.
    retransmissions
        Largest number of retransmissions.
    wait_s
        Time that a packet waits at the hop besides, seconds.
    """

    error_rate: float
    attempt_s: float
    retransmissions: int
    wait_s: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= check_not_negative("error rate", self.error_rate) < 1:
            raise ValueRefusedError(f"error rate must be less than 1, not {self.error_rate!r}")
        check_positive("attempt time", self.attempt_s)
        check_count("retransmissions", self.retransmissions)
        check_not_negative("waiting time", self.wait_s)

    @property
    def loss(self) -> float:
        """Probability that a packet is lost after the last retransmission."""
        return float(self.error_rate ** (self.retransmissions + 1))

    @property
    def delay_s(self) -> float:
        """Largest delay of a packet that arrives, waiting included."""
        return self.wait_s + (self.retransmissions + 1) * self.attempt_s

    @property
    def channel_time_s(self) -> float:
        """Mean time that a packet holds the channel."""
        return self.attempt_s * mean_transmissions(self.error_rate, self.retransmissions)


@dataclass(frozen=True)
class Split:
    """The working point of each hop and what they add up to."""

    points: tuple[WorkingPoint, ...]
    loss: float
    delay_s: float
    channel_time_s: float


@dataclass(frozen=True, eq=False)
class _Hop:
    """Undominated points of a hop, as arrays: log-loss, delay, cost, index among those given."""

    loss: Floats
    delay: Floats
    cost: Floats
    index: Whole


def working_points(
    error_rate: float, attempt_s: float, max_retransmissions: int, wait_s: float = 0.0
) -> tuple[WorkingPoint, ...]:
    """Give the points of a hop of one mode: every retransmission limit up to the largest."""
    return tuple(
        WorkingPoint(error_rate, attempt_s, retries, wait_s) for retries in range(max_retransmissions + 1)
    )


def split_budget(hops: Sequence[Sequence[WorkingPoint]], loss: float, delay_s: float) -> Split:
    """Choose one point a hop: least channel time with the path's loss and delay within bounds.

    Parameters
    ----------
    hops
        Working points of each hop, at least one each.
    loss
        Bound on the probability that a packet is lost on the path.
    delay_s
        Bound on the sum of the largest delays, seconds.

    Raises
    ------
    ValueRefusedError
        If there is no hop, a hop without points, or a bound out of range.
    InfeasibleError
        If no choice meets both bounds; says by how much and which hop is the worst.
    """
    if not hops or any(not points for points in hops):
        raise ValueRefusedError("a path needs at least one hop, and every hop a working point")
    log_loss = -math.log1p(-check_probability("loss", loss))
    check_positive("delay bound", delay_s)
    tables = [_table(points) for points in hops]
    _check_each_alone(hops, tables, log_loss, loss, delay_s)
    prices = _prices(tables, log_loss, delay_s)
    best = _search(tables, log_loss, delay_s, prices, math.inf, _BEAM)
    bound = math.inf if best is None else best[0]
    exact = _search(tables, log_loss, delay_s, prices, bound, _MAX_LABELS)
    chosen = exact if exact is not None else best
    if chosen is None:
        raise _infeasible(tables, loss, delay_s)
    points = tuple(
        hop[int(table.index[pick])] for hop, table, pick in zip(hops, tables, chosen[1], strict=True)
    )
    return Split(
        points=points,
        loss=-math.expm1(sum(math.log1p(-point.loss) for point in points)),
        delay_s=sum(point.delay_s for point in points),
        channel_time_s=sum(point.channel_time_s for point in points),
    )


def _table(points: Sequence[WorkingPoint]) -> _Hop:
    loss = np.array([-math.log1p(-point.loss) for point in points])
    delay = np.array([point.delay_s for point in points])
    cost = np.array([point.channel_time_s for point in points])
    kept = undominated(loss, delay, cost)
    return _Hop(loss[kept], delay[kept], cost[kept], kept)


def _prices(tables: Sequence[_Hop], log_loss: float, delay_s: float) -> tuple[float, float]:
    """Prices of log-loss and delay that make the Lagrangian bound high, by coordinate search."""
    loss = np.concatenate([table.loss for table in tables])
    delay = np.concatenate([table.delay for table in tables])
    cost = np.concatenate([table.cost for table in tables])
    starts = np.cumsum([0] + [len(table.cost) for table in tables[:-1]])
    scale = sum(float(table.cost.min()) for table in tables)

    def best(loss_prices: Floats, delay_prices: Floats) -> int:
        priced = cost + loss_prices[:, None] * loss + delay_prices[:, None] * delay
        least = np.minimum.reduceat(priced, starts, axis=1).sum(axis=1)
        return int(np.argmax(least - loss_prices * log_loss - delay_prices * delay_s))

    trial = np.concatenate([[0.0], 10 ** np.linspace(-3, 3, 25)])
    loss_price, delay_price = np.zeros(1), np.zeros(1)
    for _ in range(3):
        pick = best(scale / log_loss * trial, delay_price)
        loss_price = scale / log_loss * trial[pick : pick + 1]
        pick = best(loss_price + 0 * trial, scale / delay_s * trial)
        delay_price = scale / delay_s * trial[pick : pick + 1]
    return float(loss_price[0]), float(delay_price[0])


def _search(
    tables: Sequence[_Hop],
    log_loss: float,
    delay_s: float,
    prices: tuple[float, float],
    best: float,
    width: int,
) -> tuple[float, tuple[int, ...]] | None:
    """Extend labels hop by hop; keep at most `width` by their bound; give the cheapest complete one."""
    loss_price, delay_price = prices
    priced = [table.cost + loss_price * table.loss + delay_price * table.delay for table in tables]
    rest_loss = _suffix([float(table.loss.min()) for table in tables])
    rest_delay = _suffix([float(table.delay.min()) for table in tables])
    rest_priced = _suffix([float(price.min()) for price in priced])
    loss, delay, cost = np.zeros(1), np.zeros(1), np.zeros(1)
    picks = np.zeros((1, 0), dtype=np.int64)
    for hop, table in enumerate(tables):
        loss = (loss[:, None] + table.loss).ravel()
        delay = (delay[:, None] + table.delay).ravel()
        cost = (cost[:, None] + table.cost).ravel()
        fits = loss + rest_loss[hop + 1] <= log_loss * (1 + _SLACK)
        fits &= delay + rest_delay[hop + 1] <= delay_s * (1 + _SLACK)
        completion = cost + loss_price * (loss - log_loss) + delay_price * (delay - delay_s)
        completion = completion + rest_priced[hop + 1]
        fits &= completion <= best * (1 + 1e-9)
        kept = np.flatnonzero(fits)
        kept = kept[undominated(loss[kept], delay[kept], cost[kept])]
        if len(kept) > width:
            kept = kept[np.argsort(completion[kept], kind="stable")[:width]]
        loss, delay, cost = loss[kept], delay[kept], cost[kept]
        choices = len(table.loss)
        picks = np.column_stack([picks[kept // choices], kept % choices])
        if not len(kept):
            return None
    cheapest = int(np.argmin(cost))
    return float(cost[cheapest]), tuple(int(pick) for pick in picks[cheapest])


def _suffix(values: list[float]) -> list[float]:
    sums = [0.0]
    for value in reversed(values):
        sums.append(sums[-1] + value)
    return sums[::-1]


def _check_each_alone(
    hops: Sequence[Sequence[WorkingPoint]],
    tables: Sequence[_Hop],
    log_loss: float,
    loss: float,
    delay_s: float,
) -> None:
    least_delay = [min(point.delay_s for point in points) for points in hops]
    if sum(least_delay) > delay_s * (1 + _SLACK):
        worst = int(np.argmax(least_delay))
        raise InfeasibleError(
            f"the delay bound {delay_s * 1e3:g} ms cannot be met: the hops need "
            f"{sum(least_delay) * 1e3:.4g} ms without a retransmission; "
            f"hop {worst} needs most, {least_delay[worst] * 1e3:.4g} ms"
        )
    least_loss = [float(table.loss.min()) for table in tables]
    if sum(least_loss) > log_loss * (1 + _SLACK):
        worst = int(np.argmax(least_loss))
        raise InfeasibleError(
            f"the loss bound {loss:g} cannot be met: with every retransmission allowed the path loses "
            f"{-math.expm1(-sum(least_loss)):.3g}; "
            f"hop {worst} loses most, {-math.expm1(-least_loss[worst]):.3g}"
        )


def _infeasible(tables: Sequence[_Hop], loss: float, delay_s: float) -> InfeasibleError:
    """Say how much delay the loss bound would take."""
    log_loss = -math.log1p(-loss)
    without_cost = [_Hop(t.loss, t.delay, t.delay, t.index) for t in tables]
    enough = sum(float(table.delay.max()) for table in tables)
    found = _search(without_cost, log_loss, enough, (0.0, 0.0), math.inf, _MAX_LABELS)
    if found is None:
        return InfeasibleError(f"no choice meets the loss bound {loss:g} and the delay bound {delay_s:g} s")
    delays = [float(table.delay[pick]) for table, pick in zip(tables, found[1], strict=True)]
    worst = int(np.argmax(delays))
    return InfeasibleError(
        f"the loss bound {loss:g} takes at least {found[0] * 1e3:.4g} ms of delay, "
        f"{found[0] / delay_s:.2f} times the bound of {delay_s * 1e3:g} ms; "
        f"hop {worst} takes most, {delays[worst] * 1e3:.4g} ms"
    )
