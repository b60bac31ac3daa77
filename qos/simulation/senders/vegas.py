"""Vegas: congestion avoidance by delay (Brakmo, O'Malley, Peterson, SIGCOMM 1994), once a round trip."""

# mypy: disable-error-code="no-any-return"
# Compiled code reads records, whose fields the type checker does not know.
from __future__ import annotations

from qos.compiled import compiled
from qos.simulation.senders.newreno import newreno_increase
from schedulers.packet.layout import Record

ALPHA = 2
BETA = 4
GAMMA = 1
LEAST_SAMPLES = 3
FAR = 1 << 62


@compiled
def vegas_sample(flow: Record, rtt_ns: int) -> None:
    """Take a round-trip time."""
    if rtt_ns <= 0:
        return
    if flow.vegas_base_ns == 0 or rtt_ns < flow.vegas_base_ns:
        flow.vegas_base_ns = rtt_ns
    if flow.vegas_count == 0 or rtt_ns < flow.vegas_min_ns:
        flow.vegas_min_ns = rtt_ns
    flow.vegas_count += 1


@compiled
def _adjust(flow: Record) -> None:
    """Compare what is in flight with what would be without queues."""
    mss = flow.mss_bytes
    window = flow.cwnd_bytes // mss
    target = window * flow.vegas_base_ns // flow.vegas_min_ns
    excess = window - target
    slow_start = flow.cwnd_bytes < flow.ssthresh_bytes
    if slow_start and excess > GAMMA:
        flow.cwnd_bytes = max(min(window, target + 1), 2) * mss
        flow.ssthresh_bytes = flow.cwnd_bytes
    elif slow_start:
        newreno_increase(flow, 1)
    elif excess > BETA:
        flow.cwnd_bytes = max(window - 1, 2) * mss
        flow.ssthresh_bytes = min(flow.ssthresh_bytes, max(flow.cwnd_bytes - mss, 2 * mss))
    elif excess < ALPHA:
        flow.cwnd_bytes += mss


@compiled
def vegas_increase(flow: Record, segments_acked: int) -> None:
    """Grow or shrink the window; like NewReno where a round had too few samples."""
    if flow.una_bytes >= flow.vegas_end:
        flow.vegas_end = flow.next_bytes
        if flow.vegas_count >= LEAST_SAMPLES:
            _adjust(flow)
        else:
            newreno_increase(flow, segments_acked)
        flow.vegas_count = 0
        flow.vegas_min_ns = FAR
    elif flow.cwnd_bytes < flow.ssthresh_bytes:
        newreno_increase(flow, segments_acked)
