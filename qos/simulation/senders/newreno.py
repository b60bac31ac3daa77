"""NewReno: slow start and congestion avoidance of RFC 5681, section 3.1."""

# mypy: disable-error-code="no-any-return"
# Compiled code reads records, whose fields the type checker does not know.
from __future__ import annotations

from qos.compiled import compiled, inlined
from schedulers.packet.layout import Record


@inlined
def newreno_increase(flow: Record, segments_acked: int) -> None:
    """Grow the window on an acknowledgement of `segments_acked` new segments."""
    mss = flow.mss_bytes
    if flow.cwnd_bytes < flow.ssthresh_bytes and segments_acked >= 1:
        flow.cwnd_bytes += mss
        segments_acked -= 1
    if flow.cwnd_bytes >= flow.ssthresh_bytes and segments_acked > 0:
        flow.cwnd_bytes += max(mss * mss // flow.cwnd_bytes, 1)


@compiled
def newreno_ssthresh(flow: Record, in_flight_bytes: int) -> int:
    """Halve (RFC 5681, equation 4)."""
    return max(2 * flow.mss_bytes, in_flight_bytes // 2)
