"""BIC: binary increase congestion control (Xu, Harfoush, Rhee, IEEE INFOCOM 2004), as Linux has it."""

# mypy: disable-error-code="no-any-return"
# Compiled code reads records, whose fields the type checker does not know.
from __future__ import annotations

from qos.compiled import compiled
from qos.simulation.senders.newreno import slow_start
from schedulers.packet.layout import Record

BETA = 0.8
MOST_SEGMENTS = 16
LOW_WINDOW = 14
SMOOTH_PART = 5
B = 4
FIRST_EPOCH_ACKS = 20


@compiled
def _acks_for_one_more(window: int, w_max: int) -> int:
    """Give the number of acknowledged segments after which the window grows by one."""
    if window < LOW_WINDOW:
        return window
    if window < w_max:
        distance = (w_max - window) // B
        if distance > MOST_SEGMENTS:
            wait = window // MOST_SEGMENTS
        elif distance <= 1:
            wait = window * SMOOTH_PART // B
        else:
            wait = window // distance
    elif window < w_max + B:
        wait = window * SMOOTH_PART // B
    elif window < w_max + MOST_SEGMENTS * (B - 1):
        wait = window * (B - 1) // (window - w_max)
    else:
        wait = window // MOST_SEGMENTS
    if w_max == 0:
        wait = min(wait, FIRST_EPOCH_ACKS)
    return max(wait, 1)


@compiled
def bic_increase(flow: Record, segments_acked: int) -> None:
    """Grow the window on an acknowledgement of `segments_acked` new segments."""
    left = slow_start(flow, segments_acked)
    if flow.cwnd_bytes >= flow.ssthresh_bytes and left > 0:
        flow.count += left
        if flow.count > _acks_for_one_more(flow.cwnd_bytes // flow.mss_bytes, flow.w_max):
            flow.cwnd_bytes += flow.mss_bytes
            flow.count = 0


@compiled
def bic_ssthresh(flow: Record, in_flight_bytes: int) -> int:
    """Reduce to beta, with fast convergence; like NewReno when the window is small."""
    window = flow.cwnd_bytes // flow.mss_bytes
    flow.w_max = int(window * BETA) if window < flow.w_max else window
    if window < LOW_WINDOW:
        return max(2 * flow.mss_bytes, in_flight_bytes // 2)
    return int(max(window * BETA, 2.0) * flow.mss_bytes)
