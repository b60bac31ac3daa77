"""The receiver of a connection: reassembly, acknowledgements (RFC 5681, 4.2), SACK (RFC 2018), ECN echo.

It runs when a packet leaves the last link, with the time of its arrival; packets of a flow arrive in order,
so only a delayed acknowledgement's timer can come between, which is looked at first.
"""

# mypy: disable-error-code="no-any-return"
# Compiled code reads records, whose fields the type checker does not know.
from __future__ import annotations

from qos.compiled import compiled, inlined
from qos.simulation.layout import (
    DATAGRAMS,
    DCTCP,
    EVENT_ACK,
    EVENT_DELAYED_ACK,
    FIXED,
    RECEIVED,
)
from qos.simulation.memory import flows, post, schedule, slot
from qos.simulation.rtt import observe
from schedulers.packet.layout import (
    NONE,
    PACKET_ACK,
    PACKET_CE,
    PACKET_ECE,
    PACKET_PURE_ACK,
    PACKET_SYN,
    Record,
)
from schedulers.packet.memory import packets, release, uniform

DUPLICATES_AT_ONCE = 3
MOST_COMPRESSED = 44
COMPRESSION_NS = 1_000_000
COMPRESSION_SLACK_NS = 100_000
COMPRESSION_SHARE = 20
"""Linux (tcp_comp_sack_*): after three duplicate acknowledgements one covers what comes in a millisecond, or
in a twentieth of the round-trip time where that is less; the timer may be late by the slack."""
SACK_BLOCK_BYTES = 8
MOST_SACK_BLOCKS = 3
SYN_BYTES = 56


@inlined
def join_ack_line(root: Record, flow_index: int, index: int, arrival_ns: int) -> None:
    """Put an acknowledgement on its way to the sender, behind those that are on the way."""
    flow = flows(root)[flow_index]
    pool = packets(root)
    arrival_ns = max(arrival_ns, flow.ack_last_ns)
    flow.ack_last_ns = arrival_ns
    pool[index].next = NONE
    pool[index].time_ns = arrival_ns
    if flow.ack_tail == NONE:
        flow.ack_head = index
        schedule(root, arrival_ns, EVENT_ACK, flow_index)
    else:
        pool[flow.ack_tail].next = index
    flow.ack_tail = index


@inlined
def _acknowledge(root: Record, flow_index: int, index: int, time_ns: int) -> None:
    """Turn a received packet into the acknowledgement that it causes, and send it."""
    flow = flows(root)[flow_index]
    packet = packets(root)[index]
    is_syn = packet.flags & PACKET_SYN
    packet.flags = PACKET_ACK | is_syn
    if flow.ce_state == 1:
        packet.flags |= PACKET_ECE
    packet.cumulative = flow.receive_next
    packet.sent_ns = flow.echo_ns
    packet.received = flow.received
    packet.size_bytes = flow.header_bytes + SACK_BLOCK_BYTES * min(flow.blocks, MOST_SACK_BLOCKS)
    if is_syn:
        packet.size_bytes = SYN_BYTES
    flow.unacked = 0
    if flow.ack_hops > 0:
        packet.hop = 0
        post(root, index)
        return
    if flow.ack_loss > 0.0 and uniform(flow) < flow.ack_loss:
        release(root, index)
        return
    size = packet.size_bytes + flow.ack_overhead_bytes
    join_ack_line(
        root, flow_index, index, time_ns + flow.ack_delay_ns + int(flow.ack_ns_per_byte * size + 0.5)
    )


@inlined
def _advance(root: Record, flow: Record) -> None:
    """Deliver what is in order now."""
    while flow.receive_next < flow.next:
        segment = slot(root, flow, flow.receive_next)
        if segment.flags & RECEIVED == 0:
            break
        flow.delivered_in_order_bytes += segment.size_bytes
        flow.receive_next += 1


@inlined
def _place(root: Record, flow: Record, packet: Record) -> bool:
    """Note a segment in the scoreboard; say whether it must be acknowledged at once."""
    number = packet.segment
    if number < flow.receive_next:
        return True
    segment = slot(root, flow, number)
    if segment.flags & RECEIVED:
        return True
    segment.flags |= RECEIVED
    flow.received += 1
    segment.received = flow.received
    flow.delivered_packets += 1
    above = number < flow.receive_high and slot(root, flow, number + 1).flags & RECEIVED != 0
    flow.receive_high = max(flow.receive_high, number)
    if number == flow.receive_next:
        flow.echo_ns = packet.sent_ns
        filled_hole = flow.blocks > 0
        if above:
            flow.blocks -= 1
        _advance(root, flow)
        return filled_hole
    below = slot(root, flow, number - 1).flags & RECEIVED != 0 and number - 1 >= flow.receive_next
    flow.blocks += 1 - int(above) - int(below)
    return True


