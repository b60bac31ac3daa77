"""What the applications want to send, and when."""

# mypy: disable-error-code="no-any-return"
# Compiled code reads records, whose fields the type checker does not know.
from __future__ import annotations

import math

from qos.compiled import compiled, inlined
from qos.simulation.layout import (
    ADAPTIVE_BITRATE,
    CONNECTING,
    CONSTANT_RATE,
    DATAGRAMS,
    ESTABLISHED,
    EVENT_APPLICATION,
    FIXED,
    ON_OFF,
    REPLAY,
    REQUEST_RESPONSE,
    STOPPED,
    WAITING,
)
from qos.simulation.memory import flows, schedule, tables
from qos.simulation.receiver import SYN_BYTES
from qos.simulation.rtt import smooth_rtt, start_timer
from qos.simulation.sending import send_packet
from schedulers.packet.layout import PACKET_DATAGRAM, PACKET_PURE_ACK, PACKET_SYN, Record
from schedulers.packet.memory import uniform

SECOND_NS = 1_000_000_000


@compiled
def _exponential_ns(flow: Record, mean_s: float) -> int:
    return int(-mean_s * math.log(1.0 - uniform(flow)) * SECOND_NS)


@compiled
def established(root: Record, flow_index: int) -> None:
    """Start the application of a connection that can carry data now."""
    flow = flows(root)[flow_index]
    flow.life = ESTABLISHED
    flow.rto_deadline_ns = 0
    application = flow.application
    if application == FIXED:
        flow.app_total_bytes = flow.app_size_bytes
    elif application == REQUEST_RESPONSE:
        _respond(root, flow)
    elif application == ADAPTIVE_BITRATE:
        flow.app_buffer_stamp_ns = root.now_ns
        _next_chunk(root, flow)
    elif application in (CONSTANT_RATE, ON_OFF, REPLAY):
        schedule(root, root.now_ns, EVENT_APPLICATION, flow_index)
    root.wake = flow_index


@compiled
def handshake_done(root: Record, flow_index: int, echo_ns: int) -> None:
    """End the handshake with the third packet; its round trip may be the first sample."""
    flow = flows(root)[flow_index]
    if flow.life != CONNECTING:
        return
    if flow.handshake_sample:
        smooth_rtt(flow, root.now_ns, echo_ns)
    send_packet(root, flow_index, 0, flow.header_bytes, PACKET_PURE_ACK)
    established(root, flow_index)


@compiled
def application_due(root: Record, flow_index: int) -> None:
    """Start, stop, or go on with a flow's application."""
    flow = flows(root)[flow_index]
    if flow.life == STOPPED:
        return
    if root.now_ns >= flow.stop_ns:
        flow.life = STOPPED
        flow.app_total_bytes = flow.written_bytes
        flow.rto_deadline_ns = 0
        return
    if flow.life == WAITING:
        schedule(root, flow.stop_ns, EVENT_APPLICATION, flow_index)
        if flow.sender != DATAGRAMS and flow.handshake:
            flow.life = CONNECTING
            start_timer(root, flow_index, flow)
            send_packet(root, flow_index, 0, SYN_BYTES, PACKET_SYN)
        else:
            established(root, flow_index)
        return
    application = flow.application
    if application == REQUEST_RESPONSE:
        _respond(root, flow)
        root.wake = flow_index
    elif application == ADAPTIVE_BITRATE:
        _next_chunk(root, flow)
        root.wake = flow_index
    elif application == REPLAY:
        _replay(root, flow_index)
    else:
        _tick(root, flow_index)


@compiled
def _produce(root: Record, flow_index: int, size_bytes: int) -> None:
    """Hand over one message of the application."""
    flow = flows(root)[flow_index]
    if flow.sender == DATAGRAMS:
        send_packet(root, flow_index, flow.next, size_bytes + flow.header_bytes, PACKET_DATAGRAM)
        flow.next += 1
    else:
        flow.app_total_bytes += size_bytes
        root.wake = flow_index


