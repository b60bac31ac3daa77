"""NewReno: slow start and congestion avoidance of RFC 5681, section 3.1; bytes counted where it is wished.

RFC 5681 grows by at most one segment an acknowledgement in slow start, and by one step an acknowledgement
after it, as ns-3 does. Linux counts the segments that are acknowledged (appropriate byte counting, RFC 3465,
without a bound), so that delayed acknowledgements do not slow it down.
"""

# mypy: disable-error-code="no-any-return"
# Compiled code reads records, whose fields the type checker does not know.
from __future__ import annotations

from qos.compiled import compiled, inlined
from schedulers.packet.layout import Record


@inlined
def slow_start(flow: Record, segments_acked: int) -> int:
    """Grow the window in slow start; give the segments that are left for congestion avoidance."""
    if flow.cwnd_bytes < flow.ssthresh_bytes and segments_acked >= 1:
        steps = 1
        if flow.byte_counting:
            room = (flow.ssthresh_bytes - flow.cwnd_bytes + flow.mss_bytes - 1) // flow.mss_bytes
            steps = min(segments_acked, room)
        flow.cwnd_bytes += steps * flow.mss_bytes
        segments_acked -= steps
    return segments_acked


@inlined
def newreno_increase(flow: Record, segments_acked: int) -> None:
    """Grow the window on an acknowledgement of `segments_acked` new segments."""
    mss = flow.mss_bytes
    left = slow_start(flow, segments_acked)
    if flow.cwnd_bytes >= flow.ssthresh_bytes and left > 0:
        if flow.linux:
            _whole_segments(flow, left)
            return
        counted = left if flow.byte_counting else 1
        flow.cwnd_bytes += max(counted * mss * mss // flow.cwnd_bytes, 1)


@compiled
def _whole_segments(flow: Record, segments_acked: int) -> None:
    """Grow by a segment for each window that was acknowledged (`tcp_cong_avoid_ai` of Linux)."""
    window = flow.cwnd_bytes // flow.mss_bytes
    if flow.count >= window:  # saved up with a larger window
        flow.count = 0
        flow.cwnd_bytes += flow.mss_bytes
    flow.count += segments_acked
    flow.cwnd_bytes += flow.count // window * flow.mss_bytes
    flow.count %= window


@compiled
def newreno_ssthresh(flow: Record, in_flight_bytes: int) -> int:
    """Halve what is in flight (RFC 5681, equation 4); Linux, which counts bytes, halves the window."""
    if flow.linux:
        return max(int(flow.cwnd_bytes // flow.mss_bytes // 2), 2) * int(flow.mss_bytes)
    whole = flow.cwnd_bytes if flow.byte_counting else in_flight_bytes
    return max(2 * flow.mss_bytes, whole // 2)
