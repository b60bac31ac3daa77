"""The contract of congestion control: which function of which algorithm answers each event."""

from __future__ import annotations

from qos.compiled import compiled, inlined
from qos.simulation.layout import BIC, CUBIC, LOSS
from qos.simulation.senders.bic import bic_increase, bic_ssthresh
from qos.simulation.senders.cubic import cubic_increase, cubic_reset, cubic_sample, cubic_ssthresh
from qos.simulation.senders.newreno import newreno_increase, newreno_ssthresh
from schedulers.packet.layout import Record


@inlined
def on_sample(root: Record, flow: Record, segments_acked: int) -> None:
    """Tell of acknowledged segments and the round-trip time, in every state."""
    if flow.sender == CUBIC:
        cubic_sample(flow, root.now_ns, flow.srtt_ns)


@inlined
def increase_window(root: Record, flow: Record, segments_acked: int) -> None:
    """Grow the window; called for new data acknowledged outside of recovery."""
    sender = flow.sender
    if sender == CUBIC:
        cubic_increase(flow, root.now_ns, segments_acked)
    elif sender == BIC:
        bic_increase(flow, segments_acked)
    else:
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


@compiled
def on_state(root: Record, flow: Record, state: int) -> None:
    """Change the state of the sender."""
    flow.state = state
    if state == LOSS and flow.sender == CUBIC:
        cubic_reset(flow, root.now_ns)
