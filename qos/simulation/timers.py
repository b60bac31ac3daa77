"""The timers of a sender: retransmission, pacing."""

# mypy: disable-error-code="no-any-return"
# Compiled code reads records, whose fields the type checker does not know.
from __future__ import annotations

from qos.compiled import compiled
from qos.simulation.congestion import on_state, reduced_threshold
from qos.simulation.layout import BBR, CONNECTING, EVENT_TIMEOUT, LOSS, STOPPED
from qos.simulation.memory import flows, schedule
from qos.simulation.receiver import SYN_BYTES
from qos.simulation.rtt import MOST_RTO_NS, start_timer
from qos.simulation.scoreboard import in_flight, lose_all
from qos.simulation.senders.bbr import bbr_timed_out
from qos.simulation.sending import send_packet
from schedulers.packet.layout import PACKET_SYN, Record


@compiled
def timeout_due(root: Record, flow_index: int) -> None:
    """Look whether the retransmission timer has run out, or only its event was met."""
    flow = flows(root)[flow_index]
    if root.now_ns != flow.rto_event_ns:
        return
    flow.rto_event_ns = 0
    if flow.rto_deadline_ns == 0 or flow.life == STOPPED:
        return
    if flow.rto_deadline_ns > root.now_ns:
        flow.rto_event_ns = flow.rto_deadline_ns
        schedule(root, flow.rto_deadline_ns, EVENT_TIMEOUT, flow_index)
        return
    flow.rto_deadline_ns = 0
    flow.rto_ns = min(2 * flow.rto_ns, MOST_RTO_NS)
    if flow.life == CONNECTING:
        start_timer(root, flow_index, flow)
        send_packet(root, flow_index, 0, SYN_BYTES, PACKET_SYN)
    elif flow.una < flow.next:
        _time_out(root, flow_index)


@compiled
def _time_out(root: Record, flow_index: int) -> None:
    """Begin again with one segment (RFC 5681, section 3.1; RFC 6675, section 5.1)."""
    flow = flows(root)[flow_index]
    flow.timeouts += 1
    before = in_flight(flow)
    if flow.sender == BBR and flow.linux:
        bbr_timed_out(flow, root.now_ns)
    flow.duplicates = 0
    lose_all(root, flow)
    flow.recover = flow.next
    flow.recover_active = 1
    flow.ssthresh_bytes = reduced_threshold(flow, before)
    on_state(root, flow, LOSS)
    flow.cwnd_bytes = flow.mss_bytes
    flow.pace_next_ns = 0
    root.wake = flow_index


@compiled
def pace_due(root: Record, flow_index: int) -> None:
    """Go on where the pacer had held the flow back."""
    flow = flows(root)[flow_index]
    flow.pace_event = 0
    root.wake = flow_index
