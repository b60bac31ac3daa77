"""BBR version 1 (Cardwell et al., CACM 60(2), 2017; draft-cardwell-iccrg-bbr-congestion-control-00)."""

# mypy: disable-error-code="no-any-return"
# Compiled code reads records, whose fields the type checker does not know.
from __future__ import annotations

import math

from qos.compiled import compiled
from qos.simulation.layout import LOSS, RECOVERY
from qos.simulation.senders.bbr_linux import (
    LONG_TERM,
    NO_POLICER,
    aggregation_bytes,
    model_bps,
    note_aggregation,
    note_policer,
)
from schedulers.packet.layout import Record
from schedulers.packet.memory import uniform

STARTUP = 0
DRAIN = 1
PROBE_BW = 2
PROBE_RTT = 3

HIGH_GAIN = 2.885
FULL_GROWTH = 1.25
FULL_ROUNDS = 3
FILTER_ROUNDS = 10
CYCLE_LENGTH = 8
MIN_RTT_WINDOW_NS = 10_000_000_000
PROBE_RTT_NS = 200_000_000
LEAST_SEGMENTS = 4
PACING_MARGIN = 0.99
"""Linux paces at a percent less than it measured, so that the queue of an overestimate drains."""
BURST_S = 1 / 1024
"""Linux hands down at once what the pacing rate sends in so long (`sk_pacing_shift`)..."""
LEAST_PAIR_BPS = 1.2e6
"""...and at least two segments from this rate on."""
MICROSECOND_NS = 1_000
NS = 1e9


@compiled
def _observe_bandwidth(flow: Record, sample_bps: float) -> None:
    """Keep the best three samples of the last ten rounds (Kathleen Nichols' windowed maximum)."""
    now = flow.bbr_round
    if sample_bps >= flow.bbr_max_0_bps or now - flow.bbr_max_2_round > FILTER_ROUNDS:
        flow.bbr_max_0_bps = flow.bbr_max_1_bps = flow.bbr_max_2_bps = sample_bps
        flow.bbr_max_0_round = flow.bbr_max_1_round = flow.bbr_max_2_round = now
        return
    if sample_bps >= flow.bbr_max_1_bps:
        flow.bbr_max_1_bps = flow.bbr_max_2_bps = sample_bps
        flow.bbr_max_1_round = flow.bbr_max_2_round = now
    elif sample_bps >= flow.bbr_max_2_bps:
        flow.bbr_max_2_bps = sample_bps
        flow.bbr_max_2_round = now
    if now - flow.bbr_max_0_round > FILTER_ROUNDS:
        flow.bbr_max_0_bps = flow.bbr_max_1_bps
        flow.bbr_max_0_round = flow.bbr_max_1_round
        flow.bbr_max_1_bps = flow.bbr_max_2_bps = sample_bps
        flow.bbr_max_1_round = flow.bbr_max_2_round = now
    elif flow.bbr_max_1_round == flow.bbr_max_0_round and now - flow.bbr_max_1_round > FILTER_ROUNDS // 4:
        flow.bbr_max_1_bps = flow.bbr_max_2_bps = sample_bps
        flow.bbr_max_1_round = flow.bbr_max_2_round = now
    elif flow.bbr_max_2_round == flow.bbr_max_1_round and now - flow.bbr_max_2_round > FILTER_ROUNDS // 2:
        flow.bbr_max_2_bps = sample_bps
        flow.bbr_max_2_round = now


@compiled
def bbr_burst_segments(flow: Record) -> int:
    """Give how many segments are sent at once at the present pacing rate, as Linux does it."""
    least = 2 if flow.pacing_rate_bps >= LEAST_PAIR_BPS else 1
    return max(int(flow.pacing_rate_bps / 8.0 * BURST_S / flow.mss_bytes), least)


@compiled
def _target_bytes(flow: Record, rate_bps: float, gain: float, extra_bytes: int) -> int:
    """Give gain times the bandwidth-delay product and room for three bursts, in pairs of segments.

    The room lets a queue stand at the end of a phase that drains; two segments more while probing put more in
    flight even where the product is tiny (bbr_quantization_budget in Linux).
    """
    if flow.bbr_rtt_ns == 0:
        return int(flow.initial_window_bytes)
    product = rate_bps * flow.bbr_rtt_ns / NS / 8.0
    count = math.ceil(gain * product / flow.mss_bytes) + 3 * bbr_burst_segments(flow)
    count += extra_bytes // flow.mss_bytes
    count += count % 2
    if flow.bbr_state == PROBE_BW and flow.bbr_cycle == 0:
        count += 2
    return max(count, LEAST_SEGMENTS) * int(flow.mss_bytes)


