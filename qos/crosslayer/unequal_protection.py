"""Where a budget of air time protects best: retry limits and packet FEC of classes that matter unequally.

Retries: least importance-weighted loss for an air time (the problem of Li and van der Schaar, IEEE
Transactions on Multimedia 6(2), 2004). FEC: the residual loss of an ideal erasure code over independent
packet losses.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from qos.crosslayer.amc_arq import mean_transmissions
from qos.crosslayer.guards import check_count, check_not_negative, check_positive
from qos.errors import InfeasibleError, ValueRefusedError

MAX_RETRIES = 32


@dataclass(frozen=True)
class PacketClass:
    """One class of packets on a link.

    Attributes
    ----------
    importance
        What a lost packet costs, at least 0.
    packets_per_s
        Packets a second, more than 0.
    attempt_s
        Air time of one attempt in seconds, more than 0.
    error_rate
        Error rate of an attempt, at least 0 and less than 1.
    max_retries
        What the packets' deadline leaves.
    """

    importance: float
    packets_per_s: float
    attempt_s: float
    error_rate: float
    max_retries: int = 7

    def __post_init__(self) -> None:
        check_not_negative("importance", self.importance)
        check_positive("packets a second", self.packets_per_s)
        check_positive("attempt time", self.attempt_s)
        if not 0 <= check_not_negative("error rate", self.error_rate) < 1:
            raise ValueRefusedError(f"error rate must be less than 1, not {self.error_rate!r}")
        if check_count("retries", self.max_retries) > MAX_RETRIES:
            raise ValueRefusedError(f"retries must be at most {MAX_RETRIES}, not {self.max_retries}")

    def air_time(self, retries: int) -> float:
        """Share of the time that the class holds the channel."""
        return self.packets_per_s * self.attempt_s * mean_transmissions(self.error_rate, retries)

    def weighted_loss(self, retries: int) -> float:
        """Weigh what is lost a second by its importance."""
        return float(self.importance * self.packets_per_s * self.error_rate ** (retries + 1))


def protect(classes: Sequence[PacketClass], air_time: float) -> tuple[int, ...]:
    """Choose the retry limit of each class: least weighted loss within an air time, exactly.

    Partial choices are extended class by class; those that another one equals or beats in both air time and
    loss are left out.

    Raises
    ------
    InfeasibleError
        If the classes do not fit even without a retry; says by how much.
    """
    return _best_within(
        [
            [(each.air_time(limit), each.weighted_loss(limit)) for limit in range(each.max_retries + 1)]
            for each in classes
        ],
        air_time,
        "a retry",
    )


def _best_within(
    choices: Sequence[Sequence[tuple[float, float]]], air_time: float, least: str
) -> tuple[int, ...]:
    """Choose one (air time, loss) of each row with the least loss in all within an air time."""
    bound = check_positive("air time", air_time) * (1 + 1e-12)
    floor = [row[0][0] for row in choices]
    if sum(floor) > bound:
        raise InfeasibleError(
            f"the classes need {sum(floor):.3g} of the time without {least}, "
            f"{sum(floor) - air_time:.3g} more than given"
        )
    labels: list[tuple[float, float, tuple[int, ...]]] = [(0.0, 0.0, ())]
    for index, row in enumerate(choices):
        rest = sum(floor[index + 1 :])
        longer = sorted(
            (used + more, lost + left, (*picks, pick))
            for used, lost, picks in labels
            for pick, (more, left) in enumerate(row)
            if used + more + rest <= bound
        )
        labels = []
        for label in longer:
            if not labels or label[1] < labels[-1][1]:
                labels.append(label)
    return labels[-1][2]


@dataclass(frozen=True)
class CodedClass:
    """One class of packets, say a layer of a video, that parity packets protect.

    Attributes
    ----------
    importance
        What a lost packet costs, at least 0.
    blocks_per_s
        Blocks of packets a second, more than 0.
    source_packets
        Packets of a block that carry data, at least 1.
    packet_s
        Air time of a packet in seconds, more than 0.
    loss
        Loss of a packet on the air, independent, at least 0 and less than 1.
    max_parity
        Most parity packets of a block.
    """

    importance: float
    blocks_per_s: float
    source_packets: int
    packet_s: float
    loss: float
    max_parity: int = 16

    def __post_init__(self) -> None:
        check_not_negative("importance", self.importance)
        check_positive("blocks a second", self.blocks_per_s)
        check_count("source packets", self.source_packets, 1)
        check_positive("packet time", self.packet_s)
        if not 0 <= check_not_negative("loss", self.loss) < 1:
            raise ValueRefusedError(f"loss must be less than 1, not {self.loss!r}")
        check_count("parity packets", self.max_parity)

    def air_time(self, parity: int) -> float:
        """Share of the time that the class holds the channel."""
        return self.blocks_per_s * (self.source_packets + parity) * self.packet_s

    def weighted_loss(self, parity: int) -> float:
        """Weigh the data packets that are lost a second by their importance."""
        lost = residual_loss(self.source_packets + parity, self.source_packets, self.loss)
        return self.importance * self.blocks_per_s * self.source_packets * lost


def protect_with_parity(classes: Sequence[CodedClass], air_time: float) -> tuple[int, ...]:
    """Choose the parity packets of each class: least weighted loss within one air time, exactly.

    Raises
    ------
    InfeasibleError
        If the classes do not fit even without parity; says by how much.

    Examples
    --------
    >>> base = CodedClass(importance=9, blocks_per_s=10, source_packets=4, packet_s=1e-3, loss=0.1)
    >>> detail = CodedClass(importance=1, blocks_per_s=10, source_packets=8, packet_s=1e-3, loss=0.1)
    >>> protect_with_parity([base, detail], air_time=0.15)
    (2, 1)
    """
    return _best_within(
        [
            [(each.air_time(parity), each.weighted_loss(parity)) for parity in range(each.max_parity + 1)]
            for each in classes
        ],
        air_time,
        "parity",
    )


def residual_loss(packets: int, source_packets: int, loss: float) -> float:
    """Packet loss that remains behind an ideal ``(n, k)`` erasure code.

    ``sum over j > n - k of C(n, j) p^j (1 - p)^(n - j) j / n``.

    Parameters
    ----------
    packets, source_packets
        Packets of a block, and those among them that carry data.
    loss
        Loss of a packet, independent, 0 to 1.

    Examples
    --------
    >>> residual_loss(1, 1, 0.1), round(residual_loss(2, 1, 0.1), 12)
    (0.1, 0.01)
    """
    check_count("packets", packets, 1)
    if not 1 <= check_count("source packets", source_packets) <= packets:
        raise ValueRefusedError(f"source packets must be from 1 to {packets}, not {source_packets!r}")
    if not 0 <= check_not_negative("loss", loss) <= 1:
        raise ValueRefusedError(f"loss must be at most 1, not {loss!r}")
    return sum(
        math.comb(packets, lost) * loss**lost * (1 - loss) ** (packets - lost) * lost / packets
        for lost in range(packets - source_packets + 1, packets + 1)
    )


def parity_for(source_packets: int, loss: float, wanted: float, max_parity: int = 64) -> int:
    """Least number of parity packets that brings the residual loss to at most `wanted`.

    Raises
    ------
    InfeasibleError
        If even `max_parity` does not.
    """
    for parity in range(max_parity + 1):
        if residual_loss(source_packets + parity, source_packets, loss) <= wanted:
            return parity
    left = residual_loss(source_packets + max_parity, source_packets, loss)
    raise InfeasibleError(
        f"{max_parity} parity packets leave a loss of {left:.2g}, more than {wanted:g}; use shorter blocks"
    )
