"""COBALT: CoDel and BLUE together, as in CAKE.

Palmei et al., "Design and evaluation of COBALT queue discipline", IEEE LANMAN 2019; Høiland-Jørgensen, Täht,
Morton, "Piece of CAKE", IEEE LANMAN 2018, section III.B. The CoDel part has no first interval without
drops and winds its count down when the queue is short; the BLUE part acts on unresponsive flows.
"""

# mypy: disable-error-code="no-any-return"
# Compiled code reads records, whose fields the type checker does not know.
from __future__ import annotations

import math

from qos.compiled import compiled
from schedulers.packet.accounting import count_mark, detach, discard
from schedulers.packet.layout import NONE, PACKET_CE, PACKET_ECT, Record
from schedulers.packet.memory import packets, queues, subqueues, uniform

ONE = 1 << 32
"""The inverse root of one; CAKE has it on 32 bits, CoDel on 16."""
EXACT_BELOW = 16


@compiled
def _refine_root(subqueue: Record) -> None:
    """Set 1/sqrt(count): exactly for small counts, else by a Newton step from the last, as CAKE."""
    count = subqueue.count
    if count < EXACT_BELOW:
        subqueue.inverse_root = int(ONE / math.sqrt(max(count, 1)))
        return
    root = subqueue.inverse_root / ONE
    subqueue.inverse_root = int(root * (3.0 - count * root * root) / 2.0 * ONE)


@compiled
def _after(queue: Record, subqueue: Record, time_ns: int) -> int:
    """Apply the control law of CoDel."""
    return time_ns + int(queue.interval_ns * (subqueue.inverse_root / ONE))


@compiled
def cobalt_overflow(root: Record, queue_index: int, subqueue_index: int) -> None:
    """Note that a packet was dropped because the queue was full: BLUE raises its probability."""
    queue = queues(root)[queue_index]
    subqueue = subqueues(root)[subqueue_index]
    now = root.now_ns
    if now - subqueue.blue_update_ns > queue.target_ns:
        subqueue.probability = min(subqueue.probability + queue.blue_increment, 1.0)
        subqueue.blue_update_ns = now
    subqueue.dropping = 1
    subqueue.drop_next_ns = now
    subqueue.count = max(subqueue.count, 1)


@compiled
def _note_empty(root: Record, queue: Record, subqueue: Record) -> None:
    """Note that the queue was served and empty: BLUE lowers its probability, CoDel its count."""
    now = root.now_ns
    if subqueue.probability > 0.0 and now - subqueue.blue_update_ns > queue.target_ns:
        subqueue.probability = max(subqueue.probability - queue.blue_decrement, 0.0)
        subqueue.blue_update_ns = now
    subqueue.dropping = 0
    if subqueue.count > 0 and now >= subqueue.drop_next_ns:
        subqueue.count -= 1
        _refine_root(subqueue)
        subqueue.drop_next_ns = _after(queue, subqueue, subqueue.drop_next_ns)


@compiled
def _codel_part(root: Record, queue_index: int, subqueue_index: int, index: int) -> bool:
    """Say whether CoDel drops the packet; wind the count down while the queue is short."""
    queue = queues(root)[queue_index]
    subqueue = subqueues(root)[subqueue_index]
    now = root.now_ns
    due = subqueue.count > 0 and now >= subqueue.drop_next_ns
    if now - packets(root)[index].time_ns > queue.target_ns:
        if subqueue.dropping == 0:
            subqueue.dropping = 1
            subqueue.drop_next_ns = _after(queue, subqueue, now)
        subqueue.count = max(subqueue.count, 1)
    else:
        subqueue.dropping = 0
    if due and subqueue.dropping == 1:
        packet = packets(root)[index]
        marked = queue.ecn == 1 and packet.flags & PACKET_ECT != 0
        if marked:
            packet.flags |= PACKET_CE
            count_mark(root, queue_index, subqueue_index)
        subqueue.count += 1
        _refine_root(subqueue)
        subqueue.drop_next_ns = _after(queue, subqueue, subqueue.drop_next_ns)
        return not marked
    while due:
        subqueue.count -= 1
        _refine_root(subqueue)
        subqueue.drop_next_ns = _after(queue, subqueue, subqueue.drop_next_ns)
        due = subqueue.count > 0 and now >= subqueue.drop_next_ns
    return False


@compiled
def _drops(root: Record, queue_index: int, subqueue_index: int, index: int) -> bool:
    queue = queues(root)[queue_index]
    subqueue = subqueues(root)[subqueue_index]
    now = root.now_ns
    drop = _codel_part(root, queue_index, subqueue_index, index)
    waited = now - packets(root)[index].time_ns
    if waited > queue.blue_threshold_ns and now - subqueue.blue_update_ns > queue.target_ns:
        subqueue.probability = min(subqueue.probability + queue.blue_increment, 1.0)
        subqueue.blue_update_ns = now
    if subqueue.probability > 0.0 and uniform(queue) < subqueue.probability:
        drop = True
    if subqueue.count == 0:
        subqueue.drop_next_ns = now + queue.interval_ns
    elif now > subqueue.drop_next_ns and not drop:
        subqueue.drop_next_ns = now
    return drop


@compiled
def cobalt_dequeue(root: Record, queue_index: int, subqueue_index: int) -> int:
    """Take the next packet that COBALT lets pass, `NONE` if the sub-queue is empty."""
    while True:
        index = detach(root, queue_index, subqueue_index)
        if index == NONE:
            _note_empty(root, queues(root)[queue_index], subqueues(root)[subqueue_index])
            return NONE
        if not _drops(root, queue_index, subqueue_index, index):
            return index
        discard(root, queue_index, subqueue_index, index)