@compiled
def _note_mark(flow: Record, packet: Record) -> bool:
    """Follow the congestion marks; say whether the change must be told at once.

    A classic receiver echoes until the sender answers (RFC 3168, 6.1.3), which is taken to be at once; a
    DCTCP receiver echoes each mark exactly (RFC 8257, section 3.2).
    """
    marked = int(packet.flags & PACKET_CE != 0)
    flow.marked_packets += marked
    changed = marked != flow.ce_state
    flow.ce_state = marked
    return changed and flow.sender == DCTCP


@compiled
def receive(root: Record, flow_index: int, index: int, arrival_ns: int) -> None:
    """Take a packet at the receiver, which it reaches at `arrival_ns`."""
    flow = flows(root)[flow_index]
    packet = packets(root)[index]
    if packet.flags & PACKET_SYN:
        flow.echo_ns = packet.sent_ns
        _acknowledge(root, flow_index, index, arrival_ns)
        return
    if packet.flags & PACKET_PURE_ACK:
        release(root, index)
        return
    flow.arrived_bytes += packet.size_bytes
    if flow.sender == DATAGRAMS:
        flow.delivered_packets += 1
        flow.delivered_in_order_bytes += packet.size_bytes - flow.header_bytes
        flow.marked_packets += int(packet.flags & PACKET_CE != 0)
        delay_ns = arrival_ns - packet.sent_ns
        observe(root, flow_index, flow, delay_ns)
        flow.min_rtt_ns = min(flow.min_rtt_ns, delay_ns)
        flow.late_packets += int(delay_ns > flow.delay_bound_ns)
        release(root, index)
        return
    if flow.held != NONE and flow.delayed_ack_deadline_ns <= arrival_ns:
        held: int = flow.held
        flow.held = NONE
        _acknowledge(root, flow_index, held, flow.delayed_ack_deadline_ns)
    mark_changed = False
    if flow.ecn:
        mark_changed = _note_mark(flow, packet)
    at_once = _place(root, flow, packet) or mark_changed
    if flow.application == FIXED and flow.delivered_in_order_bytes >= flow.app_size_bytes:
        at_once = True
        if flow.finished_ns == 0:
            flow.finished_ns = arrival_ns
    flow.unacked += 1
    if flow.ack_every > 1 and flow.quick_acks > 0:
        flow.quick_acks -= 1
        at_once = True
    if flow.linux and flow.blocks > 0 and _may_compress(flow):
        wait_ns = min(COMPRESSION_NS, flow.min_rtt_ns // COMPRESSION_SHARE) + COMPRESSION_SLACK_NS
        _hold(root, flow_index, index, arrival_ns + wait_ns)
    elif at_once or flow.unacked >= flow.ack_every:
        if flow.held != NONE:
            release(root, flow.held)
            flow.held = NONE
        _acknowledge(root, flow_index, index, arrival_ns)
    else:
        _hold(root, flow_index, index, arrival_ns + flow.delayed_ack_ns)


@compiled
def _may_compress(flow: Record) -> bool:
    """Say whether a SACK may wait for more: after three at once for the same missing segment."""
    if flow.compressed_next != flow.receive_next:
        flow.compressed_next = flow.receive_next
        flow.duplicates_sent = 0
    if flow.duplicates_sent < DUPLICATES_AT_ONCE:
        flow.duplicates_sent += 1
        return False
    return flow.unacked < MOST_COMPRESSED


@compiled
def _hold(root: Record, flow_index: int, index: int, deadline_ns: int) -> None:
    """Delay the acknowledgement until then (RFC 5681, section 4.2), or until the one that is held is due."""
    flow = flows(root)[flow_index]
    if flow.held != NONE:
        release(root, flow.held)
        deadline_ns = min(deadline_ns, flow.delayed_ack_deadline_ns)
    flow.delayed_ack_deadline_ns = deadline_ns
    flow.held = index
    if flow.delayed_ack_event_ns == 0 or deadline_ns < flow.delayed_ack_event_ns:
        flow.delayed_ack_event_ns = deadline_ns
        schedule(root, deadline_ns, EVENT_DELAYED_ACK, flow_index)


@compiled
def delayed_ack_due(root: Record, flow_index: int) -> None:
    """Send the delayed acknowledgement if it is still owed."""
    flow = flows(root)[flow_index]
    if root.now_ns != flow.delayed_ack_event_ns:
        return
    flow.delayed_ack_event_ns = 0
    if flow.held == NONE:
        return
    if flow.delayed_ack_deadline_ns > root.now_ns:
        flow.delayed_ack_event_ns = flow.delayed_ack_deadline_ns
        schedule(root, flow.delayed_ack_deadline_ns, EVENT_DELAYED_ACK, flow_index)
        return
    held: int = flow.held
    flow.held = NONE
    _acknowledge(root, flow_index, held, root.now_ns)
