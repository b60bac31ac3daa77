"""What a sender may send now, and sends."""

# mypy: disable-error-code="no-any-return"
# Compiled code reads records, whose fields the type checker does not know.
from __future__ import annotations

from qos.compiled import compiled, inlined
from qos.simulation.congestion import PACING, SLOW_START_PACING
from qos.simulation.layout import (
    APP_LIMITED,
    BBR,
    BULK,
    EVENT_PACE,
    EVER_RETRANSMITTED,
    LOSS,
    LOST,
    RECOVERY,
    REDUCED,
    RETRANSMITTED,
    SACKED,
)
from qos.simulation.memory import flows, post, schedule, slot
from qos.simulation.rtt import start_timer
from qos.simulation.scoreboard import first_unsacked, grow_ring, in_flight, next_lost
from qos.simulation.senders.bbr import BURST_S, bbr_burst_segments
from schedulers.packet.layout import NONE, PACKET_ECT, PACKET_RETRANSMISSION, Record
from schedulers.packet.memory import packets, take

DEFER_NS = 1_000_000
WINDOW_SHARE = 3


@inlined
def send_packet(root: Record, flow_index: int, segment: int, size_bytes: int, flags: int) -> None:
    """Make a packet and send it on the flow's path."""
    flow = flows(root)[flow_index]
    index = take(root)
    packet = packets(root)[index]
    packet.flow = flow_index
    packet.segment = segment
    packet.sent_ns = root.now_ns
    packet.size_bytes = size_bytes
    packet.flags = flags
    packet.hop = 0
    flow.sent_packets += 1
    flow.sent_bytes += size_bytes
    post(root, index)


@inlined
def write_more(flow: Record) -> None:
    """Let the application fill the socket buffer."""
    room = flow.una_bytes + flow.send_buffer_bytes - flow.written_bytes
    if flow.application == BULK:
        if room >= flow.write_bytes:
            flow.written_bytes += room // flow.write_bytes * flow.write_bytes
    elif room > 0:
        flow.written_bytes = min(flow.app_total_bytes, flow.written_bytes + room)


@compiled
def transmit_segment(root: Record, flow_index: int, number: int) -> None:
    """Send a segment of the scoreboard, for the first time or again."""
    flow = flows(root)[flow_index]
    segment = slot(root, flow, number)
    if flow.next_bytes - flow.una_bytes == flow.sacked_bytes + flow.lost_bytes:
        # Nothing is in flight: the rate sample starts anew.
        flow.first_sent_ns = root.now_ns
        flow.delivered_ns = root.now_ns
    segment.sent_ns = root.now_ns
    segment.first_sent_ns = flow.first_sent_ns
    segment.delivered_ns = flow.delivered_ns
    segment.delivered_bytes = flow.delivered_bytes
    size = segment.size_bytes
    segment.flags &= ~APP_LIMITED
    if flow.app_limited_bytes > 0:
        segment.flags |= APP_LIMITED
    flags = PACKET_ECT if flow.ecn else 0
    if flow.state == RECOVERY or flow.state == REDUCED:
        flow.prr_out += size
    if number < flow.next:
        flags = PACKET_RETRANSMISSION
        flow.retransmissions += 1
        if segment.flags & RETRANSMITTED == 0:
            segment.flags |= RETRANSMITTED
            flow.retransmitted_bytes += size
        segment.flags |= EVER_RETRANSMITTED
    else:
        flow.next += 1
        flow.next_bytes += size
    if flow.rto_deadline_ns == 0:
        start_timer(root, flow_index, flow)
    send_packet(root, flow_index, number, size + flow.header_bytes, flags)


@inlined
def _prepare_new(root: Record, flow: Record, available: int) -> int:
    """Make the next new segment; `NONE` if there is no data or no window for it."""
    if flow.written_bytes - flow.next_bytes < available:
        write_more(flow)
    unsent = flow.written_bytes - flow.next_bytes
    open_window = flow.receive_window_bytes - (flow.next_bytes - flow.una_bytes)
    if unsent <= 0 or open_window <= 0:
        return NONE
    # Silly window avoidance (RFC 1122, section 4.2.3.4).
    if available < flow.mss_bytes and unsent > available:
        return NONE
    if flow.next - flow.una >= flow.ring_size:
        grow_ring(root, flow)
    segment = slot(root, flow, flow.next)
    segment.size_bytes = min(flow.mss_bytes, available, open_window, unsent)
    segment.flags = 0
    number: int = flow.next
    return number


@inlined
def _choose(root: Record, flow: Record, available: int) -> int:
    """Find the next segment to send (RFC 6675, NextSeg), `NONE` if there is none."""
    if flow.lost_bytes > 0:
        number = next_lost(root, flow)
        if number != NONE:
            enough = available >= flow.mss_bytes or flow.written_bytes - flow.una_bytes <= available
            return number if enough else NONE
    number = _prepare_new(root, flow, available)
    if number == NONE and flow.state == RECOVERY and flow.written_bytes == flow.next_bytes:
        return first_unsacked(root, flow)
    return number


