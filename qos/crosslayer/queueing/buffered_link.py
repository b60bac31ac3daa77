"""The problem that every model of this family solves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qos.crosslayer.amc_arq import AmcPerformance, evaluate
from qos.crosslayer.channel.fading import NakagamiFading
from qos.crosslayer.guards import check_count, check_positive
from qos.crosslayer.modes import HIPERLAN2, ModeTable
from qos.crosslayer.threshold_design import thresholds_at

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

FIVE_MODES = HIPERLAN2.subset(1, 2, 3, 5, 6)
"""The modes of Liu, Zhou, Giannakis 2005: packets a frame come out whole."""


@dataclass(frozen=True)
class BufferedLink:
    """A link with a buffer, fed by Poisson packets.

    Attributes
    ----------
    fading
        Distribution of the SNR.
    doppler_slot
        Maximum Doppler shift times the frame.
    arrivals
        Mean number of packets that arrive in a frame.
    buffer_packets
        Room of the buffer.
    packets_per_bit
        Packets a frame in a mode of one bit a symbol.
    table
        Modes; packets a frame of each are rounded down.
    """

    fading: NakagamiFading
    doppler_slot: float
    arrivals: float = 2.0
    buffer_packets: int = 50
    packets_per_bit: float = 2.0
    table: ModeTable = FIVE_MODES

    def __post_init__(self) -> None:
        check_positive("Doppler per slot", self.doppler_slot)
        check_positive("arrivals", self.arrivals)
        check_count("buffer", self.buffer_packets, 1)
        check_positive("packets per bit", self.packets_per_bit)

    @property
    def service(self) -> Whole:
        """Packets a frame by region of the SNR, silence first."""
        packets = np.floor(self.packets_per_bit * self.table.rates + 1e-9).astype(np.int64)
        return np.concatenate([[0], packets])

    def thresholds(self, target: float) -> Floats:
        """Thresholds at which every mode has the target error rate."""
        return thresholds_at(self.table, target)

    def radio(self, target: float) -> AmcPerformance:
        """Evaluate the radio without a buffer."""
        return evaluate(self.table, self.fading, self.thresholds(target), 0)


@dataclass(frozen=True)
class QueueFigures:
    """What a model says of a buffered link.

    Attributes
    ----------
    model
        Name of the model.
    overflow
        Share of the packets that find the buffer full.
    error_rate
        Share of the sent packets that are lost on the air.
    spectral_efficiency
        Mean rate that the queue uses, bits a symbol.
    mean_backlog
        Mean number of packets in the buffer at the start of a frame.
    overflow_error
        Standard error of `overflow` where it was sampled, else 0.
    """

    model: str
    overflow: float
    error_rate: float
    spectral_efficiency: float
    mean_backlog: float
    overflow_error: float = 0.0

    @property
    def loss(self) -> float:
        """Share of the packets that are lost in the buffer or on the air."""
        return 1 - (1 - self.overflow) * (1 - self.error_rate)
