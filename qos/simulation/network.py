"""What happens along a path: wires with a delay, the next hop, rates that change.

A packet costs one event a hop: the end of its transmission. On the last hop the receiver is served at once,
with the time at which the packet will arrive; where a hop follows, the wire is a first-in first-out line with
one pending event for its first packet.
"""

# mypy: disable-error-code="no-any-return"
# Compiled code reads records, whose fields the type checker does not know.
from __future__ import annotations

from qos.compiled import compiled, inlined
from qos.simulation.layout import EVENT_ARRIVAL, EVENT_RATE
from qos.simulation.link import offer, pump
from qos.simulation.memory import flows, links, post, routes, schedule, traces
from qos.simulation.receiver import receive
from schedulers.packet.layout import NONE, PACKET_ACK, Record
from schedulers.packet.memory import packets, release, uniform


@compiled
def _join_line(root: Record, link_index: int, index: int, arrival_ns: int) -> None:
    link = links(root)[link_index]
    pool = packets(root)
    pool[index].next = NONE
    pool[index].time_ns = arrival_ns
    if link.line_tail == NONE:
        link.line_head = index
        schedule(root, arrival_ns, EVENT_ARRIVAL, link_index)
    else:
        pool[link.line_tail].next = index
    link.line_tail = index


@inlined
def transmitted(root: Record, link_index: int) -> None:
    """Put the packet whose transmission ends on the wire and start the next."""
    link = links(root)[link_index]
    index: int = link.transmitting
    link.transmitting = NONE
    link.transmitted_packets += 1
    if link.loss_probability > 0.0 and uniform(link) < link.loss_probability:
        link.lost_packets += 1
        release(root, index)
    else:
        _carry(root, link_index, index)
    pump(root, link_index)


@inlined
def _carry(root: Record, link_index: int, index: int) -> None:
    """Send a packet over the wire to the next hop, or straight to the receiver."""
    packet = packets(root)[index]
    flow = flows(root)[packet.flow]
    link = links(root)[link_index]
    arrival_ns = root.now_ns + link.delay_ns
    if link.burst_ns > 0:
        # What the bucket paid for left early, but no byte of it arrives before its time.
        link.arrived_ns = max(link.arrived_ns, root.now_ns + link.early_ns)
        arrival_ns = link.arrived_ns + link.delay_ns
    if packet.flags & PACKET_ACK == 0 and packet.hop + 1 == flow.hops and flow.ack_hops == 0:
        receive(root, packet.flow, index, arrival_ns)
    else:
        _join_line(root, link_index, index, arrival_ns)


@compiled
def arrived(root: Record, link_index: int) -> int:
    """Take the first packet off the wire and pass it on; give it back where it is at its end, else `NONE`."""
    link = links(root)[link_index]
    index: int = link.line_head
    pool = packets(root)
    packet = pool[index]
    link.line_head = packet.next
    if link.line_head == NONE:
        link.line_tail = NONE
    else:
        schedule(root, pool[link.line_head].time_ns, EVENT_ARRIVAL, link_index)
    flow = flows(root)[packet.flow]
    is_ack = packet.flags & PACKET_ACK != 0
    packet.hop += 1
    if packet.hop < (flow.ack_hops if is_ack else flow.hops):
        post(root, index)
        return NONE
    return index


@inlined
def empty_outbox(root: Record) -> None:
    """Offer what the present event sent to the links on the packets' ways."""
    pool = packets(root)
    while root.outbox_head != NONE:
        index: int = root.outbox_head
        packet = pool[index]
        root.outbox_head = packet.next
        if root.outbox_head == NONE:
            root.outbox_tail = NONE
        flow = flows(root)[packet.flow]
        route = flow.ack_route if packet.flags & PACKET_ACK else flow.route
        offer(root, routes(root)[route + packet.hop], index)


@compiled
def change_rate(root: Record, link_index: int) -> None:
    """Follow the trace of a link's rate; a packet in transmission keeps the rate that it began with."""
    link = links(root)[link_index]
    trace = traces(root)
    place = link.trace_first + 2 * link.trace_position
    link.rate_bps = trace[place + 1]
    link.size_bytes = -1
    if link.rate_bps > 0 and link.transmitting == NONE:
        pump(root, link_index)
    if link.trace_length == 0:
        return  # it was set from outside, see qos.simulation.state.set_rate
    link.trace_position += 1
    if link.trace_position == link.trace_length:
        if link.trace_period_ns == 0:
            return
        link.trace_position = 0
        link.trace_base_ns += link.trace_period_ns
    place = link.trace_first + 2 * link.trace_position
    schedule(root, link.trace_base_ns + trace[place], EVENT_RATE, link_index)
