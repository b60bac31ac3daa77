from __future__ import annotations

import pytest

from schedulers.entanglement.cpsat import outcome
from schedulers.entanglement.cpsat.outcome import Clock


def test_what_does_not_count_is_left_out_of_the_whole_and_the_part(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(outcome.time, "monotonic", lambda: now[0])

    def compile_for_a_minute() -> None:
        now[0] += 60

    whole = Clock(10)
    part = whole.part(5)
    now[0] += 1
    part.leave_out(compile_for_a_minute)
    now[0] += 1
    assert (whole.spent_s, part.spent_s) == (2, 2)
    assert (whole.left_s, part.left_s) == (8, 3)
