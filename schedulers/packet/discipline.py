"""What a link calls: a packet in, a packet out. The contract of all disciplines.

`enqueue` takes any packet and says whether it was kept; whatever is dropped is counted and given back to the
pool. `dequeue` gives a packet whenever one waits and the AQM lets one pass, and never changes the order
within a flow.
"""

# mypy: disable-error-code="no-any-return"
# Compiled code reads records, whose fields the type checker does not know.
from __future__ import annotations

from qos.compiled import inlined
from schedulers.packet.accounting import admit, depart, discard
from schedulers.packet.cobalt import cobalt_overflow
from schedulers.packet.fair import (
    activate,
    classify,
    drop_from_fattest,
    drr_dequeue,
    fair_dequeue,
    htb_dequeue,
    take_from,
)
from schedulers.packet.layout import (
    AQM_COBALT,
    AQM_PIE,
    IDLE,
    NONE,
    SCHEDULE_DRR,
    SCHEDULE_FIFO,
    SCHEDULE_HTB,
    Record,
)
from schedulers.packet.memory import packets, queues, subqueues
from schedulers.packet.per_packet import after_departure, after_fate, before_admission
from schedulers.packet.pie import pie_refuses


@inlined
def _exceeds(owner: Record, size_bytes: int) -> bool:
    """Say whether one more packet would exceed the limits of a queue or a sub-queue."""
    return owner.packets + 1 > owner.limit_packets or owner.bytes + size_bytes > owner.limit_bytes


@inlined
def _refused(root: Record, queue_index: int, subqueue_index: int, index: int) -> bool:
    queue = queues(root)[queue_index]
    size = packets(root)[index].size_bytes
    if _exceeds(subqueues(root)[subqueue_index], size) or (
        queue.schedule == SCHEDULE_FIFO and _exceeds(queue, size)
    ):
        if queue.aqm == AQM_COBALT:
            cobalt_overflow(root, queue_index, subqueue_index)
        return True
    return queue.aqm == AQM_PIE and pie_refuses(root, queue_index, subqueue_index, index)


@inlined
def enqueue(root: Record, queue_index: int, index: int) -> bool:
    """Offer a packet to a queue; say whether it was kept.

    Parameters
    ----------
    root
        The control record.
    queue_index
        The queue.
    index
        The packet, in no list.
    """
    queue = queues(root)[queue_index]
    packet = packets(root)[index]
    place = classify(root, queue_index, packet.flow)
    subqueue = subqueues(root)[place]
    queue.arrived_packets += 1
    queue.arrived_bytes += packet.size_bytes
    subqueue.arrived_packets += 1
    if queue.policy != 0:
        before_admission(root, queue_index, place)
    refused = _refused(root, queue_index, place, index)
    if refused:
        discard(root, queue_index, place, index)
    else:
        admit(root, queue_index, place, index)
        if queue.schedule != SCHEDULE_FIFO:
            if subqueue.state == IDLE:
                activate(root, queue_index, place)
            while queue.packets > queue.limit_packets or queue.bytes > queue.limit_bytes:
                before = queue.packets
                drop_from_fattest(root, queue_index)
                if queue.packets == before:
                    break
    if queue.policy != 0:
        after_fate(root, queue_index, place, refused)
    return not refused


@inlined
def dequeue(root: Record, queue_index: int) -> int:
    """Take the next packet of a queue, `NONE` if it gives none."""
    queue = queues(root)[queue_index]
    if queue.schedule == SCHEDULE_FIFO:
        index = take_from(root, queue_index, queue.first)
    elif queue.schedule == SCHEDULE_DRR:
        index = drr_dequeue(root, queue_index)
    elif queue.schedule == SCHEDULE_HTB:
        index = htb_dequeue(root, queue_index)
    else:
        index = fair_dequeue(root, queue_index)
    if index != NONE:
        place = packets(root)[index].subqueue
        depart(root, queue_index, place, index)
        if queue.policy != 0:
            after_departure(root, queue_index, place)
    return index
