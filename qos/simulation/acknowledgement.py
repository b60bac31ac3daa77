"""What an acknowledgement does to a sender: loss recovery of RFC 6675 with the states of Linux and ns-3."""

# mypy: disable-error-code="no-any-return"
# Compiled code reads records, whose fields the type checker does not know.
from __future__ import annotations

from qos.compiled import compiled, inlined
from qos.simulation.congestion import increase_window, on_model, on_sample, on_state, reduced_threshold
from qos.simulation.layout import (
    BBR,
    DCTCP,
    DISORDER,
    LOSS,
    LOST,
    OPEN,
    RECOVERY,
    RECOVERY_CLASSIC,
    REDUCED,
    RETRANSMITTED,
)
from qos.simulation.memory import flows, slot
from qos.simulation.prr import begin_reduction, end_reduction, step_reduction
from qos.simulation.rack import arm_probe, rack_judge, rack_timer
from qos.simulation.rtt import renew_rto, sample_rtt, start_timer
from qos.simulation.scoreboard import discard_until, head_is, in_flight, judge, sack, sack_all
from qos.simulation.senders.dctcp import dctcp_note
from qos.simulation.sending import mark_head_lost, retransmit_or_send, transmit_segment
from schedulers.packet.layout import PACKET_ECE, Record
from schedulers.packet.memory import packets

DUPLICATE_THRESHOLD = 3


@compiled
def _enter_recovery(root: Record, flow_index: int, flow: Record) -> None:
    """Begin loss recovery and send the first lost segment (RFC 6675, section 5, step 4)."""
    if flow.linux == 0:
        mark_head_lost(flow, slot(root, flow, flow.una))
    flow.recover = flow.next
    flow.recover_active = 1
    flow.recoveries += 1
    on_state(root, flow, RECOVERY)
    flow.ssthresh_bytes = reduced_threshold(flow, in_flight(flow))
    begin_reduction(flow)
    if flow.linux:
        return  # what is sent now is the window's affair
    if flow.recovery_kind == RECOVERY_CLASSIC or not head_is(root, flow, RETRANSMITTED):
        transmit_segment(root, flow_index, flow.una)


@inlined
def _is_lossy(root: Record, flow: Record) -> bool:
    """Say whether recovery must begin: the head is lost, in Linux anything."""
    return flow.lost_bytes > 0 if flow.linux else head_is(root, flow, LOST)


@compiled
def _duplicate(root: Record, flow_index: int, flow: Record) -> None:
    """Take an acknowledgement that SACKs something new (RFC 6675, section 2, DupAck)."""
    if flow.state == LOSS:
        return
    if flow.state == RECOVERY:
        step_reduction(flow)
        return
    flow.duplicates += 1
    if flow.state == OPEN:
        on_state(root, flow, DISORDER)
    elif flow.state == REDUCED:
        return
    fresh = flow.recover_active == 0 or flow.una >= flow.recover
    third = flow.duplicates == DUPLICATE_THRESHOLD and fresh
    if (third and flow.rack == 0) or _is_lossy(root, flow):
        _enter_recovery(root, flow_index, flow)


@compiled
def rack_due(root: Record, flow_index: int) -> None:
    """Look at the timers of RACK-TLP."""
    if rack_timer(root, flow_index):
        flow = flows(root)[flow_index]
        if _is_lossy(root, flow):
            if flow.linux:
                # No acknowledgement: one segment may be sent (tcp_rack_reo_timeout).
                flow.newly_delivered = flow.mss_bytes
                flow.newly_lost = flow.una_advanced = flow.prr_counted = 0
            _enter_recovery(root, flow_index, flow)


@inlined
def _new_data(root: Record, flow_index: int, flow: Record, restart: bool) -> None:
    """Restart the retransmission timer, stop it when all is acknowledged (RFC 6298, 5.2 and 5.3)."""
    if restart:
        renew_rto(flow)
        start_timer(root, flow_index, flow)
    if flow.una == flow.next:
        flow.rto_deadline_ns = 0


@compiled
def _partial(root: Record, flow_index: int, flow: Record, segments_acked: int) -> None:
    """Take an acknowledgement of new data below the recovery point (RFC 6675, step B; RFC 6582)."""
    if segments_acked >= 1:
        step_reduction(flow)
    # ns-3's classic recovery sends a segment here even where the head is not known to be lost.
    wanted = flow.recovery_kind == RECOVERY_CLASSIC or head_is(root, flow, LOST)
    if wanted and flow.linux == 0 and not head_is(root, flow, RETRANSMITTED):
        retransmit_or_send(root, flow_index)
    on_sample(root, flow)
    _new_data(root, flow_index, flow, flow.first_partial == 1)
    flow.first_partial = 0


@compiled
def _leave_disorder(root: Record, flow: Record, segments_acked: int, duplicates: int, is_dup: bool) -> None:
    if segments_acked >= duplicates:
        on_sample(root, flow)
    if not is_dup:
        on_state(root, flow, OPEN)


@compiled
def _complete(root: Record, flow: Record, segments_acked: int, beyond_segments: int) -> int:
    """Leave recovery or the state after a timeout; give the segments that count for the window."""
    was = flow.state
    flow.first_partial = 1
    counted = segments_acked if was == RECOVERY else beyond_segments
    on_sample(root, flow)
    on_state(root, flow, OPEN)
    if was == RECOVERY:
        flow.duplicates = 0
        end_reduction(flow)
    elif flow.sender == BBR:
        end_reduction(flow)
    return counted


