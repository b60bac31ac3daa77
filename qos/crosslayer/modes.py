"""Transmission modes and the probability that a packet sent in one is lost.

The packet error rate of a mode is ``min(1, a exp(-g SNR))`` for a packet of a reference length (Liu, Zhou,
Giannakis, IEEE Transactions on Wireless Communications 3(5), 2004, equation (5)).

- `HIPERLAN2`: the six convolutionally coded modes and fits of that paper, 1080-bit packets.
- `WIFI6`: the twelve modes of IEEE 802.11ax. Their fits are ours: the 10 % point of a 4096-byte packet is the
  standard's minimum sensitivity (20 MHz) less the noise floor, a noise figure of 10 dB and 5 dB of
  implementation margin, which is how the standard made the sensitivities; the steepness is that of the
  HIPERLAN/2 mode of the same modulation. They are good for planning, not a receiver's measured curve.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qos.crosslayer.guards import check_positive, from_db
from qos.errors import ValueRefusedError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Mode:
    """One modulation and coding scheme.

    Attributes
    ----------
    name
        Modulation and code rate.
    bits_per_symbol
        Information bits a symbol, more than 0.
    a, g
        Fit of the packet error rate, ``a`` more than 1, ``g`` more than 0.
    """

    name: str
    bits_per_symbol: float
    a: float
    g: float

    def __post_init__(self) -> None:
        check_positive(f"mode {self.name}: bits per symbol", self.bits_per_symbol)
        if check_positive(f"mode {self.name}: a", self.a) <= 1:
            raise ValueRefusedError(f"mode {self.name}: a must be more than 1, not {self.a:g}")
        if not math.isfinite(self.g) or self.g <= 0:
            raise ValueRefusedError(
                f"mode {self.name}: the error rate must fall with the SNR: g must be more than 0, "
                f"not {self.g:g}"
            )

    @property
    def cutoff_snr(self) -> float:
        """SNR (power ratio) below which every packet is lost."""
        return math.log(self.a) / self.g


@dataclass(frozen=True)
class ModeTable:
    """Modes in the order of their rate, with what they share.

    Attributes
    ----------
    name
        Name of the standard.
    modes
        Modes, the slowest first; rate and cut-off SNR must rise.
    packet_bits
        Packet length of the fits in bits.
    """

    name: str
    modes: tuple[Mode, ...]
    packet_bits: int

    def __post_init__(self) -> None:
        if not self.modes:
            raise ValueRefusedError(f"mode table {self.name} has no mode")
        for lower, upper in zip(self.modes, self.modes[1:], strict=False):
            if upper.bits_per_symbol <= lower.bits_per_symbol or upper.cutoff_snr <= lower.cutoff_snr:
                raise ValueRefusedError(
                    f"mode table {self.name}: {upper.name} must be faster and need more SNR than {lower.name}"
                )

    @property
    def rates(self) -> Floats:
        """Information bits a symbol of each mode."""
        return np.array([mode.bits_per_symbol for mode in self.modes])

    @property
    def a(self) -> Floats:
        """Factor of each mode's error rate."""
        return np.array([mode.a for mode in self.modes])

    @property
    def g(self) -> Floats:
        """Decay of each mode's error rate."""
        return np.array([mode.g for mode in self.modes])

    @property
    def cutoffs(self) -> Floats:
        """SNR of each mode below which every packet is lost."""
        return np.log(self.a) / self.g

    def error_rate(self, mode: ArrayLike, snr: ArrayLike) -> Floats:
        """Packet error rate of modes (index) at SNRs (power ratios), element by element."""
        index = np.asarray(mode)
        exponent = np.log(self.a)[index] - self.g[index] * np.asarray(snr, dtype=float)
        return np.asarray(np.exp(np.minimum(exponent, 0.0)))

    def snr_for(self, error_rate: ArrayLike) -> Floats:
        """SNR (power ratio) at which each mode has an error rate in (0, 1]."""
        return np.asarray(np.log(self.a / np.asarray(error_rate, dtype=float)) / self.g)

    def subset(self, *numbers: int) -> ModeTable:
        """Keep some modes, numbered from 1."""
        return replace(self, modes=tuple(self.modes[number - 1] for number in numbers))

    def for_packet_bits(self, packet_bits: int) -> ModeTable:
        """Give the table for another packet length.

        A packet of ``k`` reference lengths is lost with ``1 - (1 - PER)^k``, near ``k PER`` where PER is
        small: the factor `a` grows with the length.
        """
        factor = check_positive("packet bits", packet_bits) / self.packet_bits
        modes = tuple(replace(mode, a=max(mode.a * factor, 1.0 + 1e-9)) for mode in self.modes)
        return replace(self, modes=modes, packet_bits=packet_bits)


