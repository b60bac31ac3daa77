"""CUBIC (RFC 9438) in whole segments, as Linux has it, with HyStart (Ha and Rhee, 2011) selectable."""

# mypy: disable-error-code="no-any-return"
# Compiled code reads records, whose fields the type checker does not know.
from __future__ import annotations

from qos.compiled import compiled
from qos.simulation.senders.newreno import slow_start
from schedulers.packet.layout import Record

C = 0.4
BETA = 0.7
RENO_ACKS_PER_SEGMENT = 1.875
"""Acknowledged segments per segment of window for one more, in the Reno-friendly region: 8/15 a round trip,
near 3 (1 - beta) / (1 + beta) = 9/17 (RFC 9438, section 4.3)."""
FIRST_EPOCH_ACKS = 20
LATE_SAMPLES_NS = 10_000_000

HYSTART_LOW_WINDOW = 16
HYSTART_ACK_GAP_NS = 2_000_000
HYSTART_DELAY_MIN_NS = 4_000_000
HYSTART_DELAY_MAX_NS = 1_000_000_000
HYSTART_SAMPLES = 8
UNSET = -1


@compiled
def cubic_reset(flow: Record, now_ns: int) -> None:
    """Forget everything after a timeout."""
    flow.w_max = 0
    flow.origin = 0
    flow.k_s = 0.0
    flow.delay_min_ns = UNSET
    flow.hystart_found = 0
    _hystart_reset(flow, now_ns)


@compiled
def _hystart_reset(flow: Record, now_ns: int) -> None:
    """Begin a new round."""
    flow.hystart_round_ns = now_ns
    flow.hystart_last_ns = now_ns
    flow.hystart_end = flow.next_bytes
    flow.hystart_rtt_ns = UNSET
    flow.hystart_samples = 0


@compiled
def _hystart_sample(flow: Record, now_ns: int, rtt_ns: int) -> None:
    """End slow start on a long train of acknowledgements or on a growing delay."""
    if flow.hystart_found:
        return
    if now_ns - flow.hystart_last_ns <= HYSTART_ACK_GAP_NS:
        flow.hystart_last_ns = now_ns
        if now_ns - flow.hystart_round_ns > flow.delay_min_ns:
            flow.hystart_found = 1
    if flow.hystart_samples < HYSTART_SAMPLES:
        if flow.hystart_rtt_ns == UNSET or flow.hystart_rtt_ns > rtt_ns:
            flow.hystart_rtt_ns = rtt_ns
        flow.hystart_samples += 1
    else:
        margin = min(max(flow.delay_min_ns, HYSTART_DELAY_MIN_NS), HYSTART_DELAY_MAX_NS)
        if flow.hystart_rtt_ns > flow.delay_min_ns + margin:
            flow.hystart_found = 1
    if flow.hystart_found:
        flow.ssthresh_bytes = flow.cwnd_bytes


@compiled
def cubic_sample(flow: Record, now_ns: int, rtt_ns: int) -> None:
    """Take a round-trip time, before the window grows."""
    if flow.epoch_ns != UNSET and now_ns - flow.epoch_ns < LATE_SAMPLES_NS:
        return
    if flow.delay_min_ns == UNSET or flow.delay_min_ns > rtt_ns:
        flow.delay_min_ns = rtt_ns
    low = HYSTART_LOW_WINDOW * flow.mss_bytes
    if flow.hystart and flow.cwnd_bytes <= flow.ssthresh_bytes and flow.cwnd_bytes >= low:
        _hystart_sample(flow, now_ns, rtt_ns)


@compiled
def _acks_for_one_more(flow: Record, now_ns: int, segments_acked: int) -> int:
    """Give the number of acknowledged segments after which the window grows by one."""
    window = flow.cwnd_bytes // flow.mss_bytes
    if flow.epoch_ns == UNSET:
        flow.epoch_ns = now_ns
        flow.ack_count = segments_acked
        flow.reno_window = window
        if flow.w_max <= window:
            flow.k_s = 0.0
            flow.origin = window
        else:
            flow.k_s = ((flow.w_max - window) / C) ** (1.0 / 3.0)
            flow.origin = flow.w_max
    else:
        flow.ack_count += segments_acked
    offset_s = (now_ns + max(flow.delay_min_ns, 0) - flow.epoch_ns) * 1e-9 - flow.k_s
    distance = int(C * abs(offset_s) ** 3)
    target = flow.origin - distance if offset_s < 0.0 else flow.origin + distance
    wait = window // (target - window) if target > window else 100 * window
    if flow.w_max == 0 and wait > FIRST_EPOCH_ACKS:
        wait = FIRST_EPOCH_ACKS
    if flow.friendly:
        step = int(window * RENO_ACKS_PER_SEGMENT)
        while flow.ack_count > step:
            flow.ack_count -= step
            flow.reno_window += 1
        if flow.reno_window > window:
            wait = min(wait, window // (flow.reno_window - window))
    # At most half a segment for each that is acknowledged.
    return max(wait, 2)


@compiled
def cubic_increase(flow: Record, now_ns: int, segments_acked: int) -> None:
    """Grow the window on an acknowledgement of `segments_acked` new segments."""
    if flow.cwnd_bytes < flow.ssthresh_bytes and flow.hystart and flow.una_bytes > flow.hystart_end:
        _hystart_reset(flow, now_ns)
    left = slow_start(flow, segments_acked)
    if flow.cwnd_bytes >= flow.ssthresh_bytes and left > 0:
        flow.count += left
        wait = _acks_for_one_more(flow, now_ns, left)
        if flow.count >= wait:
            flow.cwnd_bytes += flow.mss_bytes
            flow.count -= wait


@compiled
def cubic_ssthresh(flow: Record) -> int:
    """Reduce to beta, and release bandwidth where the window did not recover (RFC 9438, 4.6 and 4.7)."""
    window = flow.cwnd_bytes // flow.mss_bytes
    flow.w_max = int(window * (1.0 + BETA) / 2.0) if window < flow.w_max else window
    flow.epoch_ns = UNSET
    return max(int(window * BETA), 2) * int(flow.mss_bytes)
