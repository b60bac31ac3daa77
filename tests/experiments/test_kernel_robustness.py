"""The load of the robustness checks."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from experiments.kernel_robustness import load


class ToldLater:
    """Told to end at the fiftieth look."""

    def __init__(self) -> None:
        self._looks = 0

    @property
    def end(self) -> bool:
        self._looks += 1
        return self._looks > 50


@pytest.mark.parametrize("function", [load.send_steadily, load.send_arrivals])
def test_a_sender_that_cannot_keep_up_still_ends_when_it_is_told(
    function: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(10_000_000))
    sockets = SimpleNamespace(connect=lambda _place: None)
    monkeypatch.setattr(load, "Told", ToldLater)
    # Each look at the clock takes a second, in which 200 more should have been sent.
    monkeypatch.setattr(load.time, "monotonic", lambda: float(next(clock)))
    monkeypatch.setattr(load.time, "sleep", lambda _s: None)
    monkeypatch.setattr(load, "_send", lambda _socket, _data: None)
    monkeypatch.setattr(load.resource, "setrlimit", lambda *_: None)
    monkeypatch.setattr(load, "_socket", lambda _port: _Both(sockets))
    sent = function("127.0.0.1", 200, 2, 100)  # type: ignore[operator]
    assert 0 < sent < 200


class _Both(nullcontext[SimpleNamespace]):
    """A socket that is also its own context manager."""

    def connect(self, place: object) -> None:
        del place