@inlined
def _counted(flow: Record, segments_acked: int) -> int:
    """Give the segments by which the window grows; in Linux what was SACKed before counted then."""
    count: int = flow.newly_delivered // flow.mss_bytes if flow.linux else segments_acked
    return count


@inlined
def _cumulative(root: Record, flow_index: int, flow: Record, acked: int, beyond: int, is_dup: bool) -> None:
    """Take an acknowledgement of `acked` new bytes, `beyond` of them past the recovery point."""
    mss = flow.mss_bytes
    segments_acked = acked // mss
    whole = segments_acked
    flow.unaccounted_bytes += acked % mss
    if flow.unaccounted_bytes >= mss:
        flow.unaccounted_bytes -= mss
        segments_acked += 1
    duplicates = flow.duplicates
    if not is_dup:
        flow.duplicates = 0
    below = flow.una < flow.recover
    if below and flow.state == RECOVERY:
        _partial(root, flow_index, flow, segments_acked)
        return
    if below and flow.state == LOSS:
        on_sample(root, flow)
        increase_window(root, flow, _counted(flow, segments_acked))
        _new_data(root, flow_index, flow, True)
        return
    if flow.state == REDUCED:
        on_sample(root, flow)
        step_reduction(flow)
        _new_data(root, flow_index, flow, True)
        return
    if flow.state == OPEN:
        on_sample(root, flow)
    elif flow.state == DISORDER:
        _leave_disorder(root, flow, segments_acked, duplicates, is_dup)
    else:
        segments_acked = _complete(root, flow, whole, beyond // mss)
        if flow.linux and flow.lost_bytes > 0:
            # More was lost meanwhile: Linux is in recovery again before it looks at the window.
            _enter_recovery(root, flow_index, flow)
            _new_data(root, flow_index, flow, True)
            return
    if not below:
        flow.recover_active = 0
    if flow.state == OPEN or (flow.linux and flow.state == DISORDER):
        increase_window(root, flow, _counted(flow, segments_acked))
        _new_data(root, flow_index, flow, True)


@compiled
def _note_congestion(root: Record, flow: Record) -> None:
    """Reduce the window once a round trip because of an echoed mark (RFC 3168, section 6.1.2)."""
    if flow.state in (OPEN, DISORDER) and flow.una > flow.ece_until:
        flow.ssthresh_bytes = reduced_threshold(flow, in_flight(flow))
        on_state(root, flow, REDUCED)
        flow.recover = flow.next
        flow.ece_until = flow.next
        begin_reduction(flow)


@compiled
def _bytes_until(root: Record, flow: Record, number: int) -> int:
    """Count the bytes from the first unacknowledged segment to segment `number`."""
    total = 0
    for place in range(flow.una, min(number, flow.next)):
        total += slot(root, flow, place).size_bytes
    return total


@inlined
def acknowledged(root: Record, flow_index: int, index: int) -> None:
    """Process an acknowledgement that reached the sender, and send what it allows."""
    flow = flows(root)[flow_index]
    packet = packets(root)[index]
    cumulative = packet.cumulative
    flow.newly_delivered = 0
    flow.echo_seen_ns = packet.sent_ns
    flow.newly_lost = 0
    flow.retransmission_acked = 0
    flow.prr_counted = 0
    flow.prior_flight = in_flight(flow)
    flow.sample_prior_delivered = 0
    flow.sample_interval_ns = 0
    flow.sample_app_limited = 0
    sample_rtt(root, flow_index, flow, cumulative, packet.sent_ns)
    sacked = 0
    if packet.size_bytes > flow.header_bytes:
        if packet.received == flow.ack_seen + 1:
            if packet.segment >= cumulative:
                sacked = sack(root, flow, packet.segment)
        else:
            sacked = sack_all(root, flow, packet.received)
        if sacked > 0 and flow.rack == 0:
            judge(root, flow)
    flow.ack_seen = max(flow.ack_seen, packet.received)
    beyond = 0
    acked = 0
    if cumulative > flow.una:
        below_recover = _bytes_until(root, flow, flow.recover) if flow.state == LOSS else 0
        acked = discard_until(root, flow, cumulative)
        beyond = max(acked - below_recover, 0)
    flow.una_advanced = int(acked > 0)
    if flow.state == REDUCED and flow.una > flow.recover:
        on_state(root, flow, OPEN)
        end_reduction(flow)
    if flow.sender == DCTCP:
        dctcp_note(flow, acked, packet.flags & PACKET_ECE != 0)
    elif packet.flags & PACKET_ECE and acked > 0 and flow.sender != BBR:
        _note_congestion(root, flow)
    if flow.rack:
        if acked > 0:
            flow.tlp_outstanding = 0
        if flow.una < flow.next and flow.sacked_bytes > 0:
            rack_judge(root, flow_index, flow)
    if sacked > 0:
        _duplicate(root, flow_index, flow)
    if acked > 0:
        _cumulative(root, flow_index, flow, acked, beyond, sacked > 0)
    elif flow.una < flow.next:
        on_sample(root, flow)
    if flow.app_limited_bytes > 0 and flow.delivered_bytes > flow.app_limited_bytes:
        flow.app_limited_bytes = 0
    on_model(root, flow)
    if flow.rack:
        arm_probe(root, flow_index, flow)
    root.wake = flow_index
