"""Slots as bits: the same answers as sets of numbers, across the borders of words."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from schedulers.entanglement.bitsets import next_free, next_taken, take, word_count

SLOTS = 200
spans = st.tuples(st.integers(0, SLOTS - 1), st.integers(1, 140)).map(
    lambda s: (s[0], min(SLOTS, s[0] + s[1]))
)


@settings(max_examples=200)
@given(taken=st.lists(spans, max_size=6), begin=st.integers(0, SLOTS + 80), length=st.integers(0, 150))
def test_searches_agree_with_a_set_of_slots(taken: list[tuple[int, int]], begin: int, length: int) -> None:
    row = np.zeros(word_count(SLOTS), dtype=np.uint64)
    slots: set[int] = set()
    for first, last in taken:
        take(row, first, last)
        slots |= set(range(first, last))
    end = begin + length
    assert next_taken(row, begin, end) == min((s for s in slots if begin <= s < end), default=end)
    assert next_free(row, begin) == next(s for s in range(begin, begin + SLOTS + 1) if s not in slots)
    assert [slot for slot in range(SLOTS) if next_taken(row, slot, slot + 1) == slot] == sorted(slots)


def test_a_row_has_room_for_its_slots_and_no_more() -> None:
    assert [word_count(n) for n in (0, 1, 64, 65, 512)] == [0, 1, 1, 2, 8]
