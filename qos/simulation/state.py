"""The arrays of a simulation on the Python side: made, bound, grown, copied."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qos.simulation.layout import EVENT_RATE, KIND, NEEDS_EVENTS, NEEDS_PACKETS, NEEDS_SEGMENTS, State
from schedulers.packet.layout import ARRAYS, NONE


def bind(state: State) -> None:
    """Write the addresses and lengths of all arrays into the control record."""
    control = state.control
    for name in ARRAYS:
        array = getattr(state, name)
        control[name] = array.ctypes.data
        control[f"{name}_count"] = len(array)


def copied(state: State) -> State:
    """Copy all that a run changes; the copy runs on by itself. Nothing ever writes the parameters: shared."""
    copy = State(*(array if array is state.parameters else _copy(array) for array in state))
    bind(copy)
    return copy


def overwrite(state: State, start: State) -> None:
    """Make all that a run changes as it was in another state, whose arrays have the same shapes."""
    for array, source in zip(state, start, strict=True):
        if source is not start.parameters:
            np.copyto(_plain(array), _plain(source))


def _copy(array: NDArray[Any]) -> NDArray[Any]:
    return _plain(array).copy().view(array.dtype)


def _plain(array: NDArray[Any]) -> NDArray[Any]:
    """View records as bytes: numpy copies records field by field, which takes many times as long."""
    return array if array.dtype.names is None else array.view(np.uint8)


def grown(state: State, need: int) -> State:
    """Give the state more of what `advance` says it lacks."""
    if need == NEEDS_PACKETS:
        packets, first = _extended(state.packets, int(state.control["burst"][0]))
        _link_free(packets, first, int(state.control["free_packet"][0]))
        state.control["free_packet"] = first
        state.control["free_packets"] += len(packets) - first
        state = state._replace(packets=packets)
    elif need == NEEDS_SEGMENTS:
        segments, _ = _extended(state.segments, 4 * int(state.control["burst"][0]))
        state = state._replace(segments=segments)
    elif need == NEEDS_EVENTS:
        events, _ = _extended(state.events, 256)
        state = state._replace(events=events)
    bind(state)
    return state


def set_rate(state: State, link_index: int, rate_bps: int) -> None:
    """Change the rate of a link now; a packet in transmission keeps the rate that it began with.

    The change is an event, the last one of the present time, so that what waits behind a link that stood
    still is sent on. The link must not follow a trace.
    """
    link = state.links[link_index]
    state.traces[int(link["trace_first"]) + 1] = rate_bps
    _push(state, int(state.control["now_ns"][0]), EVENT_RATE * KIND + link_index)


def _push(state: State, time_ns: int, code: int) -> None:
    """Add an event, as `qos.simulation.memory.schedule` does in compiled code; there must be room."""
    control, heap = state.control, state.events
    place = int(control["events_pending"][0])
    order = int(control["order"][0])
    while place > 0 and heap["time_ns"][(place - 1) >> 1] > time_ns:
        heap[place] = heap[(place - 1) >> 1]
        place = (place - 1) >> 1
    heap[place] = (time_ns, order, code)
    control["events_pending"] += 1
    control["order"] += 1


def _extended(array: NDArray[Any], least: int) -> tuple[NDArray[Any], int]:
    """Double an array; say where the new part begins."""
    old = len(array)
    larger = np.zeros(old + max(old, least), array.dtype)
    larger[:old] = array
    return larger, old


def _link_free(packets: NDArray[Any], first: int, then: int) -> None:
    """Chain the packets from `first` on, and put the old free list behind them."""
    packets["next"][first:] = np.arange(first + 1, len(packets) + 1)
    packets["next"][-1] = then


def fresh_pool(packets: NDArray[Any]) -> None:
    """Chain all packets of a new pool."""
    _link_free(packets, 0, NONE)


def memory_bytes(state: State) -> int:
    """Count the bytes of all arrays."""
    return sum(int(array.nbytes) for array in state)