HIPERLAN2 = ModeTable(
    "hiperlan2",
    (
        Mode("BPSK 1/2", 0.5, 274.7229, 7.9932),
        Mode("QPSK 1/2", 1.0, 90.2514, 3.4998),
        Mode("QPSK 3/4", 1.5, 67.6181, 1.6883),
        Mode("16QAM 9/16", 2.25, 50.1222, 0.6644),
        Mode("16QAM 3/4", 3.0, 53.3987, 0.3756),
        Mode("64QAM 3/4", 4.5, 35.3508, 0.0900),
    ),
    1080,
)

_WIFI6_ROWS = (
    ("BPSK 1/2", 0.5, -82, 274.7),
    ("QPSK 1/2", 1.0, -79, 90.3),
    ("QPSK 3/4", 1.5, -77, 67.6),
    ("16QAM 1/2", 2.0, -74, 50.1),
    ("16QAM 3/4", 3.0, -70, 53.4),
    ("64QAM 2/3", 4.0, -66, 35.4),
    ("64QAM 3/4", 4.5, -65, 35.4),
    ("64QAM 5/6", 5.0, -64, 35.4),
    ("256QAM 3/4", 6.0, -59, 35.4),
    ("256QAM 5/6", 20 / 3, -57, 35.4),
    ("1024QAM 3/4", 7.5, -54, 35.4),
    ("1024QAM 5/6", 25 / 3, -52, 35.4),
)
_NOISE_FLOOR_20MHZ_DBM = -174 + 10 * math.log10(20e6)


def _wifi6() -> ModeTable:
    modes = []
    for name, bits, sensitivity_dbm, a in _WIFI6_ROWS:
        snr = from_db(sensitivity_dbm - _NOISE_FLOOR_20MHZ_DBM - 10 - 5)
        modes.append(Mode(name, bits, a, math.log(a / 0.1) / snr))
    return ModeTable("802.11ax", tuple(modes), 4096 * 8)


WIFI6 = _wifi6()

MODE_TABLES = {table.name: table for table in (HIPERLAN2, WIFI6)}

WIFI6_DATA_TONES = {20: 234, 40: 468, 80: 980, 160: 1960}
"""Data subcarriers by channel width in MHz (IEEE 802.11ax, table 27-15)."""


def wifi6_rate_bps(
    bits_per_symbol: float, width_mhz: int, streams: int = 1, guard_interval_s: float = 0.8e-6
) -> float:
    """Rate of the physical layer of IEEE 802.11ax in bit/s.

    Examples
    --------
    >>> round(wifi6_rate_bps(25 / 3, 80, 2) / 1e6, 1)
    1201.0
    """
    if width_mhz not in WIFI6_DATA_TONES:
        raise ValueRefusedError(f"channel width must be 20, 40, 80 or 160 MHz, not {width_mhz!r}")
    if streams not in range(1, 9):
        raise ValueRefusedError(f"spatial streams must be 1 to 8, not {streams!r}")
    return WIFI6_DATA_TONES[width_mhz] * bits_per_symbol * streams / (12.8e-6 + guard_interval_s)
