"""Hybrid ARQ in the choice of the mode: what retransmissions add up to, and when to count on them.

A block keeps its mode until it arrives or the last attempt has failed. What the receiver does with the
attempts that failed:

- `type-1`: nothing; each attempt is decoded alone.
- `chase`: the same bits again, combined: the SNRs add up (Chase, IEEE Trans. Communications 33(5), 1985).
- `incremental`: new parity bits, the mutual information adds up (Hagenauer, IEEE Trans. Communications
  36(4), 1988; Caire and Tuninetti, IEEE Trans. Information Theory 47(5), 2001), counted as that of Gaussian
  symbols: ``1 + snr = product of (1 + snr_j)``.

The error rate after some attempts is that of the mode at the combined SNR. Throughput is the reward of a
renewal process: bits decoded over the time of the attempts and of silence.

Between attempts the channel moves as its Doppler shift says: the later attempts' gains are drawn from
Clarke's model given the first one's power. The loss is never taken as less than on a channel that stays as it
is, so that a bound below what the draws resolve (about 1e-4) is kept too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qos.crosslayer.channel.doppler import autocorrelation
from qos.crosslayer.channel.fading import NakagamiFading
from qos.crosslayer.guards import check_count, check_not_negative, check_probability
from qos.errors import InfeasibleError, ValueRefusedError

Floats = NDArray[np.float64]
Combining = Literal["type-1", "chase", "incremental"]
COMBININGS: tuple[Combining, ...] = get_args(Combining)

MAX_RETRANSMISSIONS = 15
_NODES = 400
"""SNRs of the first attempt, equally likely."""
_DRAWS = 48
"""Draws of the later attempts for each of them."""
INDEPENDENT_DOPPLER = 0.5
"""From this Doppler shift times the time between attempts on, attempts are taken as independent."""
_STAYS = 0.5
"""Power correlation of neighbouring attempts above which time, not blocks, is shared evenly by the SNRs."""
_STEPS = 40
_OUT_OF_REACH = 1e-12
_MOST_PARTS = 64
_WORTHWHILE = 1e-3
"""A further retransmission must carry this much more to be allowed."""


class ErrorCurves(Protocol):
    """Modes as this module reads them; `qos.crosslayer.modes.ModeTable` is one, `BlockCurves` another."""

    @property
    def rates(self) -> Floats:
        """Information bits a symbol of each mode, shape ``(modes,)``, not falling."""

    def error_rate(self, mode: ArrayLike, snr: ArrayLike) -> Floats:
        """Error rate of modes (index) at SNRs (power ratios), element by element."""


@dataclass(frozen=True, eq=False)
class BlockCurves:
    """Modes of a table of block error rates over the SNR in dB (5G NR, see `nr_block_error`).

    Attributes
    ----------
    rates
        Information bits a symbol, shape ``(modes,)``.
    numbers
        Number of each mode in the table it came from.
    at_db
        Block error rate of modes (numbers of the table) at SNRs in dB.
    """

    rates: Floats
    numbers: NDArray[np.int64]
    at_db: Callable[[NDArray[np.int64], Floats], Floats]

    def error_rate(self, mode: ArrayLike, snr: ArrayLike) -> Floats:
        """Error rate of modes (place in `rates`) at SNRs (power ratios)."""
        decibels = 10 * np.log10(np.maximum(np.asarray(snr, dtype=float), 1e-30))
        return self.at_db(self.numbers[np.asarray(mode)], decibels)


def block_curves(
    tb_size_bits: NDArray[np.int64],
    num_re: int,
    usable: NDArray[np.bool_],
    at_db: Callable[[NDArray[np.int64], Floats], Floats],
) -> BlockCurves:
    """Order the usable modes of a block table by rate; of equal rates the first is kept.

    Examples
    --------
    >>> from qos.crosslayer.nr_block_error import nr_mode_table
    >>> nr = nr_mode_table()
    >>> len(block_curves(nr.tb_size_bits, nr.num_re, nr.usable, nr.error_rate).rates)
    28
    """
    numbers = np.flatnonzero(usable)
    rates, first = np.unique(tb_size_bits[numbers] / num_re, return_index=True)
    return BlockCurves(rates, numbers[first], at_db)


def combined_snr(snr: Floats, combining: Combining) -> Floats:
    """SNR that the receiver decodes with after each attempt, power ratios, attempts along the last axis.

    For `type-1` it is that of the attempt itself.

    Examples
    --------
    >>> attempts = np.array([1.0, 3.0])
    >>> [combined_snr(attempts, kind)[-1].round(9).item() for kind in ("type-1", "chase", "incremental")]
    [3.0, 4.0, 7.0]
    """
    check_combining(combining)
    if combining == "type-1":
        return np.asarray(snr, dtype=float)
    if combining == "chase":
        return np.cumsum(snr, axis=-1)
    return np.asarray(np.expm1(np.cumsum(np.log1p(snr), axis=-1)))


def check_combining(combining: str) -> None:
    """Refuse the name of a combining that does not exist.

    Raises
    ------
    ValueRefusedError
        With the names that do.
    """
    if combining not in COMBININGS:
        raise ValueRefusedError(f"HARQ {combining!r} is unknown; use one of {', '.join(COMBININGS)}")


def failure(curves: ErrorCurves, mode: int, snr: Floats, combining: Combining) -> Floats:
    """Probability that a block has not arrived after each attempt; never rises along the last axis.

    Parameters
    ----------
    curves, mode
        The mode (index) that all attempts use.
    snr
        SNR of each attempt, power ratios, shape ``(..., attempts)``.
    combining
        What the receiver does with failed attempts.
    """
    return failure_of_modes(curves.error_rate(np.int64(mode), combined_snr(snr, combining)), combining)


@dataclass(frozen=True, eq=False)
class HarqPerformance:
    """What thresholds achieve with retransmissions of one mode.

    Attributes
    ----------
    combining
        What the receiver does with failed attempts.
    doppler_attempt
        Maximum Doppler shift times the time between attempts.
    thresholds
        SNR (power ratio) from which each mode is used.
    mode_probability
        Share of the first attempts' SNR that each mode is used at.
    mode_attempts
        Mean attempts of a block of each mode, 1 for a mode that is never used.
    mode_failure
        Share of the blocks of each mode that never arrive.
    spectral_efficiency
        Bits that arrive over all symbols, those of silence included.
    loss
        Share of the bits sent in blocks that never arrive.
    """

    combining: Combining
    doppler_attempt: float
    thresholds: Floats
    mode_probability: Floats
    mode_attempts: Floats
    mode_failure: Floats
    spectral_efficiency: float
    loss: float

    @property
    def thresholds_db(self) -> Floats:
        """Thresholds in dB."""
        return np.asarray(10 * np.log10(self.thresholds))


@dataclass(frozen=True, eq=False)
class _Outlook:
    """What each mode would meet from each SNR of the first attempt; shapes ``(modes + 1, nodes)``.

    The last row is silence: nothing sent, one attempt's time gone.
    """

    snr: Floats
    bits: Floats
    lost_bits: Floats
    attempts: Floats
    stays: bool

    @property
    def weight(self) -> Floats:
        """Weight of a block: each SNR has its share of time where the channel stays, else of blocks."""
        return 1 / self.attempts if self.stays else np.ones_like(self.attempts)


@dataclass(frozen=True, eq=False)
class HarqLink:
    """Modes on a fading link with one combining, up to a number of retransmissions.

    Parameters
    ----------
    curves
        Modes.
    fading
        Distribution of the SNR.
    combining
        What the receiver does with failed attempts.
    doppler_attempt
        Maximum Doppler shift times the time between attempts, at least 0. 0: the channel stays as it is;
        0.5 and more: attempts are independent.
    most_retransmissions
        Largest number of retransmissions looked at, 0 to 15.

    Raises
    ------
    ValueRefusedError
        If a figure is out of range or the combining is unknown.
    """

    curves: ErrorCurves
    fading: NakagamiFading
    combining: Combining
    doppler_attempt: float
    most_retransmissions: int

    def __post_init__(self) -> None:
        check_combining(self.combining)
        check_not_negative("Doppler per attempt", self.doppler_attempt)
        if check_count("retransmissions", self.most_retransmissions) > MAX_RETRANSMISSIONS:
            raise ValueRefusedError(
                f"retransmissions must be at most {MAX_RETRANSMISSIONS} with HARQ, "
                f"not {self.most_retransmissions}"
            )

    @cached_property
    def first_snr(self) -> Floats:
        """SNRs of the first attempt, equally likely, rising."""
        return self.fading.quantile((np.arange(_NODES) + 0.5) / _NODES)

    @cached_property
    def _left(self) -> tuple[Floats, Floats]:
        """Share of blocks not decoded after each attempt, and the same on a channel that stays.

        Both of shape ``(modes, nodes, attempts)``.
        """
        attempts = self.most_retransmissions + 1
        rng = np.random.default_rng(1)
        snr = later_snrs(self.fading, self.first_snr, self.doppler_attempt, attempts, _DRAWS, rng)
        still = np.broadcast_to(self.first_snr[:, None], (_NODES, attempts))
        modes = range(len(self.curves.rates))
        moving = [failure(self.curves, mode, snr, self.combining).mean(axis=1) for mode in modes]
        return np.array(moving), np.array([failure(self.curves, n, still, self.combining) for n in modes])

    def outlook(self, retransmissions: int) -> _Outlook:
        """Tell what each mode meets with a retransmission limit."""
        if check_count("retransmissions", retransmissions) > self.most_retransmissions:
            raise ValueRefusedError(
                f"retransmissions must be at most {self.most_retransmissions} here, not {retransmissions}"
            )
        moving, still = (each[:, :, : retransmissions + 1] for each in self._left)
        lost = moving[:, :, -1]
        if self.doppler_attempt < INDEPENDENT_DOPPLER:
            lost = np.maximum(lost, still[:, :, -1])
        rates = self.curves.rates[:, None]
        silence = np.zeros((1, _NODES))
        return _Outlook(
            self.first_snr,
            np.concatenate([rates * (1 - moving[:, :, -1]), silence]),
            np.concatenate([rates * lost, silence]),
            np.concatenate([1 + moving[:, :, :-1].sum(axis=2), silence + 1]),
            float(autocorrelation(min(self.doppler_attempt, INDEPENDENT_DOPPLER), 1) ** 2) > _STAYS,
        )


def later_snrs(
    fading: NakagamiFading,
    first: Floats,
    doppler_attempt: float,
    attempts: int,
    draws: int,
    rng: np.random.Generator,
) -> Floats:
    """Draw the SNR of every attempt given that of the first, power ratios.

    The power is that of ``2 m`` real Gaussian processes with Clarke's autocorrelation (2 m is rounded where
    it is not whole). What follows depends on the first power only, so all of that lies in one of them.

    Parameters
    ----------
    fading, doppler_attempt
        Distribution, and Doppler shift times the time between attempts (0: the first SNR stays).
    first
        SNR of the first attempt, shape ``(nodes,)``.
    attempts, draws
        Attempts, the first included, and draws for each node.
    rng
        Source of randomness.

    Returns
    -------
    numpy.ndarray
        Shape ``(nodes, draws, attempts)``.
    """
    shape = (len(first), draws, attempts)
    if doppler_attempt == 0 or attempts == 1:
        return np.broadcast_to(first[:, None, None], shape)
    if doppler_attempt >= INDEPENDENT_DOPPLER:
        snr = fading.sample(rng, shape)
        snr[:, :, 0] = first[:, None]
        return snr
    halves = min(max(round(2 * fading.m), 1), _MOST_PARTS)
    lags = np.arange(attempts)
    covariance = autocorrelation(doppler_attempt, np.abs(lags[:, None] - lags))
    # What is left of the later attempts when the first is known; a touch of white keeps it well posed.
    left = covariance[1:, 1:] - np.outer(covariance[1:, 0], covariance[0, 1:]) + 1e-9 * np.eye(attempts - 1)
    factor = np.linalg.cholesky(left)
    snr = np.empty(shape)
    snr[:, :, 0] = first[:, None]
    scale = fading.mean_snr / halves
    amplitude = np.sqrt(first / scale)[:, None, None] * covariance[0, 1:]
    later = np.zeros((len(first), draws, attempts - 1))
    for part in range(halves):
        gain = rng.standard_normal((len(first), draws, attempts - 1)) @ factor.T
        later += (gain + amplitude) ** 2 if part == 0 else gain**2
    snr[:, :, 1:] = scale * later
    return snr


def evaluate_harq(link: HarqLink, thresholds: Floats, retransmissions: int) -> HarqPerformance:
    """Evaluate thresholds on the SNR of the first attempt.

    Parameters
    ----------
    link
        Modes, fading and combining.
    thresholds
        SNR (power ratio) from which each mode is used, not falling, shape ``(modes,)``.
    retransmissions
        Largest number of retransmissions of a block.

    Raises
    ------
    ValueRefusedError
        If the thresholds do not fit, or the number is out of range.
    """
    levels = np.asarray(thresholds, dtype=float)
    modes = len(link.curves.rates)
    if levels.shape != (modes,) or not (levels > 0).all() or (levels[1:] < levels[:-1]).any():
        raise ValueRefusedError(f"thresholds must be {modes} SNRs above 0 that do not fall")
    outlook = link.outlook(retransmissions)
    choice = np.searchsorted(levels, outlook.snr, side="right") - 1
    return _performance(link, outlook, choice, levels)


def _performance(
    link: HarqLink, outlook: _Outlook, choice: NDArray[np.int64], levels: Floats
) -> HarqPerformance:
    at = np.arange(len(outlook.snr))
    weight = outlook.weight[choice, at]
    arrived, lost = (each[choice, at] for each in (outlook.bits, outlook.lost_bits))
    sent = np.append(link.curves.rates, 0.0)[choice]
    modes = len(levels)
    used = np.bincount(choice % (modes + 1), minlength=modes + 1)[:modes]

    def by_mode(values: Floats) -> Floats:
        return np.bincount(choice % (modes + 1), values, minlength=modes + 1)[:modes] / np.maximum(used, 1)

    share = np.divide(lost, sent, out=np.zeros_like(sent), where=sent > 0)
    # Blocks and time are shared alike where the channel moves; between, the worse of the two is told.
    losses = [
        float(each @ lost / (each @ sent)) for each in (weight, np.ones_like(weight)) if each @ sent > 0
    ]
    return HarqPerformance(
        combining=link.combining,
        doppler_attempt=link.doppler_attempt,
        thresholds=levels,
        mode_probability=used / len(choice),
        mode_attempts=np.where(used > 0, by_mode(outlook.attempts[choice, at]), 1.0),
        mode_failure=by_mode(share),
        spectral_efficiency=float(weight @ arrived / (weight @ outlook.attempts[choice, at])),
        loss=max(losses, default=1.0),
    )


def design_harq(link: HarqLink, loss: float, retransmissions: int) -> HarqPerformance:
    """Choose the mode of the first attempt by its SNR so that most bits arrive within a loss bound.

    The modes with the largest sum of ``bits - price x lost bits - worth of time x attempts`` are taken; the
    worth of time is the throughput itself (Dinkelbach, Management Science 13(7), 1967), the price the least
    that keeps the loss. Where the channel stays each SNR has its share of the time whatever is done, and
    counts by itself.

    Parameters
    ----------
    link
        Modes, fading and combining.
    loss
        Bound on the share of the bits that never arrive, more than 0 and less than 1.
    retransmissions
        Largest number of retransmissions of a block.

    Raises
    ------
    ValueRefusedError
        If a figure is out of range.
    InfeasibleError
        If no mode meets the bound at any SNR of the link.

    Examples
    --------
    >>> from qos.crosslayer.modes import HIPERLAN2
    >>> for kind in COMBININGS:
    ...     link = HarqLink(HIPERLAN2, NakagamiFading(10.0), kind, 0.5, most_retransmissions=2)
    ...     print(f"{kind}: {design_harq(link, 0.01, 2).spectral_efficiency:.1f} bit/symbol")
    type-1: 1.6 bit/symbol
    chase: 1.7 bit/symbol
    incremental: 1.7 bit/symbol
    """
    check_probability("loss", loss)
    outlook = link.outlook(retransmissions)
    low, high = 0.0, np.log(1e9 / loss)
    best: HarqPerformance | None = None
    for step in range(_STEPS):
        # The first price is none at all: where the bound does not bind nothing is paid for it.
        price = 0.0 if step == 0 else float(np.expm1((low + high) / 2))
        choice = _choose(outlook, price)
        found = _performance(link, outlook, choice, _levels(outlook, choice, link.fading))
        keeps = found.loss <= loss
        if keeps and (best is None or found.spectral_efficiency > best.spectral_efficiency):
            best = found
        if step == 0 and keeps:
            break
        if step > 0:
            low, high = (low, (low + high) / 2) if keeps else ((low + high) / 2, high)
    if best is None or best.spectral_efficiency <= 0:
        raise InfeasibleError(
            f"no mode keeps a loss of {loss:g} with {retransmissions} retransmissions at a mean SNR of "
            f"{link.fading.mean_snr_db:g} dB; allow more of either"
        )
    return best


def _choose(outlook: _Outlook, price: float) -> NDArray[np.int64]:
    """Best mode (-1: silence) at each SNR for a price of lost bits, not falling with the SNR."""
    worth = outlook.bits - price * outlook.lost_bits
    if outlook.stays:
        return _best_rising(worth / outlook.attempts)
    throughput = 0.0
    at = np.arange(worth.shape[1])
    for _ in range(_STEPS):
        choice = _best_rising(worth - throughput * outlook.attempts)
        reached = float(worth[choice, at].sum() / outlook.attempts[choice, at].sum())
        if reached <= throughput * (1 + 1e-9) + 1e-15:
            break
        throughput = reached
    return choice


def _best_rising(worth: Floats) -> NDArray[np.int64]:
    """Choose a row at each column with the largest sum of `worth`, silence (the last row) first.

    The choice never falls. A slow mode with one attempt and a fast one with several compete, so that the
    best mode of each SNR by itself may fall with the SNR; thresholds cannot. Exact: with the rows up to n
    the best of the first i columns is ``S_n(i) + max over j <= i of (best with fewer rows(j) - S_n(j))``,
    S_n the running sum.
    """
    rows, columns = worth.shape
    sums = np.concatenate([np.zeros((rows, 1)), np.cumsum(worth, axis=1)], axis=1)
    best = sums[-1]
    starts = np.empty((rows - 1, columns + 1), dtype=np.int64)
    for row in range(rows - 1):
        before = best - sums[row]
        most = np.maximum.accumulate(before)
        starts[row] = np.maximum.accumulate(np.where(before >= most, np.arange(columns + 1), 0))
        best = sums[row] + most
    choice = np.full(columns, -1, dtype=np.int64)
    end = columns
    for row in range(rows - 2, -1, -1):
        choice[starts[row, end] : end] = row
        end = starts[row, end]
    return choice


def _levels(outlook: _Outlook, choice: NDArray[np.int64], fading: NakagamiFading) -> Floats:
    """SNR from which each mode is used: that of the next if it never is, out of reach past the last."""
    modes = len(outlook.bits) - 1
    first = np.searchsorted(choice, np.arange(modes), side="left")
    middle = np.concatenate([[outlook.snr[0] / 2], (outlook.snr[1:] + outlook.snr[:-1]) / 2])
    never = float(fading.quantile(1 - _OUT_OF_REACH))
    return np.asarray(np.where(first == len(choice), never, middle[np.minimum(first, len(choice) - 1)]))


def best_retransmissions(link: HarqLink, loss: float, allowed: Sequence[int]) -> tuple[int, HarqPerformance]:
    """Choose the retransmission limit with the largest spectral efficiency; the least among equals.

    Raises
    ------
    InfeasibleError
        If none of the limits keeps the loss.
    """
    best: tuple[int, HarqPerformance] | None = None
    failed: InfeasibleError | None = None
    for limit in allowed:
        try:
            found = design_harq(link, loss, limit)
        except InfeasibleError as error:
            failed = error
            continue
        if best is None or found.spectral_efficiency > best[1].spectral_efficiency * (1 + _WORTHWHILE):
            best = (limit, found)
    if best is None:
        raise failed or ValueRefusedError("give at least one retransmission limit to choose from")
    return best


def simulate_harq(
    link: HarqLink,
    performance: HarqPerformance,
    retransmissions: int,
    *,
    blocks: int = 200_000,
    seed: int = 1,
) -> tuple[float, float]:
    """Send blocks with draws of channel and errors of their own: the judge of the quadrature.

    A block is decoded at the first attempt whose combined error rate lies below the block's one draw (for
    `type-1`: below a new draw each time).

    Returns
    -------
    tuple of float
        Spectral efficiency, and loss with each block counted once.
    """
    rng = np.random.default_rng(seed)
    attempts = check_count("retransmissions", retransmissions) + 1
    first = link.fading.sample(rng, blocks)
    snr = later_snrs(link.fading, first, link.doppler_attempt, attempts, 1, rng)[:, 0]
    mode = np.searchsorted(performance.thresholds, first, side="right") - 1
    silent = mode < 0
    modes = np.maximum(mode, 0)[:, None].repeat(attempts, 1)
    alone = link.curves.error_rate(modes, combined_snr(snr, link.combining))
    draw = rng.random((blocks, attempts if link.combining == "type-1" else 1))
    decoded = draw >= alone
    arrives = decoded.any(axis=1) & ~silent
    used = np.where(arrives, decoded.argmax(axis=1) + 1, np.where(silent, 1, attempts))
    rate = np.where(silent, 0.0, link.curves.rates[np.maximum(mode, 0)])
    loss = 1 - float((rate * arrives).sum() / rate.sum()) if rate.any() else 1.0
    if link.outlook(retransmissions).stays:
        # Each SNR has its share of the time: a block counts the less, the longer blocks of its SNR take.
        left = failure_of_modes(alone, link.combining)
        mean = np.where(silent, 1.0, 1 + left[:, :-1].sum(axis=1))
        return float((rate * arrives / mean).mean()), loss
    return float((rate * arrives).sum() / used.sum()), loss


def failure_of_modes(alone: Floats, combining: Combining) -> Floats:
    """Probability that a block is still not decoded, from the error rates at the combined SNRs."""
    left = np.cumprod(alone, axis=-1) if combining == "type-1" else np.minimum.accumulate(alone, axis=-1)
    return np.asarray(left, dtype=np.float64)
