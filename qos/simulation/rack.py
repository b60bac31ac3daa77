"""RACK-TLP: loss detection by time, and a probe for lost tails (RFC 8985)."""

# mypy: disable-error-code="no-any-return"
# Compiled code reads records, whose fields the type checker does not know.
from __future__ import annotations

from qos.compiled import compiled
from qos.simulation.layout import DISORDER, EVENT_RACK, LOST, OPEN, RETRANSMITTED, SACKED
from qos.simulation.memory import flows, schedule, slot
from qos.simulation.rtt import start_timer, timer_end
from qos.simulation.scoreboard import mark_lost
from qos.simulation.sending import send_probe
from schedulers.packet.layout import Record

DUPLICATE_THRESHOLD = 3
LEAST_PROBE_NS = 10_000_000
LEAST_TICKS = 2
"""Linux sets these timers to two ticks more than wanted (`TCP_TIMEOUT_MIN`)."""


@compiled
def _lose(flow: Record, segment: Record) -> None:
    """Mark a segment, or its retransmission, as lost."""
    if segment.flags & RETRANSMITTED:
        segment.flags &= ~RETRANSMITTED
        flow.retransmitted_bytes -= segment.size_bytes
    if segment.flags & LOST == 0:
        mark_lost(flow, segment)


@compiled
def rack_judge(root: Record, flow_index: int, flow: Record) -> None:
    """Mark as lost what was sent a reordering window before something that arrived (section 6.2, step 5).

    This network does not reorder, so the window is a quarter of the least round-trip time until three
    segments are SACKed or recovery has begun, and nothing afterwards.
    """
    many = flow.sacked_bytes >= DUPLICATE_THRESHOLD * flow.mss_bytes or flow.state > DISORDER
    window_ns = 0 if many else flow.min_rtt_ns // 4
    wait_ns = 0
    for number in range(flow.una, flow.next):
        segment = slot(root, flow, number)
        if segment.flags & SACKED or segment.flags & (LOST | RETRANSMITTED) == LOST:
            continue
        if segment.sent_ns >= flow.rack_sent_ns:
            continue
        left_ns = segment.sent_ns + flow.rack_rtt_ns + window_ns - root.now_ns
        if left_ns <= 0:
            _lose(flow, segment)
            flow.retransmit_from = min(flow.retransmit_from, number)
        else:
            wait_ns = max(wait_ns, left_ns)
    flow.rack_deadline_ns = 0
    if wait_ns > 0:
        flow.rack_deadline_ns = timer_end(flow, root.now_ns, wait_ns + LEAST_TICKS * flow.timer_tick_ns)
        _ask(root, flow_index, flow, flow.rack_deadline_ns)


@compiled
def _ask(root: Record, flow_index: int, flow: Record, time_ns: int) -> None:
    """Have the timer looked at, at that time or before."""
    if flow.rack_event_ns == 0 or time_ns < flow.rack_event_ns:
        flow.rack_event_ns = time_ns
        schedule(root, time_ns, EVENT_RACK, flow_index)


@compiled
def arm_probe(root: Record, flow_index: int, flow: Record) -> None:
    """Set the probe's timer to two round trips (section 7.2)."""
    flow.tlp_deadline_ns = 0
    quiet = flow.state == OPEN and flow.sacked_bytes == 0 and flow.una < flow.next
    if quiet and flow.tlp_outstanding == 0 and flow.srtt_ns > 0:
        is_single = flow.next == flow.una + 1
        wait_ns = max(2 * flow.srtt_ns, LEAST_PROBE_NS)
        if flow.linux:
            wait_ns += flow.min_rto_ns if is_single else LEAST_TICKS * flow.timer_tick_ns
        elif is_single and flow.ack_every > 1:
            wait_ns += flow.delayed_ack_ns
        flow.tlp_deadline_ns = timer_end(flow, root.now_ns, wait_ns)
        if flow.linux and flow.rto_deadline_ns > root.now_ns:
            # Linux has one timer for both: the probe takes the timeout's place, which then starts anew.
            flow.tlp_deadline_ns = min(flow.tlp_deadline_ns, flow.rto_deadline_ns - 1)
        _ask(root, flow_index, flow, flow.tlp_deadline_ns)


@compiled
def rack_timer(root: Record, flow_index: int) -> bool:
    """Look at the two timers; say whether segments were found lost outside of recovery."""
    flow = flows(root)[flow_index]
    now = root.now_ns
    if now != flow.rack_event_ns:
        return False
    flow.rack_event_ns = 0
    if 0 < flow.rack_deadline_ns <= now:
        rack_judge(root, flow_index, flow)
        root.wake = flow_index
    if 0 < flow.tlp_deadline_ns <= now:
        flow.tlp_deadline_ns = 0
        flow.tlp_outstanding = 1
        send_probe(root, flow_index)
        start_timer(root, flow_index, flow)
    if flow.rack_deadline_ns > now:
        _ask(root, flow_index, flow, flow.rack_deadline_ns)
    if flow.tlp_deadline_ns > now:
        _ask(root, flow_index, flow, flow.tlp_deadline_ns)
    return flow.lost_bytes > 0 and flow.state <= DISORDER
