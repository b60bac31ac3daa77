"""CoDel: controlled delay (RFC 8289), at the head of one sub-queue.

The square root is the Newton step on 16 bits that Linux has (net/sched, "codel_Newton_step") and that
ns-3 follows: the second drop of an episode comes after half an interval, not after 1/sqrt(2) of one.
"""

# mypy: disable-error-code="no-any-return"
# Compiled code reads records, whose fields the type checker does not know.
from __future__ import annotations

from qos.compiled import compiled
from schedulers.packet.accounting import count_mark, detach, discard
from schedulers.packet.layout import NONE, PACKET_CE, PACKET_ECT, Record
from schedulers.packet.memory import packets, queues, subqueues

ONE = 65535
"""The inverse root of one, on 16 bits."""


@compiled
def _refine_root(subqueue: Record) -> None:
    """Improve 1/sqrt(count) by one Newton step."""
    root = subqueue.inverse_root / 65536.0
    better = root * (3.0 - subqueue.count * root * root) / 2.0
    subqueue.inverse_root = max(int(better * 65536.0), 0)


@compiled
def _after(queue: Record, subqueue: Record, time_ns: int) -> int:
    """Apply the control law: the next drop is interval / sqrt(count) later (RFC 8289, section 5.6)."""
    return time_ns + ((queue.interval_ns * subqueue.inverse_root) >> 16)


@compiled
def _is_short(queue: Record, subqueue: Record) -> bool:
    """Say whether so little waits that a drop would leave the link idle."""
    if queue.shared_backlog:
        return queue.bytes <= queue.mtu_bytes
    return subqueue.bytes < queue.mtu_bytes


@compiled
def _may_drop(root: Record, queue: Record, subqueue: Record, index: int) -> bool:
    """Say whether the delay has been above target for an interval (RFC 8289, section 5.6, dodequeue)."""
    if index == NONE:
        subqueue.first_above_ns = 0
        return False
    now = root.now_ns
    if now - packets(root)[index].time_ns < queue.target_ns or _is_short(queue, subqueue):
        subqueue.first_above_ns = 0
        return False
    if subqueue.first_above_ns == 0:
        subqueue.first_above_ns = now + queue.interval_ns
        return False
    return now > subqueue.first_above_ns


@compiled
def _mark(root: Record, queue_index: int, subqueue_index: int, index: int) -> bool:
    """Mark instead of dropping where queue and packet are ECN-capable."""
    packet = packets(root)[index]
    if queues(root)[queue_index].ecn == 0 or packet.flags & PACKET_ECT == 0:
        return False
    packet.flags |= PACKET_CE
    count_mark(root, queue_index, subqueue_index)
    return True


@compiled
def _drop_more(root: Record, queue_index: int, subqueue_index: int, index: int) -> int:
    """Drop (or mark) while drops are due; give the packet that survives."""
    queue = queues(root)[queue_index]
    subqueue = subqueues(root)[subqueue_index]
    now = root.now_ns
    while subqueue.dropping == 1 and now >= subqueue.drop_next_ns:
        subqueue.count += 1
        _refine_root(subqueue)
        if _mark(root, queue_index, subqueue_index, index):
            subqueue.drop_next_ns = _after(queue, subqueue, subqueue.drop_next_ns)
            return index
        discard(root, queue_index, subqueue_index, index)
        index = detach(root, queue_index, subqueue_index)
        if _may_drop(root, queue, subqueue, index):
            subqueue.drop_next_ns = _after(queue, subqueue, subqueue.drop_next_ns)
        else:
            subqueue.dropping = 0
    return index


@compiled
def _begin_dropping(root: Record, queue_index: int, subqueue_index: int, index: int) -> int:
    """Enter the dropping state, near the last rate of drops if it was left a short while ago."""
    queue = queues(root)[queue_index]
    subqueue = subqueues(root)[subqueue_index]
    now = root.now_ns
    if not _mark(root, queue_index, subqueue_index, index):
        discard(root, queue_index, subqueue_index, index)
        index = detach(root, queue_index, subqueue_index)
        _may_drop(root, queue, subqueue, index)
    subqueue.dropping = 1
    since = subqueue.count - subqueue.last_count
    if since > 1 and now - subqueue.drop_next_ns < 16 * queue.interval_ns:
        subqueue.count = since
        _refine_root(subqueue)
    else:
        subqueue.count = 1
        subqueue.inverse_root = ONE
    subqueue.last_count = subqueue.count
    subqueue.drop_next_ns = _after(queue, subqueue, now)
    return index


@compiled
def codel_dequeue(root: Record, queue_index: int, subqueue_index: int) -> int:
    """Take the next packet that CoDel lets pass, `NONE` if the sub-queue is empty."""
    queue = queues(root)[queue_index]
    subqueue = subqueues(root)[subqueue_index]
    index = detach(root, queue_index, subqueue_index)
    if index == NONE:
        subqueue.dropping = 0
        return NONE
    over = _may_drop(root, queue, subqueue, index)
    if subqueue.dropping == 1:
        if not over:
            subqueue.dropping = 0
        elif root.now_ns >= subqueue.drop_next_ns:
            index = _drop_more(root, queue_index, subqueue_index, index)
    elif over:
        index = _begin_dropping(root, queue_index, subqueue_index, index)
    if index != NONE and queue.ce_threshold_ns > 0:
        late = root.now_ns - packets(root)[index].time_ns > queue.ce_threshold_ns
        if late and packets(root)[index].flags & PACKET_CE == 0:
            _mark(root, queue_index, subqueue_index, index)
    return index
