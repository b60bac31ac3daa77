"""Round-trip time and retransmission timeout (RFC 6298), with timestamps (RFC 7323)."""

# mypy: disable-error-code="no-any-return"
# Compiled code reads records, whose fields the type checker does not know.
from __future__ import annotations

from qos.compiled import compiled, inlined
from qos.simulation.layout import (
    EVENT_TIMEOUT,
    EVER_RETRANSMITTED,
    RTT_BINS,
    RTT_LEVEL_SHIFT,
    RTT_LEVELS,
)
from qos.simulation.memory import rtts, schedule, slot
from schedulers.packet.layout import Record

CLOCK_GRANULARITY_NS = 1_000_000
MOST_RTO_NS = 60_000_000_000
LEAST_SAMPLE_NS = 1_000


@inlined
def observe(root: Record, flow_index: int, flow: Record, rtt_ns: int) -> None:
    """Count a sample in the histogram: a round-trip time, or the one-way delay of a datagram."""
    flow.rtt_samples += 1
    flow.rtt_sum_ns += rtt_ns
    flow.rtt_max_ns = max(flow.rtt_max_ns, rtt_ns)
    place = rtt_ns >> flow.rtt_shift
    level = 0
    while place >= RTT_BINS and level < RTT_LEVELS - 1:
        place >>= RTT_LEVEL_SHIFT
        level += 1
    rtts(root)[(flow_index * RTT_LEVELS + level) * RTT_BINS + min(place, RTT_BINS - 1)] += 1


@inlined
def sample_rtt(root: Record, flow_index: int, flow: Record, cumulative: int, echo_ns: int) -> None:
    """Take a sample if the first segment acknowledged was sent once (Karn's rule).

    The timestamp clock of the connection ticks every ``flow.tick_ns``; 0: it is exact.
    """
    if cumulative <= flow.una or slot(root, flow, flow.una).flags & EVER_RETRANSMITTED:
        return
    now = root.now_ns
    observe(root, flow_index, flow, now - echo_ns)
    smooth_rtt(flow, now, echo_ns)
    flow.min_rtt_ns = min(flow.min_rtt_ns, now - echo_ns)


@inlined
def smooth_rtt(flow: Record, now: int, echo_ns: int) -> None:
    """Take a sample into the smoothed time and the timeout (RFC 6298, section 2)."""
    tick = flow.tick_ns
    if tick == 0:
        rtt_ns = now - echo_ns
    else:
        rtt_ns = (now // tick - echo_ns // tick) * tick
    rtt_ns = max(rtt_ns, LEAST_SAMPLE_NS)
    if flow.srtt_ns == 0:
        flow.srtt_ns = rtt_ns
        flow.rttvar_ns = rtt_ns // 2
    else:
        change = rtt_ns - flow.srtt_ns
        flow.srtt_ns += change >> 3
        flow.rttvar_ns += (abs(change) - flow.rttvar_ns) >> 2
    flow.rtt_ns = rtt_ns
    renew_rto(flow)


@inlined
def renew_rto(flow: Record) -> None:
    """Compute the timeout (RFC 6298, equation 2.3), without backoff."""
    if flow.srtt_ns > 0:
        if flow.linux:
            wanted = flow.srtt_ns + max(flow.min_rto_ns, 4 * flow.rttvar_ns)
        else:
            wanted = max(flow.srtt_ns + max(CLOCK_GRANULARITY_NS, 4 * flow.rttvar_ns), flow.min_rto_ns)
        flow.rto_ns = min(wanted, MOST_RTO_NS)


@compiled
def timer_end(flow: Record, now_ns: int, wait_ns: int) -> int:
    """Give when a timer of `wait_ns` runs out: ticks are counted from the last one."""
    tick: int = flow.timer_tick_ns
    if tick == 0:
        return now_ns + wait_ns
    return now_ns // tick * tick - (-wait_ns // tick) * tick


@inlined
def start_timer(root: Record, flow_index: int, flow: Record) -> None:
    """Let the retransmission timer run from now; its event in the heap is moved only when it is met."""
    deadline = timer_end(flow, root.now_ns, flow.rto_ns)
    flow.rto_deadline_ns = deadline
    if flow.rto_event_ns == 0 or deadline < flow.rto_event_ns:
        flow.rto_event_ns = deadline
        schedule(root, deadline, EVENT_TIMEOUT, flow_index)