@inlined
def _paced(root: Record, flow_index: int, flow: Record) -> bool:
    """Say whether the pacer holds the flow back; ask to be woken then."""
    if root.now_ns >= flow.pace_next_ns:
        return False
    if flow.pace_event == 0:
        flow.pace_event = 1
        schedule(root, flow.pace_next_ns, EVENT_PACE, flow_index)
    return True


@inlined
def _burst_bytes(flow: Record) -> int:
    """Give what Linux likes to send at once: a 1024th of a second's worth, at least two segments."""
    window = max(flow.cwnd_bytes, (flow.next - flow.una) * flow.mss_bytes)
    gain = SLOW_START_PACING if flow.cwnd_bytes < flow.ssthresh_bytes // 2 else PACING
    segments = int(gain * window * 1e9 / flow.srtt_ns * BURST_S / flow.mss_bytes)
    return max(segments, 2) * flow.mss_bytes


@compiled
def _is_deferred(root: Record, flow: Record, available: int) -> bool:
    """Say whether Linux waits for room for a whole burst (tcp_tso_should_defer).

    Not where it sent nothing for a millisecond, where a third of the window is free, in recovery, or where
    the next acknowledgement is half a round trip away. A burst of two is what an acknowledgement frees; the
    odd segment that stays over goes with the application's next write, here at once.
    """
    if flow.state == RECOVERY or flow.state == LOSS or flow.una == flow.next or flow.srtt_ns == 0:
        return False
    now = root.now_ns
    if now - flow.pace_next_ns > DEFER_NS or flow.written_bytes - flow.next_bytes <= available:
        return False
    burst_bytes = _burst_bytes(flow)
    is_pair = burst_bytes <= 2 * flow.mss_bytes
    if is_pair or available >= min(burst_bytes, flow.cwnd_bytes // WINDOW_SHARE):
        return False
    waited_ns: int = now - slot(root, flow, flow.una).sent_ns
    return waited_ns >= flow.srtt_ns // 2


@inlined
def _note_idle(flow: Record) -> None:
    """Remember that not the window ended what is sent (delivery rate draft, section 3.4)."""
    if flow.written_bytes == flow.next_bytes and flow.lost_bytes <= flow.retransmitted_bytes:
        flow.app_limited_bytes = max(flow.delivered_bytes + in_flight(flow), 1)


@inlined
def send_pending(root: Record, flow_index: int) -> None:
    """Send what window, data and pacing allow (RFC 6675, section 5, step C)."""
    flow = flows(root)[flow_index]
    burst = 0
    credit_ns = 0
    while True:
        available = min(flow.cwnd_bytes, flow.receive_window_bytes) - in_flight(flow)
        if available <= 0:
            return
        if flow.pacing and burst == 0:
            if _paced(root, flow_index, flow):
                return
            burst = bbr_burst_segments(flow) if flow.sender == BBR else 1
            if flow.linux and flow.pace_next_ns > 0:
                credit_ns = root.now_ns - flow.pace_next_ns
        elif flow.linux and flow.pacing == 0 and burst == 0:
            if _is_deferred(root, flow, available):
                return
            burst = _burst_bytes(flow) // flow.mss_bytes if flow.srtt_ns > 0 else 1
        number = _choose(root, flow, available)
        if number == NONE:
            _note_idle(flow)
            return
        if flow.linux and flow.pacing == 0:
            burst -= 1
            flow.pace_next_ns = root.now_ns
        if flow.pacing and flow.pacing_rate_bps > 0.0:
            # Rates are of payload, as delivery is measured: Linux paces by the length without headers.
            size = slot(root, flow, number).size_bytes
            start_ns = max(flow.pace_next_ns, root.now_ns)
            length_ns = int(size * 8e9 / flow.pacing_rate_bps)
            # Who comes late waits less afterwards, by half at most (tcp_update_skb_after_send of Linux).
            paid_ns = min(length_ns // 2, credit_ns)
            credit_ns -= paid_ns
            flow.pace_next_ns = start_ns + length_ns - paid_ns
            burst -= 1
        transmit_segment(root, flow_index, number)


@compiled
def retransmit_or_send(root: Record, flow_index: int) -> None:
    """Send one segment whatever the window says: the next lost one, else a new one, else the head."""
    flow = flows(root)[flow_index]
    number = next_lost(root, flow) if flow.lost_bytes > 0 else NONE
    if number == NONE:
        number = _prepare_new(root, flow, flow.mss_bytes)
    if number == NONE and flow.una < flow.next:
        number = flow.una
    if number != NONE:
        transmit_segment(root, flow_index, number)


@compiled
def send_probe(root: Record, flow_index: int) -> None:
    """Send a new segment if there is one, else the last one again (RFC 8985, section 7.3)."""
    flow = flows(root)[flow_index]
    if flow.una == flow.next:
        return
    number = _prepare_new(root, flow, flow.mss_bytes)
    if number == NONE:
        number = flow.next - 1
        if slot(root, flow, number).flags & SACKED:
            return
    transmit_segment(root, flow_index, number)


@compiled
def mark_head_lost(flow: Record, segment: Record) -> None:
    """Count the head as lost although fewer than three segments above it were SACKed."""
    if segment.flags & LOST == 0:
        segment.flags |= LOST
        flow.lost_bytes += segment.size_bytes
        flow.ever_lost_bytes += segment.size_bytes
        flow.retransmit_from = flow.una