@compiled
def _update_round(flow: Record) -> None:
    """Begin a round when data sent after the last round began is delivered."""
    flow.bbr_round_start = 0
    if flow.newly_delivered > 0 and flow.sample_prior_delivered >= flow.bbr_round_end:
        flow.bbr_round_end = flow.delivered_bytes
        flow.bbr_round += 1
        flow.bbr_round_start = 1


@compiled
def _check_full(flow: Record) -> None:
    """Notice that the bandwidth no longer grows."""
    if flow.bbr_full or flow.bbr_round_start == 0 or flow.sample_app_limited:
        return
    if flow.bbr_max_0_bps >= flow.bbr_full_bps * FULL_GROWTH:
        flow.bbr_full_bps = flow.bbr_max_0_bps
        flow.bbr_full_count = 0
        return
    flow.bbr_full_count += 1
    if flow.bbr_full_count >= FULL_ROUNDS:
        flow.bbr_full = 1


@compiled
def _begin_probe_bw(flow: Record, now_ns: int) -> None:
    flow.bbr_state = PROBE_BW
    # Any phase but the one that drains.
    phase = int(uniform(flow) * (CYCLE_LENGTH - 1))
    flow.bbr_cycle = phase if phase == 0 else phase + 1
    flow.bbr_cycle_ns = now_ns


@compiled
def _in_network(flow: Record, now_ns: int, in_flight_bytes: int) -> int:
    """Give what will be in flight when the next burst leaves (bbr_packets_in_net_at_edt in Linux)."""
    if flow.linux == 0:
        return in_flight_bytes
    if flow.bbr_pacing_gain > 1.0:
        in_flight_bytes += bbr_burst_segments(flow) * flow.mss_bytes
    wait_ns = max(flow.pace_next_ns - now_ns, 0)
    return max(in_flight_bytes - int(model_bps(flow) * wait_ns / NS / 8.0), 0)


@compiled
def _advance_cycle(flow: Record, now_ns: int, in_flight_bytes: int) -> None:
    """Walk through the gains 1.25, 0.75 and six times 1, about a round trip each."""
    long_enough = now_ns - flow.bbr_cycle_ns > flow.bbr_rtt_ns
    rate_bps = flow.bbr_max_0_bps
    if flow.bbr_policed == LONG_TERM:
        done = long_enough
    elif flow.bbr_cycle == 0:
        before = _in_network(flow, now_ns, flow.prior_flight)
        done = long_enough and (flow.newly_lost > 0 or before >= _target_bytes(flow, rate_bps, 1.25, 0))
    elif flow.bbr_cycle == 1:
        left = _in_network(flow, now_ns, flow.prior_flight) if flow.linux else in_flight_bytes
        done = long_enough or left <= _target_bytes(flow, rate_bps, 1.0, 0)
    else:
        done = long_enough
    if done:
        flow.bbr_cycle = (flow.bbr_cycle + 1) % CYCLE_LENGTH
        flow.bbr_cycle_ns = now_ns


@compiled
def _keep_window(flow: Record, is_whole: bool) -> None:
    """Remember the window; one that was cut already counts only where it is larger (bbr_save_cwnd)."""
    flow.bbr_prior_cwnd = flow.cwnd_bytes if is_whole else max(flow.bbr_prior_cwnd, flow.cwnd_bytes)


