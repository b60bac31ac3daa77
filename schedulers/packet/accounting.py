"""What a queue knows of its past: time integrals, samples, histograms, counters."""

# mypy: disable-error-code="no-any-return"
# Compiled code reads records, whose fields the type checker does not know.
from __future__ import annotations

from qos.compiled import compiled, inlined
from schedulers.packet.layout import (
    NONE,
    SOJOURN_BINS,
    SOJOURN_LEVEL_SHIFT,
    SOJOURN_LEVELS,
    Record,
)
from schedulers.packet.memory import backlogs, drops, packets, push_back, queues, release, sojourns, subqueues


@inlined
def settle(root: Record, queue_index: int) -> None:
    """Book the time since the last change at the present backlog; called before every change."""
    queue = queues(root)[queue_index]
    now = root.now_ns
    elapsed = now - queue.changed_ns
    if elapsed == 0:
        return
    queue.changed_ns = now
    waiting = queue.packets
    queue.area_packets_ns += float(waiting) * elapsed
    queue.area_bytes_ns += float(queue.bytes) * elapsed
    bins = queue.backlog_bins
    place = waiting if waiting < bins else bins - 1
    backlogs(root)[queue_index * bins + place] += elapsed
    if queue.sample_next_ns < now:
        every = queue.sample_every_ns
        ticks = (now - queue.sample_next_ns - 1) // every + 1
        queue.sample_next_ns += ticks * every
        queue.samples += ticks
        queue.sample_sum += ticks * waiting
        queue.sample_max = max(queue.sample_max, waiting)


@inlined
def admit(root: Record, queue_index: int, subqueue_index: int, index: int) -> None:
    """Put a packet at the end of a sub-queue and count it."""
    settle(root, queue_index)
    queue = queues(root)[queue_index]
    subqueue = subqueues(root)[subqueue_index]
    packet = packets(root)[index]
    packet.time_ns = root.now_ns
    packet.subqueue = subqueue_index
    push_back(root, subqueue, index)
    size = packet.size_bytes
    subqueue.packets += 1
    subqueue.bytes += size
    queue.packets += 1
    queue.bytes += size
    queue.max_packets = max(queue.max_packets, queue.packets)
    queue.max_bytes = max(queue.max_bytes, queue.bytes)


@inlined
def detach(root: Record, queue_index: int, subqueue_index: int) -> int:
    """Take the first packet of a sub-queue out, whatever becomes of it; `NONE` if there is none."""
    subqueue = subqueues(root)[subqueue_index]
    index: int = subqueue.head
    if index == NONE:
        return NONE
    settle(root, queue_index)
    queue = queues(root)[queue_index]
    packet = packets(root)[index]
    subqueue.head = packet.next
    if subqueue.head == NONE:
        subqueue.tail = NONE
    size = packet.size_bytes
    subqueue.packets -= 1
    subqueue.bytes -= size
    queue.packets -= 1
    queue.bytes -= size
    return index


@compiled
def discard(root: Record, queue_index: int, subqueue_index: int, index: int) -> None:
    """Count a packet, which is in no list, as dropped and give it back to the pool."""
    queue = queues(root)[queue_index]
    queue.dropped_packets += 1
    queue.dropped_bytes += packets(root)[index].size_bytes
    subqueues(root)[subqueue_index].dropped_packets += 1
    drops(root)[packets(root)[index].flow] += 1
    release(root, index)


@compiled
def count_mark(root: Record, queue_index: int, subqueue_index: int) -> None:
    """Count a congestion mark."""
    queues(root)[queue_index].marked_packets += 1
    subqueues(root)[subqueue_index].marked_packets += 1


@inlined
def depart(root: Record, queue_index: int, subqueue_index: int, index: int) -> None:
    """Count a packet that goes to the transmitter, and how long it waited."""
    queue = queues(root)[queue_index]
    subqueue = subqueues(root)[subqueue_index]
    packet = packets(root)[index]
    size = packet.size_bytes
    queue.sent_packets += 1
    queue.sent_bytes += size
    subqueue.sent_packets += 1
    subqueue.sent_bytes += size
    waited = root.now_ns - packet.time_ns
    queue.sojourn_sum_ns += waited
    queue.sojourn_max_ns = max(queue.sojourn_max_ns, waited)
    place = waited >> queue.sojourn_shift
    level = 0
    while place >= SOJOURN_BINS and level < SOJOURN_LEVELS - 1:
        place >>= SOJOURN_LEVEL_SHIFT
        level += 1
    place = min(place, SOJOURN_BINS - 1)
    sojourns(root)[(queue_index * SOJOURN_LEVELS + level) * SOJOURN_BINS + place] += 1
