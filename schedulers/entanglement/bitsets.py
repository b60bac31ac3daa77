"""Sets of slots as bits: one row of 64-bit words a qubit, a set bit is a slot that is taken (compiled).

Slots beyond the end of a row count as free.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from qos.compiled import compiled

Words = npt.NDArray[np.uint64]
WORD_BITS = 64

_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
_ONE = np.uint64(1)
_DE_BRUIJN = np.uint64(0x03F79D71B4CB0A89)
_TOP = np.uint64(58)


def _trailing_zero_table() -> npt.NDArray[np.int64]:
    table = np.zeros(WORD_BITS, dtype=np.int64)
    for bit in range(WORD_BITS):
        table[((0x03F79D71B4CB0A89 << bit) & 0xFFFFFFFFFFFFFFFF) >> 58] = bit
    return table


_TRAILING_ZEROS = _trailing_zero_table()


def word_count(slots: int) -> int:
    """Count the words that hold a number of slots."""
    return (slots + WORD_BITS - 1) // WORD_BITS


@compiled
def _lowest(word: np.uint64) -> int:
    """Find the lowest set bit of a word that is not zero (de Bruijn multiplication)."""
    single = word & (~word + _ONE)
    return int(_TRAILING_ZEROS[np.int64((single * _DE_BRUIJN) >> _TOP)])


@compiled
def next_taken(row: Words, begin: int, end: int) -> int:
    """Find the first taken slot in ``[begin, end)``, or say ``end``."""
    index = begin >> 6
    if index >= row.size or begin >= end:
        return end
    word = row[index] & (_ALL << np.uint64(begin & 63))
    while word == np.uint64(0):
        index += 1
        if index >= row.size or index << 6 >= end:
            return end
        word = row[index]
    return min(end, (index << 6) + _lowest(word))


@compiled
def next_free(row: Words, begin: int) -> int:
    """Find the first free slot from `begin` on."""
    index = begin >> 6
    if index >= row.size:
        return begin
    word = ~row[index] & (_ALL << np.uint64(begin & 63))
    while word == np.uint64(0):
        index += 1
        if index >= row.size:
            return index << 6
        word = ~row[index]
    return (index << 6) + _lowest(word)


@compiled
def take(row: Words, begin: int, end: int) -> None:
    """Mark the slots ``[begin, end)`` of a row as taken; ``end`` must lie inside the row."""
    first, last = begin >> 6, (end - 1) >> 6
    head = _ALL << np.uint64(begin & 63)
    tail = _ALL >> np.uint64(63 - ((end - 1) & 63))
    if first == last:
        row[first] |= head & tail
        return
    row[first] |= head
    for index in range(first + 1, last):
        row[index] = _ALL
    row[last] |= tail
