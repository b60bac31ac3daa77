"""Deficit round robin over sub-queues: plain, as HTB's leaves borrow, and with new flows first.

`SCHEDULE_DRR`: Shreedhar and Varghese, "Efficient fair queuing using deficit round-robin", IEEE/ACM Trans.
Networking 4(3), 1996. `SCHEDULE_FAIR`: the scheduler of FQ-CoDel (RFC 8290, section 4.2), which the per-flow
FIFO queue, FQ-PIE and the CAKE-like queue share. `SCHEDULE_HTB`: what Linux's HTB makes of leaves that all
borrow, as the bulk flows of `qos attach` do: turns in the order of the leaves' numbers, wherever a leaf that
was empty comes in, and a deficit that outlasts an empty queue. Guarantees, by which HTB serves sparse flows
first, are not modelled. A leaf that wakes up costs a walk along those that wait.
"""

# mypy: disable-error-code="no-any-return"
# Compiled code reads records, whose fields the type checker does not know.
from __future__ import annotations

from qos.compiled import compiled, inlined
from schedulers.packet.accounting import detach, discard
from schedulers.packet.cobalt import cobalt_dequeue
from schedulers.packet.codel import codel_dequeue
from schedulers.packet.layout import (
    AQM_COBALT,
    AQM_CODEL,
    AQM_PIE,
    HASH_PERFECT,
    HASH_PLAIN,
    IDLE,
    IN_NEW,
    IN_OLD,
    NONE,
    PACKET_BYTES,
    SCHEDULE_DRR,
    SCHEDULE_HTB,
    SUBQUEUE_BYTES,
    SUBQUEUE_USED_BYTES,
    Record,
)
from schedulers.packet.memory import FEW_FLOWS, packets, queues, read_ahead, read_record_ahead, subqueues
from schedulers.packet.pie import pie_dequeue


@compiled
def _mixed(key: int, perturbation: int) -> int:
    """Mix a flow's number; the finaliser of SplitMix64 on 31 bits' worth of output."""
    x = (key + 1) * 0x9E3779B1 + (perturbation & 0x7FFFFFFF)
    x = (x ^ (x >> 15)) * 0x2C1B3C6D & 0x7FFFFFFF
    x = (x ^ (x >> 12)) * 0x297A2D39 & 0x7FFFFFFF
    return x ^ (x >> 15)


