"""PIE: proportional integral controller, enhanced (RFC 8033), at the tail of one sub-queue.

The delay is measured by timestamps (RFC 8033, section 5.1 leaves the estimate to the implementation).
"""

# mypy: disable-error-code="no-any-return"
# Compiled code reads records, whose fields the type checker does not know.
from __future__ import annotations

from qos.compiled import compiled
from schedulers.packet.accounting import count_mark, detach
from schedulers.packet.layout import NONE, PACKET_CE, PACKET_ECT, Record
from schedulers.packet.memory import packets, queues, subqueues, uniform

NO_BURST = 0
IN_BURST = 1
IN_BURST_PROTECTING = 2
RESET_NS = 1_500_000_000


@compiled
def pie_refuses(root: Record, queue_index: int, subqueue_index: int, index: int) -> bool:
    """Say whether an arriving packet is to be dropped early; mark it where that is enough."""
    queue = queues(root)[queue_index]
    subqueue = subqueues(root)[subqueue_index]
    if subqueue.burst_allowance_ns > 0:
        return False
    if subqueue.burst_state == NO_BURST:
        subqueue.burst_state = IN_BURST_PROTECTING
        subqueue.burst_allowance_ns = queue.pie_burst_ns
    # RFC 8033, section 4.1: safeguards that keep the link busy.
    if 2 * subqueue.delay_old_ns < queue.target_ns and subqueue.probability < 0.2:
        return False
    if subqueue.packets <= 2:
        return False
    if uniform(queue) > subqueue.probability:
        return False
    packet = packets(root)[index]
    if queue.ecn == 1 and packet.flags & PACKET_ECT and subqueue.probability < queue.pie_mark_below:
        packet.flags |= PACKET_CE
        count_mark(root, queue_index, subqueue_index)
        return False
    return True


@compiled
def pie_dequeue(root: Record, queue_index: int, subqueue_index: int) -> int:
    """Take the next packet and measure its delay."""
    index = detach(root, queue_index, subqueue_index)
    if index == NONE:
        return NONE
    subqueue = subqueues(root)[subqueue_index]
    subqueue.delay_ns = root.now_ns - packets(root)[index].time_ns if subqueue.bytes > 0 else 0
    return index


@compiled
def _scaled(change: float, probability: float) -> float:
    """Make steps small while the probability is small (RFC 8033, section 4.2, auto-tuning)."""
    if probability < 0.000001:
        return change / 2048
    if probability < 0.00001:
        return change / 512
    if probability < 0.0001:
        return change / 128
    if probability < 0.001:
        return change / 32
    if probability < 0.01:
        return change / 8
    if probability < 0.1:
        return change / 2
    return change


@compiled
def _update_burst(queue: Record, subqueue: Record) -> None:
    """Let the burst allowance run down, and renew it after a quiet time (RFC 8033, section 4.4)."""
    left = subqueue.burst_allowance_ns
    subqueue.burst_allowance_ns = left - queue.pie_update_ns if left >= queue.pie_update_ns else 0
    half = queue.target_ns // 2
    quiet = subqueue.delay_ns < half and subqueue.delay_old_ns < half and subqueue.probability == 0.0
    if quiet and subqueue.burst_allowance_ns == 0:
        if subqueue.burst_state == IN_BURST_PROTECTING:
            subqueue.burst_state = IN_BURST
            subqueue.burst_reset = 0
        elif subqueue.burst_state == IN_BURST:
            subqueue.burst_reset += 1
            if subqueue.burst_reset > RESET_NS // queue.pie_update_ns:
                subqueue.burst_reset = 0
                subqueue.burst_state = NO_BURST
    elif subqueue.burst_state == IN_BURST:
        subqueue.burst_reset = 0


@compiled
def pie_update(root: Record, queue_index: int, subqueue_index: int) -> None:
    """Compute the drop probability anew; called every update interval (RFC 8033, section 4.2)."""
    queue = queues(root)[queue_index]
    subqueue = subqueues(root)[subqueue_index]
    probability = subqueue.probability
    if subqueue.burst_allowance_ns > 0:
        probability = 0.0
    else:
        error = (subqueue.delay_ns - queue.target_ns) * 1e-9
        growth = (subqueue.delay_ns - subqueue.delay_old_ns) * 1e-9
        change = _scaled(queue.pie_alpha * error + queue.pie_beta * growth, probability)
        if probability >= 0.1 and change > 0.02:
            change = 0.02
        probability += change
    if subqueue.delay_ns == 0 and subqueue.delay_old_ns == 0:
        probability *= 0.98
    subqueue.probability = min(max(probability, 0.0), 1.0)
    _update_burst(queue, subqueue)
    subqueue.delay_old_ns = subqueue.delay_ns
