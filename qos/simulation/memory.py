"""Compiled views of the arrays that only the simulator has, and the heap of events."""

# mypy: disable-error-code="no-any-return"
# Compiled code reads records, whose fields the type checker does not know.
from __future__ import annotations

import numpy as np
from numba import carray  # type: ignore[attr-defined]

from qos.compiled import inlined
from qos.simulation.layout import EVENT_DTYPE, FLOW_DTYPE, KIND, LINK_DTYPE, SEGMENT_DTYPE
from schedulers.packet.layout import NONE, PACKET_DTYPE, Record, Records
from schedulers.packet.memory import address

_INT64 = np.int64


@inlined
def links(root: Record) -> Records:
    """View the links."""
    return carray(address(root.links), root.links_count, LINK_DTYPE)


@inlined
def flows(root: Record) -> Records:
    """View the flows."""
    return carray(address(root.flows), root.flows_count, FLOW_DTYPE)


@inlined
def segments(root: Record) -> Records:
    """View the arena of scoreboards."""
    return carray(address(root.segments), root.segments_count, SEGMENT_DTYPE)


@inlined
def routes(root: Record) -> Records:
    """View the routes."""
    return carray(address(root.routes), root.routes_count, _INT64)


@inlined
def traces(root: Record) -> Records:
    """View the traces of rates, pairs of a time and a rate."""
    return carray(address(root.traces), root.traces_count, _INT64)


@inlined
def tables(root: Record) -> Records:
    """View the tables of the applications."""
    return carray(address(root.tables), root.tables_count, _INT64)


@inlined
def rtts(root: Record) -> Records:
    """View the histograms of round-trip times."""
    return carray(address(root.rtts), root.rtts_count, _INT64)


@inlined
def _events(root: Record) -> Records:
    return carray(address(root.events), root.events_count, EVENT_DTYPE)


@inlined
def schedule(root: Record, time_ns: int, kind: int, index: int) -> None:
    """Add an event; events of the same time run in the order in which they were added."""
    heap = _events(root)
    place = root.events_pending
    root.events_pending = place + 1
    order = root.order
    root.order = order + 1
    while place > 0:
        parent = (place - 1) >> 1
        above = heap[parent]
        if above.time_ns <= time_ns:
            break
        heap[place].time_ns = above.time_ns
        heap[place].order = above.order
        heap[place].code = above.code
        place = parent
    here = heap[place]
    here.time_ns = time_ns
    here.order = order
    here.code = kind * KIND + index


@inlined
def next_event_ns(root: Record) -> int:
    """Give the time of the earliest event; there must be one."""
    time_ns: int = _events(root)[0].time_ns
    return time_ns


@inlined
def next_event_code(root: Record) -> int:
    """Give the code of the earliest event; there must be one."""
    code: int = _events(root)[0].code
    return code


@inlined
def pop_event(root: Record) -> int:
    """Take the earliest event out and give its code."""
    heap = _events(root)
    code: int = heap[0].code
    count = root.events_pending - 1
    root.events_pending = count
    last = heap[count]
    time_ns = last.time_ns
    order = last.order
    last_code = last.code
    place = 0
    while True:
        child = 2 * place + 1
        if child >= count:
            break
        low = heap[child]
        if child + 1 < count:
            other = heap[child + 1]
            if other.time_ns < low.time_ns or (other.time_ns == low.time_ns and other.order < low.order):
                child += 1
                low = other
        if low.time_ns > time_ns or (low.time_ns == time_ns and low.order > order):
            break
        heap[place].time_ns = low.time_ns
        heap[place].order = low.order
        heap[place].code = low.code
        place = child
    heap[place].time_ns = time_ns
    heap[place].order = order
    heap[place].code = last_code
    return code


@inlined
def post(root: Record, index: int) -> None:
    """Send a packet when the present event is done; the event loop empties the outbox.

    So what sends does not call what queues, which would be compiled anew into each of its callers.
    """
    pool = carray(address(root.packets), root.packets_count, PACKET_DTYPE)
    pool[index].next = NONE
    if root.outbox_tail == NONE:
        root.outbox_head = index
    else:
        pool[root.outbox_tail].next = index
    root.outbox_tail = index


@inlined
def segment_place(flow: Record, number: int) -> int:
    """Give the place of a segment's entry in the arena."""
    place: int = flow.ring + (number & (flow.ring_size - 1))
    return place


@inlined
def slot(root: Record, flow: Record, number: int) -> Record:
    """Give the scoreboard entry of a segment between `una` and `next`."""
    return segments(root)[segment_place(flow, number)]
