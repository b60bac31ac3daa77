"""A link's queue, device ring and transmitter."""

# mypy: disable-error-code="no-any-return"
# Compiled code reads records, whose fields the type checker does not know.
from __future__ import annotations

from qos.compiled import compiled, inlined
from qos.simulation.layout import (
    EVENT_TRANSMITTED,
    FLOW_BYTES,
    RECEIVER_FIRST_BYTE,
    RECEIVER_LAST_BYTE,
    SCOREBOARD_BYTE,
    SEGMENT_BYTES,
)
from qos.simulation.memory import flows, links, schedule, segment_place
from schedulers.packet.discipline import dequeue, enqueue
from schedulers.packet.layout import NONE, Record
from schedulers.packet.memory import FEW_FLOWS, packets, read_ahead, read_record_ahead


@inlined
def _transmission_ns(link: Record, size_bytes: int) -> int:
    if size_bytes != link.size_bytes:
        link.size_bytes = size_bytes
        link.size_ns = (size_bytes + link.overhead_bytes) * 8_000_000_000 // link.rate_bps
    time_ns: int = link.size_ns
    return time_ns


@compiled
def _spend_credit(root: Record, link: Record, time_ns: int) -> int:
    """Give how much of a transmission time the bucket pays: what the link was idle, up to its burst."""
    idle_ns = root.now_ns - link.transmission_end_ns
    credit_ns = min(link.credit_ns + idle_ns, link.burst_ns)
    link.early_ns = min(credit_ns, time_ns)
    link.credit_ns = credit_ns - link.early_ns
    paid_ns: int = link.early_ns
    return paid_ns


@inlined
def _transmit(root: Record, link_index: int) -> None:
    """Start to send the first packet of the device ring."""
    link = links(root)[link_index]
    index = link.ring_head
    pool = packets(root)
    link.ring_head = pool[index].next
    if link.ring_head == NONE:
        link.ring_tail = NONE
    link.ring_packets -= 1
    link.transmitting = index
    time_ns = _transmission_ns(link, pool[index].size_bytes)
    link.busy_ns += time_ns
    if link.burst_ns > 0:
        time_ns -= _spend_credit(root, link, time_ns)
    end_ns = root.now_ns + time_ns
    link.transmission_end_ns = end_ns
    schedule(root, end_ns, EVENT_TRANSMITTED, link_index)
    if root.flows_count > FEW_FLOWS:
        flow = flows(root)[pool[index].flow]
        read_ahead(root.segments + segment_place(flow, pool[index].segment) * SEGMENT_BYTES)


@compiled
def pump(root: Record, link_index: int) -> None:
    """Move packets from the queue to the device while it has room."""
    link = links(root)[link_index]
    pool = packets(root)
    while True:
        idle = link.transmitting == NONE and link.rate_bps > 0
        if idle and link.ring_packets > 0:
            _transmit(root, link_index)
            continue
        if link.ring_packets >= link.ring_limit and not (idle and link.ring_packets == 0):
            return
        index = dequeue(root, link_index)
        if index == NONE:
            return
        pool[index].next = NONE
        if link.ring_tail == NONE:
            link.ring_head = index
        else:
            pool[link.ring_tail].next = index
        link.ring_tail = index
        link.ring_packets += 1
        if root.flows_count > FEW_FLOWS:
            # The receiver is served when the packet has been sent, its scoreboard is asked for before that.
            address = root.flows + pool[index].flow * FLOW_BYTES
            read_ahead(address + SCOREBOARD_BYTE)
            read_record_ahead(address, RECEIVER_FIRST_BYTE, RECEIVER_LAST_BYTE)


@inlined
def offer(root: Record, link_index: int, index: int) -> None:
    """Give a packet to the queue of a link and see whether the link is free."""
    if enqueue(root, link_index, index):
        link = links(root)[link_index]
        if link.transmitting == NONE or link.ring_packets < link.ring_limit:
            pump(root, link_index)