@compiled
def _tick(root: Record, flow_index: int) -> None:
    """Send the next packet of a constant or on/off source."""
    flow = flows(root)[flow_index]
    now = root.now_ns
    if flow.application == ON_OFF and now >= flow.app_until_ns:
        flow.app_on = 1 - flow.app_on
        mean_s = flow.app_on_s if flow.app_on else flow.app_off_s
        flow.app_until_ns = now + max(_exponential_ns(flow, mean_s), 1)
        if flow.app_on == 0:
            schedule(root, flow.app_until_ns, EVENT_APPLICATION, flow_index)
            return
    _produce(root, flow_index, flow.app_size_bytes)
    schedule(root, now + flow.app_period_ns, EVENT_APPLICATION, flow_index)


@compiled
def _replay(root: Record, flow_index: int) -> None:
    """Send the next packet of a recorded pattern: pairs of a time after the start and a size."""
    flow = flows(root)[flow_index]
    pattern = tables(root)
    place = flow.app_ladder + 2 * flow.app_level
    while flow.app_level < flow.app_ladder_length:
        due_ns = flow.start_ns + pattern[place]
        if due_ns > root.now_ns:
            schedule(root, due_ns, EVENT_APPLICATION, flow_index)
            return
        send_packet(root, flow_index, flow.next, pattern[place + 1], PACKET_DATAGRAM)
        flow.next += 1
        flow.app_level += 1
        place += 2


@compiled
def _respond(root: Record, flow: Record) -> None:
    """Begin the next response."""
    flow.app_total_bytes += flow.app_size_bytes
    flow.app_transfer_start_ns = root.now_ns


@compiled
def _next_chunk(root: Record, flow: Record) -> None:
    """Ask for a chunk of the bitrate that the buffer allows.

    Huang et al., "A buffer-based approach to rate adaptation", SIGCOMM 2014, section 4: a linear map from the
    buffer, above a reservoir of one chunk, to the ladder.
    """
    _play(root, flow)
    top = flow.app_ladder_length - 1
    usable = flow.app_buffer_max_ns - 2 * flow.app_period_ns
    filled = flow.app_buffer_ns - flow.app_period_ns
    level = 0
    if filled > 0:
        level = min(top, int(filled * (top + 1) // max(usable, 1)))
    flow.app_level = level
    flow.app_level_sum += level
    rate_bps = tables(root)[flow.app_ladder + level]
    flow.app_total_bytes += rate_bps * flow.app_period_ns // (8 * SECOND_NS)
    flow.app_transfer_start_ns = root.now_ns


@compiled
def _play(root: Record, flow: Record) -> None:
    """Play from the buffer since the last look; count where it ran dry."""
    elapsed = root.now_ns - flow.app_buffer_stamp_ns
    flow.app_buffer_stamp_ns = root.now_ns
    if flow.app_transfers == 0:
        return
    missing = max(elapsed - flow.app_buffer_ns, 0)
    flow.app_stalled_ns += missing
    flow.app_buffer_ns -= elapsed - missing


@inlined
def transfer_done(root: Record, flow_index: int) -> None:
    """Look whether all data was acknowledged, and let the application go on."""
    flow = flows(root)[flow_index]
    application = flow.application
    if application not in (REQUEST_RESPONSE, ADAPTIVE_BITRATE) or flow.una_bytes < flow.app_total_bytes:
        return
    if flow.app_transfer_start_ns < 0:
        return
    now = root.now_ns
    duration = now - flow.app_transfer_start_ns
    flow.app_transfer_start_ns = -1
    wait_ns = 0
    if application == REQUEST_RESPONSE:
        wait_ns = _exponential_ns(flow, flow.app_off_s)
    else:
        _play(root, flow)
        flow.app_buffer_ns += flow.app_period_ns
        wait_ns = max(flow.app_buffer_ns + flow.app_period_ns - flow.app_buffer_max_ns, 0)
    flow.app_transfers += 1
    flow.app_transfer_sum_ns += duration
    schedule(root, now + wait_ns, EVENT_APPLICATION, flow_index)