@compiled
def _update_min_rtt(flow: Record, now_ns: int, in_flight_bytes: int) -> None:
    """Keep the least round-trip time of ten seconds; drain the path where it was not seen for so long."""
    expired = flow.bbr_rtt_stamp_ns > 0 and now_ns - flow.bbr_rtt_stamp_ns > MIN_RTT_WINDOW_NS
    rtt_ns = flow.rtt_ns
    is_least = rtt_ns <= flow.bbr_rtt_ns
    if flow.linux:
        # Of what was sent last, in microseconds; as little as before is not less, so the ten seconds run on.
        rtt_ns = flow.rack_rtt_ns if flow.rack else rtt_ns
        is_least = rtt_ns // MICROSECOND_NS < flow.bbr_rtt_ns // MICROSECOND_NS
    if rtt_ns > 0 and (flow.bbr_rtt_ns == 0 or is_least or expired):
        flow.bbr_rtt_ns = rtt_ns
        flow.bbr_rtt_stamp_ns = now_ns
    if expired and flow.bbr_state != PROBE_RTT:
        flow.bbr_state = PROBE_RTT
        _keep_window(flow, flow.linux and flow.bbr_state_before < RECOVERY)
        flow.bbr_probe_done_ns = 0
    if flow.bbr_state != PROBE_RTT:
        return
    if flow.linux:
        # The small window's samples say nothing of the path.
        flow.app_limited_bytes = max(flow.delivered_bytes + in_flight_bytes, 1)
    if flow.bbr_probe_done_ns == 0:
        if in_flight_bytes <= LEAST_SEGMENTS * flow.mss_bytes:
            flow.bbr_probe_done_ns = now_ns + PROBE_RTT_NS
            flow.bbr_probe_round_done = 0
            flow.bbr_round_end = flow.delivered_bytes
        return
    if flow.bbr_round_start:
        flow.bbr_probe_round_done = 1
    if flow.bbr_probe_round_done and now_ns > flow.bbr_probe_done_ns:
        flow.bbr_rtt_stamp_ns = now_ns
        flow.cwnd_bytes = max(flow.cwnd_bytes, flow.bbr_prior_cwnd)
        flow.bbr_prior_cwnd = 0
        if flow.bbr_full:
            _begin_probe_bw(flow, now_ns)
        else:
            flow.bbr_state = STARTUP


@compiled
def _gains(flow: Record) -> None:
    state = flow.bbr_state
    if state == STARTUP:
        flow.bbr_pacing_gain = HIGH_GAIN
        flow.bbr_cwnd_gain = HIGH_GAIN
    elif state == DRAIN:
        flow.bbr_pacing_gain = 1.0 / HIGH_GAIN
        flow.bbr_cwnd_gain = HIGH_GAIN
    elif state == PROBE_BW:
        flow.bbr_pacing_gain = 1.25 if flow.bbr_cycle == 0 else (0.75 if flow.bbr_cycle == 1 else 1.0)
        if flow.bbr_policed == LONG_TERM:
            flow.bbr_pacing_gain = 1.0
        flow.bbr_cwnd_gain = 2.0
    else:
        flow.bbr_pacing_gain = 1.0
        flow.bbr_cwnd_gain = 1.0


@compiled
def _set_window(flow: Record, in_flight_bytes: int) -> None:
    acked = flow.newly_delivered
    if flow.linux:
        if acked > 0 and not _follow_recovery(flow, in_flight_bytes + acked):
            _grow_window(flow, acked)
    else:
        if flow.bbr_conservation and flow.state in (RECOVERY, LOSS):
            # The first round of recovery sends one packet for each that arrives.
            if flow.bbr_round > flow.bbr_conservation:
                flow.bbr_conservation = 0
            else:
                flow.cwnd_bytes = max(flow.cwnd_bytes, in_flight_bytes + acked)
                return
        _grow_window(flow, acked)
    if flow.bbr_state == PROBE_RTT:
        flow.cwnd_bytes = min(flow.cwnd_bytes, LEAST_SEGMENTS * flow.mss_bytes)


@compiled
def _follow_recovery(flow: Record, conserved_bytes: int) -> bool:
    """Cut the window by what is lost; say whether packets are conserved (bbr_set_cwnd_to_recover_or_restore).

    Recovery is seen from acknowledgement to acknowledgement: one that ends and begins again in one neither
    gives the window back nor cuts it.
    """
    was = flow.bbr_state_before
    flow.bbr_state_before = flow.state
    flow.cwnd_bytes = max(flow.cwnd_bytes - flow.newly_lost, flow.mss_bytes)
    if flow.bbr_conservation and flow.bbr_round >= flow.bbr_conservation:
        flow.bbr_conservation = 0
    if flow.state == RECOVERY and was != RECOVERY:
        flow.bbr_conservation = flow.bbr_round + 1
        flow.bbr_round_end = flow.delivered_bytes
        flow.cwnd_bytes = conserved_bytes
    elif flow.state < RECOVERY and was >= RECOVERY:
        flow.bbr_conservation = 0
        flow.cwnd_bytes = max(flow.cwnd_bytes, flow.bbr_prior_cwnd)
    if flow.bbr_conservation == 0:
        return False
    flow.cwnd_bytes = max(flow.cwnd_bytes, conserved_bytes)
    return True


