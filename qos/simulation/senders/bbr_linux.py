"""What Linux's ``tcp_bbr.c`` adds to BBR version 1: room for acknowledgements in lumps, and policers.

Both are the work of BBR's authors; draft-cardwell-iccrg-bbr-congestion-control-00 has neither.
"""

# mypy: disable-error-code="no-any-return"
# Compiled code reads records, whose fields the type checker does not know.
from __future__ import annotations

from qos.compiled import compiled, inlined
from schedulers.packet.layout import Record

EXTRA_ROUNDS = 5
"""The most of the present and of the last so many rounds counts."""
MOST_EXTRA_S = 0.1
MOST_EPOCH_SEGMENTS = 1 << 20

NO_POLICER = 0
SAMPLING = 1
LONG_TERM = 2
POLICED_LOSS = 50 / 256
"""Lost over delivered from which a policer is thought of..."""
POLICED_LIKENESS = 1 / 8
LIKE_BPS = 4_000.0
"""...if two intervals delivered rates that differ by no more."""
LEAST_ROUNDS, MOST_ROUNDS = 4, 16
LONG_TERM_ROUNDS = 48
MILLISECOND_NS = 1_000_000
NS = 1e9


@inlined
def model_bps(flow: Record) -> float:
    """Give the rate that the path is thought to have."""
    rate_bps: float = flow.bbr_long_bps if flow.bbr_policed == LONG_TERM else flow.bbr_max_0_bps
    return rate_bps


@compiled
def note_aggregation(flow: Record, now_ns: int) -> None:
    """Keep the most that acknowledgements delivered beyond rate times time since an epoch began."""
    if flow.bbr_round_start:
        flow.bbr_extra_rounds += 1
        if flow.bbr_extra_rounds >= EXTRA_ROUNDS:
            flow.bbr_extra_rounds = 0
            flow.bbr_extra_1_bytes = flow.bbr_extra_0_bytes
            flow.bbr_extra_0_bytes = 0
    expected = int(model_bps(flow) * (now_ns - flow.bbr_epoch_ns) / NS / 8.0)
    too_long = flow.bbr_epoch_bytes + flow.newly_delivered >= MOST_EPOCH_SEGMENTS * flow.mss_bytes
    if flow.bbr_epoch_bytes <= expected or too_long:
        flow.bbr_epoch_bytes = 0
        flow.bbr_epoch_ns = now_ns
        expected = 0
    flow.bbr_epoch_bytes += flow.newly_delivered
    extra = min(flow.bbr_epoch_bytes - expected, flow.cwnd_bytes)
    flow.bbr_extra_0_bytes = max(flow.bbr_extra_0_bytes, extra)


@compiled
def aggregation_bytes(flow: Record) -> int:
    """Give the room in the window that lumps need: a tenth of a second's worth at most."""
    most = int(model_bps(flow) * MOST_EXTRA_S / 8.0)
    return min(max(flow.bbr_extra_0_bytes, flow.bbr_extra_1_bytes), most)


@inlined
def _begin_interval(flow: Record, now_ns: int) -> None:
    flow.bbr_long_ns = now_ns
    flow.bbr_long_delivered = flow.delivered_bytes
    flow.bbr_long_lost = flow.ever_lost_bytes
    flow.bbr_long_rounds = 0


@inlined
def _forget(flow: Record, now_ns: int) -> None:
    flow.bbr_policed = NO_POLICER
    flow.bbr_long_bps = 0.0
    _begin_interval(flow, now_ns)


@compiled
def note_policer(flow: Record, now_ns: int, has_lost: bool, is_steady: bool) -> None:
    """Use the long-term rate where two intervals lost much and delivered alike; try again after 48 rounds."""
    if flow.bbr_policed == LONG_TERM:
        if is_steady and flow.bbr_round_start:
            flow.bbr_long_rounds += 1
            if flow.bbr_long_rounds >= LONG_TERM_ROUNDS:
                _forget(flow, now_ns)
        return
    if flow.bbr_policed == NO_POLICER:
        if not has_lost:
            return
        _begin_interval(flow, now_ns)
        flow.bbr_policed = SAMPLING
    if flow.sample_app_limited:
        _forget(flow, now_ns)
        return
    flow.bbr_long_rounds += flow.bbr_round_start
    if flow.bbr_long_rounds < LEAST_ROUNDS:
        return
    if flow.bbr_long_rounds > MOST_ROUNDS:
        _forget(flow, now_ns)
    elif has_lost:
        _end_interval(flow, now_ns)


@compiled
def _end_interval(flow: Record, now_ns: int) -> None:
    """Judge an interval that ends with a loss, if enough was lost in it."""
    lost = flow.ever_lost_bytes - flow.bbr_long_lost
    delivered = flow.delivered_bytes - flow.bbr_long_delivered
    took_ns = now_ns - flow.bbr_long_ns
    if delivered <= 0 or lost < POLICED_LOSS * delivered or took_ns < MILLISECOND_NS:
        return
    rate_bps = delivered * 8.0 * NS / took_ns
    apart_bps = abs(rate_bps - flow.bbr_long_bps)
    if flow.bbr_long_bps > 0.0 and apart_bps <= max(POLICED_LIKENESS * flow.bbr_long_bps, LIKE_BPS):
        flow.bbr_long_bps = (rate_bps + flow.bbr_long_bps) / 2.0
        flow.bbr_policed = LONG_TERM
        flow.bbr_long_rounds = 0
        return
    flow.bbr_long_bps = rate_bps
    _begin_interval(flow, now_ns)
