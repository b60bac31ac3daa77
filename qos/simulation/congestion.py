"""The contract of congestion control: which function of which algorithm answers each event."""

# mypy: disable-error-code="no-any-return"
# Compiled code reads records, whose fields the type checker does not know.
from __future__ import annotations

from qos.compiled import compiled, inlined
from qos.simulation.layout import BBR, BIC, CUBIC, LOSS, VEGAS
from qos.simulation.scoreboard import in_flight
from qos.simulation.senders.bbr import bbr_update
from qos.simulation.senders.bic import bic_increase, bic_ssthresh
from qos.simulation.senders.cubic import cubic_increase, cubic_reset, cubic_sample, cubic_ssthresh
from qos.simulation.senders.newreno import newreno_increase, newreno_ssthresh
from qos.simulation.senders.vegas import vegas_increase, vegas_sample
from schedulers.packet.layout import Record

SLOW_START_PACING = 2.0
PACING = 1.2
"""Pacing rates in windows a round-trip time, as Linux has them."""


@inlined
def on_sample(root: Record, flow: Record) -> None:
    """Tell of the round-trip time, in every state."""
    if flow.sender == CUBIC:
        cubic_sample(flow, root.now_ns, flow.srtt_ns)
    elif flow.sender == VEGAS:
        vegas_sample(flow, flow.rtt_ns)


@inlined
def increase_window(root: Record, flow: Record, segments_acked: int) -> None:
    """Grow the window; called for new data acknowledged outside of recovery."""
    sender = flow.sender
    if sender == CUBIC:
        cubic_increase(flow, root.now_ns, segments_acked)
    elif sender == BIC:
        bic_increase(flow, segments_acked)
    elif sender == VEGAS:
        vegas_increase(flow, segments_acked)
    elif sender != BBR:
        newreno_increase(flow, segments_acked)


@compiled
def reduced_threshold(flow: Record, in_flight_bytes: int) -> int:
    """Give the slow start threshold after a loss or a mark."""
    sender = flow.sender
    if sender == CUBIC:
        return cubic_ssthresh(flow)
    if sender == BIC:
        return bic_ssthresh(flow, in_flight_bytes)
    return newreno_ssthresh(flow, in_flight_bytes)


@inlined
def on_model(root: Record, flow: Record) -> None:
    """Tell of every acknowledgement at its end; set the pacing rate."""
    if flow.sender == BBR:
        bbr_update(flow, root.now_ns, in_flight(flow))
    elif flow.pacing and flow.srtt_ns > 0:
        gain = SLOW_START_PACING if flow.cwnd_bytes < flow.ssthresh_bytes else PACING
        flow.pacing_rate_bps = gain * flow.cwnd_bytes * 8e9 / flow.srtt_ns


@compiled
def on_state(root: Record, flow: Record, state: int) -> None:
    """Change the state of the sender."""
    flow.state = state
    if state == LOSS and flow.sender == CUBIC:
        cubic_reset(flow, root.now_ns)
