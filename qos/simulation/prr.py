"""How the window moves during recovery: at once to the threshold, or by proportional rate reduction."""

# mypy: disable-error-code="no-any-return"
# Compiled code reads records, whose fields the type checker does not know.
from __future__ import annotations

from qos.compiled import compiled
from qos.simulation.layout import BBR, RECOVERY_PRR
from qos.simulation.scoreboard import in_flight
from qos.simulation.senders.bbr import bbr_begin_recovery, bbr_end_recovery
from schedulers.packet.layout import Record


@compiled
def begin_reduction(flow: Record) -> None:
    """Enter recovery: the classic way sets the window to the threshold (RFC 6675, step 4.2)."""
    if flow.sender == BBR:
        bbr_begin_recovery(flow, in_flight(flow))
    elif flow.recovery_kind == RECOVERY_PRR:
        flow.prr_delivered = 0
        flow.prr_out = 0
        flow.prr_flight = flow.cwnd_bytes if flow.linux else max(in_flight(flow), 1)
        if flow.linux:
            flow.count = 0
        step_reduction(flow)
    else:
        flow.cwnd_bytes = flow.ssthresh_bytes


@compiled
def end_reduction(flow: Record) -> None:
    """Leave recovery: the window becomes the threshold (RFC 5681, section 3.2, step 6)."""
    if flow.sender == BBR:
        bbr_end_recovery(flow)
    else:
        flow.cwnd_bytes = flow.ssthresh_bytes


@compiled
def step_reduction(flow: Record) -> None:
    """Follow one acknowledgement in recovery (RFC 6937, section 3, with the slow start reduction bound)."""
    if flow.recovery_kind != RECOVERY_PRR or flow.newly_delivered == 0 or flow.sender == BBR:
        return
    if flow.linux:
        if flow.prr_counted:
            return
        flow.prr_counted = 1
    delivered = flow.newly_delivered
    flow.prr_delivered += delivered
    pipe = in_flight(flow)
    if pipe > flow.ssthresh_bytes:
        allowed = -(-flow.prr_delivered * flow.ssthresh_bytes // flow.prr_flight) - flow.prr_out
    else:
        limit = max(flow.prr_delivered - flow.prr_out, delivered)
        if flow.una_advanced and flow.newly_lost == 0 if flow.linux else flow.retransmission_acked:
            limit += flow.mss_bytes
        allowed = min(limit, flow.ssthresh_bytes - pipe)
    if flow.prr_out == 0:
        allowed = max(allowed, flow.mss_bytes)
    flow.cwnd_bytes = pipe + max(allowed, 0)