@inlined
def classify(root: Record, queue_index: int, flow: int) -> int:
    """Give the sub-queue of a flow."""
    queue = queues(root)[queue_index]
    first: int = queue.first
    if queue.subqueues == 1:
        return first
    if queue.hash == HASH_PERFECT:
        return first + flow % queue.subqueues
    mixed = _mixed(flow, queue.perturbation)
    if queue.hash == HASH_PLAIN:
        return first + mixed % queue.subqueues
    ways = queue.ways
    start = first + mixed % (queue.subqueues // ways) * ways
    table = subqueues(root)
    free = NONE
    for place in range(start, start + ways):
        if table[place].tag == flow:
            return place
        if free == NONE and table[place].packets == 0 and table[place].state == IDLE:
            free = place
    place = start if free == NONE else free
    table[place].tag = flow
    return place


@compiled
def take_from(root: Record, queue_index: int, subqueue_index: int) -> int:
    """Take the next packet of one sub-queue through its AQM, `NONE` if it gives none."""
    aqm = queues(root)[queue_index].aqm
    if aqm == AQM_CODEL:
        return codel_dequeue(root, queue_index, subqueue_index)
    if aqm == AQM_PIE:
        return pie_dequeue(root, queue_index, subqueue_index)
    if aqm == AQM_COBALT:
        return cobalt_dequeue(root, queue_index, subqueue_index)
    return detach(root, queue_index, subqueue_index)


@compiled
def _join_old(root: Record, queue: Record, index: int) -> None:
    table = subqueues(root)
    table[index].state = IN_OLD
    table[index].next = NONE
    if queue.old_tail == NONE:
        queue.old_head = index
    else:
        table[queue.old_tail].next = index
    queue.old_tail = index


@compiled
def _leave(root: Record, queue: Record, is_new: bool) -> None:
    """Take the first sub-queue off its list."""
    table = subqueues(root)
    if is_new:
        queue.new_head = table[queue.new_head].next
        if queue.new_head == NONE:
            queue.new_tail = NONE
    else:
        queue.old_head = table[queue.old_head].next
        if queue.old_head == NONE:
            queue.old_tail = NONE


@compiled
def _join_in_order(root: Record, queue: Record, index: int) -> None:
    """Put a sub-queue among those that wait, in the order of their numbers from the next turn on."""
    table = subqueues(root)
    first: int = queue.old_head
    before = NONE
    place = first
    if first != NONE:
        steps = (index - first) % queue.subqueues
        while place != NONE and (place - first) % queue.subqueues < steps:
            before = place
            place = table[place].next
    if place == NONE:
        _join_old(root, queue, index)
        return
    table[index].state = IN_OLD
    table[index].next = place
    if before == NONE:
        queue.old_head = index
    else:
        table[before].next = index


@compiled
def activate(root: Record, queue_index: int, index: int) -> None:
    """Put a sub-queue that was idle and has a packet now on a list."""
    queue = queues(root)[queue_index]
    table = subqueues(root)
    subqueue = table[index]
    subqueue.activations += 1
    if queue.schedule == SCHEDULE_DRR:
        subqueue.deficit_bytes = 0
        _join_old(root, queue, index)
        return
    if queue.schedule == SCHEDULE_HTB:
        _join_in_order(root, queue, index)
        return
    subqueue.deficit_bytes = queue.quantum_bytes
    subqueue.state = IN_NEW
    subqueue.next = NONE
    if queue.new_tail == NONE:
        queue.new_head = index
    else:
        table[queue.new_tail].next = index
    queue.new_tail = index


@inlined
def _read_turns_ahead(root: Record, following: int) -> None:
    """Ask for the packet of the sub-queue whose turn is next, and for the sub-queue after it."""
    table = subqueues(root)
    if table[following].head != NONE:
        read_ahead(root.packets + table[following].head * PACKET_BYTES)
    after_it = table[following].next
    if after_it != NONE:
        read_record_ahead(root.subqueues + after_it * SUBQUEUE_BYTES, 0, SUBQUEUE_USED_BYTES)


@inlined
def fair_dequeue(root: Record, queue_index: int) -> int:
    """Take the next packet with new flows first (RFC 8290, section 4.2)."""
    queue = queues(root)[queue_index]
    table = subqueues(root)
    while True:
        is_new = queue.new_head != NONE
        index: int = queue.new_head if is_new else queue.old_head
        if index == NONE:
            return NONE
        subqueue = table[index]
        if subqueue.deficit_bytes <= 0:
            subqueue.deficit_bytes += queue.quantum_bytes
            _leave(root, queue, is_new)
            _join_old(root, queue, index)
            continue
        packet = take_from(root, queue_index, index)
        if packet == NONE:
            _leave(root, queue, is_new)
            if is_new and queue.old_head != NONE:
                _join_old(root, queue, index)
            else:
                subqueue.state = IDLE
            continue
        subqueue.deficit_bytes -= packets(root)[packet].size_bytes
        if root.flows_count > FEW_FLOWS and subqueue.next != NONE:
            _read_turns_ahead(root, subqueue.next)
        return packet


@compiled
def drr_dequeue(root: Record, queue_index: int) -> int:
    """Take the next packet of plain deficit round robin."""
    queue = queues(root)[queue_index]
    table = subqueues(root)
    while True:
        index: int = queue.old_head
        if index == NONE:
            return NONE
        subqueue = table[index]
        if packets(root)[subqueue.head].size_bytes > subqueue.deficit_bytes:
            subqueue.deficit_bytes += queue.quantum_bytes
            _leave(root, queue, False)
            _join_old(root, queue, index)
            continue
        packet = detach(root, queue_index, index)
        subqueue.deficit_bytes -= packets(root)[packet].size_bytes
        if subqueue.head == NONE:
            _leave(root, queue, False)
            subqueue.state = IDLE
        return packet


@compiled
def htb_dequeue(root: Record, queue_index: int) -> int:
    """Take the next packet in the round that HTB's borrowing leaves make (htb_dequeue_tree)."""
    queue = queues(root)[queue_index]
    index: int = queue.old_head
    if index == NONE:
        return NONE
    subqueue = subqueues(root)[index]
    packet = detach(root, queue_index, index)
    subqueue.deficit_bytes -= packets(root)[packet].size_bytes
    turn_is_over = subqueue.deficit_bytes < 0
    if turn_is_over:
        subqueue.deficit_bytes += queue.quantum_bytes
    if subqueue.head == NONE:
        _leave(root, queue, False)
        subqueue.state = IDLE
    elif turn_is_over:
        _leave(root, queue, False)
        _join_old(root, queue, index)
    return packet


@compiled
def drop_from_fattest(root: Record, queue_index: int) -> None:
    """Drop from the head of the sub-queue with most bytes, a batch at once (RFC 8290, section 4.1.3)."""
    queue = queues(root)[queue_index]
    table = subqueues(root)
    fattest: int = queue.first
    for index in range(queue.first, queue.first + queue.subqueues):
        if table[index].bytes > table[fattest].bytes:
            fattest = index
    half = table[fattest].bytes // 2
    dropped = 0
    for _ in range(queue.drop_batch):
        # The last packet stays: a sub-queue on a list of plain DRR is never empty.
        if table[fattest].packets <= 1:
            break
        packet = detach(root, queue_index, fattest)
        dropped += packets(root)[packet].size_bytes
        discard(root, queue_index, fattest, packet)
        if dropped >= half:
            break
