"""5G NR modulation and coding schemes, transport block sizes and code blocks.

Sources: 3GPP TS 38.214 tables 5.1.3.1-1 to 5.1.3.1-3 (MCS), 5.2.2.1-2 (CQI), 5.1.3.2-1 and section
5.1.3.2 (transport block size); TS 38.212 sections 5.2.2, 6.2.2 and 7.2.1 (segmentation, base graph, CRC).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType

from qos.errors import ValueRefusedError

_QPSK = (120, 157, 193, 251, 308, 379, 449, 526, 602, 679)
_MCS: dict[str, tuple[tuple[int, float], ...]] = {
    "64qam": (
        *((2, r) for r in _QPSK),
        *((4, r) for r in (340, 378, 434, 490, 553, 616, 658)),
        *((6, r) for r in (438, 466, 517, 567, 616, 666, 719, 772, 822, 873, 910, 948)),
    ),
    "256qam": (
        *((2, r) for r in (120, 193, 308, 449, 602)),
        *((4, r) for r in (378, 434, 490, 553, 616, 658)),
        *((6, r) for r in (466, 517, 567, 616, 666, 719, 772, 822, 873)),
        *((8, r) for r in (682.5, 711, 754, 797, 841, 885, 916.5, 948)),
    ),
    "64qam-low-se": (
        *((2, r) for r in (30, 40, 50, 64, 78, 99, 120, 157, 193, 251, 308, 379, 449, 526, 602)),
        *((4, r) for r in (340, 378, 434, 490, 553, 616)),
        *((6, r) for r in (438, 466, 517, 567, 616, 666, 719, 772)),
    ),
}
CQI_1: tuple[tuple[int, int], ...] = (
    (2, 78), (2, 120), (2, 193), (2, 308), (2, 449), (2, 602), (4, 378), (4, 490), (4, 616), (6, 466),
    (6, 567), (6, 666), (6, 772), (6, 873), (6, 948),
)  # fmt: skip
"""CQI 1 to 15 of table 5.2.2.1-2: bits a symbol, code rate x 1024."""

_SMALL_SIZES = (
    24, 32, 40, 48, 56, 64, 72, 80, 88, 96, 104, 112, 120, 128, 136, 144, 152, 160, 168, 176, 184, 192,
    208, 224, 240, 256, 272, 288, 304, 320, 336, 352, 368, 384, 408, 432, 456, 480, 504, 528, 552, 576,
    608, 640, 672, 704, 736, 768, 808, 848, 888, 928, 984, 1032, 1064, 1128, 1160, 1192, 1224, 1256, 1288,
    1320, 1352, 1416, 1480, 1544, 1608, 1672, 1736, 1800, 1864, 1928, 2024, 2088, 2152, 2216, 2280, 2408,
    2472, 2536, 2600, 2664, 2728, 2792, 2856, 2976, 3104, 3240, 3368, 3496, 3624, 3752, 3824,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Scheme:
    """One modulation and coding scheme.

    Attributes
    ----------
    bits_per_symbol
        2 (QPSK), 4, 6 or 8.
    code_rate
        Target code rate, 0 to 1.
    """

    bits_per_symbol: int
    code_rate: float


SCHEMES = MappingProxyType(
    {name: tuple(Scheme(bits, rate / 1024) for bits, rate in rows) for name, rows in _MCS.items()}
)
"""MCS tables by name; the position is the MCS index."""


def schemes(name: str) -> tuple[Scheme, ...]:
    """Return an MCS table.

    Raises
    ------
    ValueRefusedError
        If there is none of that name.
    """
    if name not in SCHEMES:
        raise ValueRefusedError(f"unknown MCS table {name!r}; known: {', '.join(SCHEMES)}")
    return SCHEMES[name]


def transport_block_bits(scheme: Scheme, num_re: int) -> int:
    """Return the transport block size in bits on `num_re` resource elements and one layer.

    Section 5.1.3.2 of TS 38.214.

    Raises
    ------
    ValueRefusedError
        If `num_re` is less than 1.

    Examples
    --------
    >>> transport_block_bits(schemes("64qam")[28], 1680)
    9224
    """
    if num_re < 1:
        raise ValueRefusedError(f"{num_re} resource elements: must be at least 1")
    information = num_re * scheme.code_rate * scheme.bits_per_symbol
    if information <= 3824:
        step = 1 << max(3, math.floor(math.log2(information)) - 6)
        rounded = max(24, step * math.floor(information / step))
        return next(size for size in _SMALL_SIZES if size >= rounded)
    step = 1 << (math.floor(math.log2(information - 24)) - 5)
    rounded = max(3840, step * math.floor((information - 24) / step + 0.5))
    blocks = 1
    if scheme.code_rate <= 0.25:
        blocks = math.ceil((rounded + 24) / 3816)
    elif rounded > 8424:
        blocks = math.ceil((rounded + 24) / 8424)
    return 8 * blocks * math.ceil((rounded + 24) / (8 * blocks)) - 24


def code_blocks(transport_bits: int, code_rate: float) -> tuple[int, int]:
    """Return the number of code blocks and the bits of each, CRCs included (TS 38.212)."""
    small = transport_bits <= 292 or (transport_bits <= 3824 and code_rate <= 0.67) or code_rate <= 0.25
    largest = 3840 if small else 8448
    with_crc = transport_bits + (16 if transport_bits <= 3824 else 24)
    if with_crc <= largest:
        return 1, with_crc
    blocks = math.ceil(with_crc / (largest - 24))
    return blocks, math.ceil(with_crc / blocks) + 24
