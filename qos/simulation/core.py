"""The event loop."""

# mypy: disable-error-code="no-any-return"
# Compiled code reads records, whose fields the type checker does not know.
from __future__ import annotations

from qos.compiled import compiled, inlined
from qos.simulation.acknowledgement import acknowledged, rack_due
from qos.simulation.applications import application_due, handshake_done, transfer_done
from qos.simulation.layout import (
    DONE,
    ESTABLISHED,
    EVENT_ACK,
    EVENT_APPLICATION,
    EVENT_ARRIVAL,
    EVENT_DELAYED_ACK,
    EVENT_PACE,
    EVENT_PIE,
    EVENT_RACK,
    EVENT_RATE,
    EVENT_TIMEOUT,
    EVENT_TRANSMITTED,
    FLOW_BYTES,
    KIND,
    NEEDS_EVENTS,
    NEEDS_PACKETS,
    NEEDS_SEGMENTS,
    SENDER_BYTES,
    STOPPED,
)
from qos.simulation.memory import flows, next_event_code, next_event_ns, pop_event, schedule
from qos.simulation.network import arrived, change_rate, empty_outbox, transmitted
from qos.simulation.receiver import delayed_ack_due, join_ack_line, receive
from qos.simulation.sending import send_pending
from qos.simulation.timers import pace_due, timeout_due
from schedulers.packet.accounting import settle
from schedulers.packet.layout import NONE, PACKET_ACK, PACKET_SYN, Record, Records
from schedulers.packet.memory import FEW_FLOWS, packets, queues, read_record_ahead, release
from schedulers.packet.pie import pie_update

SPARE_EVENTS = 64
RING_GROWTH = 4
"""A scoreboard that doubles to the largest window uses at most this many times its slots."""


@inlined
def _process_ack(root: Record, flow_index: int, index: int) -> None:
    if flows(root)[flow_index].life != STOPPED:
        if packets(root)[index].flags & PACKET_SYN:
            handshake_done(root, flow_index, packets(root)[index].sent_ns)
        else:
            acknowledged(root, flow_index, index)
            transfer_done(root, flow_index)
    release(root, index)


@inlined
def _ack_arrived(root: Record, flow_index: int) -> None:
    """Take the first acknowledgement of a flow's line and process it."""
    flow = flows(root)[flow_index]
    pool = packets(root)
    index: int = flow.ack_head
    following = pool[index].next
    flow.ack_head = following
    if following == NONE:
        flow.ack_tail = NONE
    else:
        schedule(root, pool[following].time_ns, EVENT_ACK, flow_index)
    _process_ack(root, flow_index, index)


@inlined
def _read_next_ahead(root: Record) -> None:
    """Ask for the flow whose acknowledgement comes next while the present event is worked on."""
    if root.events_pending > 0:
        code = next_event_code(root)
        if code // KIND == EVENT_ACK:
            address = root.flows + (code - EVENT_ACK * KIND) * FLOW_BYTES
            read_record_ahead(address, 0, SENDER_BYTES)


@compiled
def _wire_arrival(root: Record, link_index: int) -> None:
    index = arrived(root, link_index)
    if index == NONE:
        return
    packet = packets(root)[index]
    if packet.flags & PACKET_ACK:
        join_ack_line(root, packet.flow, index, root.now_ns)
    else:
        receive(root, packet.flow, index, root.now_ns)


@compiled
def _update_pie(root: Record, queue_index: int) -> None:
    queue = queues(root)[queue_index]
    for place in range(queue.first, queue.first + queue.subqueues):
        pie_update(root, queue_index, place)
    schedule(root, root.now_ns + queue.pie_update_ns, EVENT_PIE, queue_index)


@compiled
def _rare(root: Record, kind: int, index: int) -> None:
    """Run the events that do not come with every packet."""
    if kind == EVENT_TIMEOUT:
        timeout_due(root, index)
    elif kind == EVENT_APPLICATION:
        application_due(root, index)
    elif kind == EVENT_DELAYED_ACK:
        delayed_ack_due(root, index)
    elif kind == EVENT_PIE:
        _update_pie(root, index)
    elif kind == EVENT_RACK:
        rack_due(root, index)
    elif kind == EVENT_RATE:
        change_rate(root, index)


@compiled
def advance(control: Records, until_ns: int) -> int:
    """Run all events until a time, that time included.

    Parameters
    ----------
    control
        The control record, shape ``(1,)``, with the addresses filled in.
    until_ns
        Where to stop.

    Returns
    -------
    int
        `DONE`, or which array must grow before the run can go on.
    """
    root = control[0]
    while root.events_pending > 0:
        time_ns = next_event_ns(root)
        if time_ns > until_ns:
            break
        if root.free_packets < root.burst:
            return NEEDS_PACKETS
        if root.segments_count - root.next_segment < RING_GROWTH * root.burst:
            return NEEDS_SEGMENTS
        if root.events_count - root.events_pending < SPARE_EVENTS:
            return NEEDS_EVENTS
        root.now_ns = time_ns
        root.events_run += 1
        code = pop_event(root)
        if root.flows_count > FEW_FLOWS:
            _read_next_ahead(root)
        kind = code // KIND
        index = code - kind * KIND
        if kind == EVENT_TRANSMITTED:
            transmitted(root, index)
        elif kind == EVENT_ACK:
            _ack_arrived(root, index)
        elif kind == EVENT_ARRIVAL:
            _wire_arrival(root, index)
        elif kind == EVENT_PACE:
            pace_due(root, index)
        else:
            _rare(root, kind, index)
        if root.wake != NONE:
            flow_index = root.wake
            root.wake = NONE
            if flows(root)[flow_index].life == ESTABLISHED:
                send_pending(root, flow_index)
        if root.outbox_head != NONE:
            empty_outbox(root)
    root.now_ns = max(root.now_ns, until_ns)
    for queue_index in range(root.queues_count):
        settle(root, queue_index)
    return DONE
