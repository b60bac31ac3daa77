"""Three designs of the mode thresholds for a bound on the packet loss.

- `paper`: the error rate of each mode at its threshold is ``loss^(1/(N+1))`` (Liu, Zhou, Giannakis 2004).
  Safe, but loose: the achieved loss is far below the bound.
- `calibrated`: one error rate for all thresholds, chosen so that the spectral efficiency is largest while the
  *achieved* loss meets the bound; never below `paper`.
- `lagrangian`: at each SNR the mode with the largest ``rate (1 - price PER)``. These thresholds are the
  Pareto front of mean rate against mean errors; the price is chosen like the error rate above.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from qos.crosslayer.amc_arq import AmcPerformance, evaluate
from qos.crosslayer.channel.fading import NakagamiFading
from qos.crosslayer.guards import check_count, check_probability
from qos.crosslayer.modes import ModeTable
from qos.errors import ValueRefusedError

Floats = NDArray[np.float64]
DesignName = Literal["paper", "calibrated", "lagrangian"]

_ROUNDS = 5
_POINTS = 25
_BISECTIONS = 34


def paper(table: ModeTable, fading: NakagamiFading, loss: float, retransmissions: int) -> AmcPerformance:
    """Design as published: every threshold at the error rate ``loss^(1/(N+1))``."""
    target = _attempt_target(loss, retransmissions)
    return evaluate(table, fading, thresholds_at(table, target), retransmissions)


def calibrated(table: ModeTable, fading: NakagamiFading, loss: float, retransmissions: int) -> AmcPerformance:
    """Design with the best common error rate whose achieved loss meets the bound."""
    target = _attempt_target(loss, retransmissions)

    def at(log_errors: Floats) -> list[AmcPerformance]:
        levels = [thresholds_at(table, error) for error in np.exp(log_errors)]
        return [evaluate(table, fading, level, retransmissions) for level in levels]

    return _best(at, np.log(target), 0.0, loss)


def lagrangian(table: ModeTable, fading: NakagamiFading, loss: float, retransmissions: int) -> AmcPerformance:
    """Design with the best price of an error whose achieved loss meets the bound."""
    target = _attempt_target(loss, retransmissions)

    def at(log_prices: Floats) -> list[AmcPerformance]:
        levels = thresholds_at_prices(table, np.exp(log_prices))
        return [evaluate(table, fading, level, retransmissions) for level in levels]

    # An error rate e at every threshold keeps the loss; so does a price above the largest 1 / e there.
    found = _best(at, 0.0, np.log(1e4 / target), loss)
    plain = calibrated(table, fading, loss, retransmissions)
    # Each search is on a grid of finite fineness; what the simpler family finds is never given away.
    return max(found, plain, key=lambda each: each.spectral_efficiency)


DESIGNS: dict[str, Callable[[ModeTable, NakagamiFading, float, int], AmcPerformance]] = {
    "paper": paper,
    "calibrated": calibrated,
    "lagrangian": lagrangian,
}


def design(
    name: str, table: ModeTable, fading: NakagamiFading, loss: float, retransmissions: int
) -> AmcPerformance:
    """Run a design by its name.

    Parameters
    ----------
    name
        One of `DESIGNS`.
    table, fading
        Modes and the distribution of the SNR.
    loss
        Bound on the loss after all retransmissions, more than 0 and less than 1.
    retransmissions
        Largest number of retransmissions, at least 0.

    Raises
    ------
    ValueRefusedError
        If the name is unknown or a figure out of range.

    Examples
    --------
    >>> from qos.crosslayer.modes import HIPERLAN2
    >>> found = design("paper", HIPERLAN2, NakagamiFading(15.0), 0.01, 1)
    >>> round(found.spectral_efficiency, 4)
    2.549
    """
    if name not in DESIGNS:
        raise ValueRefusedError(f"threshold design {name!r} is unknown; use one of {', '.join(DESIGNS)}")
    return DESIGNS[name](table, fading, loss, retransmissions)


def thresholds_at(table: ModeTable, error_rate: float) -> Floats:
    """Thresholds (power ratios) at which each mode has an error rate; raised where they would fall."""
    return np.asarray(np.maximum.accumulate(table.snr_for(error_rate)))


def thresholds_at_prices(table: ModeTable, prices: Floats) -> Floats:
    """Thresholds of the choice of ``argmax rate (1 - price PER)``, silence counting zero.

    Parameters
    ----------
    table
        Modes.
    prices
        What a failed bit costs, in bits, at least 1 (1: only what arrives counts), shape (prices,).

    Returns
    -------
    numpy.ndarray
        SNR from which each mode is the best, shape (prices, modes); a mode that never is gets the threshold
        of the next.
    """
    lower, upper = np.triu_indices(len(table.modes), 1)
    slow, fast = table.rates[lower], table.rates[upper]
    price = np.asarray(prices, dtype=float)[:, None]
    # At its cut-off the faster mode is worth nothing, far above it more than the slower: one change of sign.
    low = np.broadcast_to(np.log(table.cutoffs[upper]), (len(price), len(upper)))
    high = low + np.log(50 + 2 * np.log(price))
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        snr = np.exp(middle)
        worth = slow * (1 - price * table.error_rate(lower, snr))
        better = fast * (1 - price * table.error_rate(upper, snr)) > np.maximum(worth, 0.0)
        low, high = np.where(better, low, middle), np.where(better, middle, high)
    levels = np.log(table.a * price) / table.g
    crossing = np.exp(high)
    for pair, mode in enumerate(upper):
        levels[:, mode] = np.maximum(levels[:, mode], crossing[:, pair])
    return np.asarray(np.minimum.accumulate(levels[:, ::-1], axis=1)[:, ::-1])


def _attempt_target(loss: float, retransmissions: int) -> float:
    check_probability("loss", loss)
    return float(loss ** (1 / (check_count("retransmissions", retransmissions) + 1)))


def _best(
    at: Callable[[Floats], list[AmcPerformance]], low: float, high: float, loss: float
) -> AmcPerformance:
    """Find the most efficient design within the loss: a grid, refined around its best point."""
    best: AmcPerformance | None = None
    for _ in range(_ROUNDS):
        points = np.linspace(low, high, _POINTS)
        tried = at(points)
        worth = [each.spectral_efficiency if each.loss <= loss else -1.0 for each in tried]
        index = int(np.argmax(worth))
        if worth[index] >= 0 and (best is None or worth[index] > best.spectral_efficiency):
            best = tried[index]
        # The optimum may lie between the best point and the first one beyond the loss bound.
        low, high = float(points[max(index - 1, 0)]), float(points[min(index + 1, _POINTS - 1)])
    if best is None:
        raise ValueRefusedError("no thresholds of this family meet the loss bound")
    return best