@compiled
def _grow_window(flow: Record, acked: int) -> None:
    """Grow the window towards its target, or fall to it."""
    extra_bytes = aggregation_bytes(flow) if flow.linux and flow.bbr_full else 0
    target = _target_bytes(flow, model_bps(flow), flow.bbr_cwnd_gain, extra_bytes)
    if flow.bbr_full:
        flow.cwnd_bytes = min(flow.cwnd_bytes + acked, target)
    elif flow.cwnd_bytes < target or flow.delivered_bytes < flow.initial_window_bytes:
        flow.cwnd_bytes += acked
    flow.cwnd_bytes = max(flow.cwnd_bytes, LEAST_SEGMENTS * flow.mss_bytes)


@compiled
def bbr_timed_out(flow: Record, now_ns: int) -> None:
    """Follow a retransmission timeout before it cuts the window (bbr_ssthresh and bbr_set_state in Linux)."""
    _keep_window(flow, flow.bbr_state_before < RECOVERY and flow.bbr_state != PROBE_RTT)
    flow.bbr_state_before = LOSS
    flow.bbr_full_bps = 0.0
    flow.bbr_round_start = 1
    note_policer(flow, now_ns, True, flow.bbr_state == PROBE_BW)


@compiled
def bbr_begin_recovery(flow: Record, in_flight_bytes: int) -> None:
    """Keep the window for later and conserve packets for a round."""
    if flow.linux:
        _keep_window(flow, flow.bbr_state_before < RECOVERY and flow.bbr_state != PROBE_RTT)
        return
    if flow.bbr_conservation == 0:
        flow.bbr_prior_cwnd = flow.cwnd_bytes
    flow.bbr_conservation = flow.bbr_round + 1
    flow.cwnd_bytes = max(in_flight_bytes + flow.newly_delivered, flow.mss_bytes)


@compiled
def bbr_end_recovery(flow: Record) -> None:
    """Take the window up again."""
    if flow.linux:
        return  # _follow_recovery sees it
    flow.bbr_conservation = 0
    flow.cwnd_bytes = max(flow.cwnd_bytes, flow.bbr_prior_cwnd)
    flow.bbr_prior_cwnd = 0


@compiled
def bbr_update(flow: Record, now_ns: int, in_flight_bytes: int) -> None:
    """Take an acknowledgement into the model and set pacing rate and window."""
    _update_round(flow)
    if flow.linux and flow.sample_interval_ns > 0 and flow.newly_delivered > 0:
        was = flow.bbr_policed
        note_policer(flow, now_ns, flow.newly_lost > 0, flow.bbr_state == PROBE_BW)
        if was == LONG_TERM and flow.bbr_policed == NO_POLICER:
            _begin_probe_bw(flow, now_ns)
    if flow.sample_interval_ns > 0 and flow.newly_delivered > 0:
        delivered = flow.delivered_bytes - flow.sample_prior_delivered
        sample_bps = delivered * 8.0 * NS / flow.sample_interval_ns
        # An interval below the least round-trip time is an artefact of retransmission. What an application
        # does not send says nothing of the path, unless it is more than was known.
        plausible = flow.sample_interval_ns >= min(flow.min_rtt_ns, MIN_RTT_WINDOW_NS)
        if plausible and (flow.sample_app_limited == 0 or sample_bps >= flow.bbr_max_0_bps):
            _observe_bandwidth(flow, sample_bps)
        if flow.linux:
            note_aggregation(flow, now_ns)
    _check_full(flow)
    if flow.bbr_state == STARTUP and flow.bbr_full:
        flow.bbr_state = DRAIN
    if flow.bbr_state == DRAIN:
        left = _in_network(flow, now_ns, in_flight_bytes)
        if left <= _target_bytes(flow, flow.bbr_max_0_bps, 1.0, 0):
            _begin_probe_bw(flow, now_ns)
    if flow.bbr_state == PROBE_BW:
        _advance_cycle(flow, now_ns, in_flight_bytes)
    _update_min_rtt(flow, now_ns, in_flight_bytes)
    _gains(flow)
    rate = flow.bbr_pacing_gain * model_bps(flow) * PACING_MARGIN
    if rate > 0.0 and (flow.bbr_full or rate > flow.pacing_rate_bps):
        flow.pacing_rate_bps = rate
    _set_window(flow, in_flight_bytes)
