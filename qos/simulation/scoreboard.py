"""The sender's scoreboard: what was sent, SACKed, judged lost, sent again (RFC 6675, section 4).

Segments are numbered; their entries lie in a ring that doubles when it is full. A segment counts as lost when
three SACKed segments lie above it, so the boundary is the third-highest SACKed segment and each segment is
judged once.
"""

# mypy: disable-error-code="no-any-return"
# Compiled code reads records, whose fields the type checker does not know.
from __future__ import annotations

from qos.compiled import compiled, inlined
from qos.simulation.layout import (
    APP_LIMITED,
    EVER_RETRANSMITTED,
    LOST,
    RECEIVED,
    RECOVERY_CLASSIC,
    RETRANSMITTED,
    SACKED,
)
from qos.simulation.memory import segments, slot
from schedulers.packet.layout import NONE, Record


@inlined
def in_flight(flow: Record) -> int:
    """Count the bytes in the network: RFC 6675's pipe."""
    sent = flow.next_bytes - flow.una_bytes
    count: int = sent - flow.sacked_bytes - flow.lost_bytes + flow.retransmitted_bytes
    return count


@compiled
def grow_ring(root: Record, flow: Record) -> None:
    """Move the scoreboard to a ring of twice the size at the end of the arena."""
    arena = segments(root)
    size = flow.ring_size
    start = root.next_segment
    root.next_segment = start + 2 * size
    for number in range(flow.una, flow.next):
        old = arena[flow.ring + (number & (size - 1))]
        new = arena[start + (number & (2 * size - 1))]
        new.sent_ns = old.sent_ns
        new.received = old.received
        new.delivered_bytes = old.delivered_bytes
        new.delivered_ns = old.delivered_ns
        new.first_sent_ns = old.first_sent_ns
        new.size_bytes = old.size_bytes
        new.flags = old.flags
    flow.ring = start
    flow.ring_size = 2 * size


@inlined
def note_delivered(root: Record, flow: Record, segment: Record) -> None:
    """Count a segment as delivered and take its rate sample (draft-cheng-iccrg-delivery-rate-estimation)."""
    flow.delivered_bytes += segment.size_bytes
    flow.delivered_ns = root.now_ns
    flow.newly_delivered += segment.size_bytes
    if segment.delivered_bytes >= flow.sample_prior_delivered and segment.delivered_ns >= 0:
        flow.sample_prior_delivered = segment.delivered_bytes
        sending = segment.sent_ns - segment.first_sent_ns
        flow.sample_interval_ns = max(sending, root.now_ns - segment.delivered_ns)
        flow.sample_app_limited = segment.flags & APP_LIMITED
        flow.first_sent_ns = segment.sent_ns
    if flow.rack and segment.flags & SACKED == 0:
        _note_rack(root, flow, segment)


@compiled
def _note_rack(root: Record, flow: Record, segment: Record) -> None:
    """Remember the latest sent of the segments that arrived (RFC 8985, section 6.2, step 2)."""
    # The echoed timestamp tells whether an earlier transmission arrived.
    if segment.flags & EVER_RETRANSMITTED and flow.echo_seen_ns < segment.sent_ns:
        return
    if segment.sent_ns >= flow.rack_sent_ns:
        flow.rack_sent_ns = segment.sent_ns
        flow.rack_rtt_ns = root.now_ns - segment.sent_ns


@compiled
def sack(root: Record, flow: Record, number: int) -> int:
    """Mark a segment as SACKed; give its bytes if it was not before, else 0."""
    if number < flow.una or number >= flow.next:
        return 0
    segment = slot(root, flow, number)
    if segment.flags & SACKED:
        return 0
    size: int = segment.size_bytes
    note_delivered(root, flow, segment)
    if segment.flags & LOST:
        flow.lost_bytes -= size
    segment.flags = (segment.flags | SACKED) & ~LOST
    # RFC 6675's pipe counts no SACKed octet. ns-3, whose classic recovery is to be compared with, counts a
    # retransmission as in flight until it is acknowledged cumulatively.
    if flow.recovery_kind != RECOVERY_CLASSIC and segment.flags & RETRANSMITTED:
        flow.retransmitted_bytes -= size
        segment.flags &= ~RETRANSMITTED
    flow.sacked_bytes += size
    if number > flow.high_1:
        flow.high_3 = flow.high_2
        flow.high_2 = flow.high_1
        flow.high_1 = number
    elif number > flow.high_2:
        flow.high_3 = flow.high_2
        flow.high_2 = number
    elif number > flow.high_3:
        flow.high_3 = number
    return size


@compiled
def sack_all(root: Record, flow: Record, received: int) -> int:
    """Mark all that the receiver had when it had received so many segments; after a lost ACK."""
    total = 0
    for number in range(flow.una, flow.next):
        segment = slot(root, flow, number)
        if segment.flags & RECEIVED and segment.received <= received:
            total += sack(root, flow, number)
    return total


@compiled
def mark_lost(flow: Record, segment: Record) -> None:
    """Count a segment as lost, and not in flight."""
    segment.flags |= LOST
    flow.lost_bytes += segment.size_bytes
    flow.newly_lost += segment.size_bytes
    flow.ever_lost_bytes += segment.size_bytes


@compiled
def judge(root: Record, flow: Record) -> None:
    """Mark as lost what has three SACKed segments above it (RFC 6675, IsLost)."""
    for number in range(max(flow.lost_below, flow.una), flow.high_3):
        segment = slot(root, flow, number)
        if segment.flags & (SACKED | LOST) == 0:
            mark_lost(flow, segment)
            flow.retransmit_from = min(flow.retransmit_from, number)
    flow.lost_below = max(flow.lost_below, flow.high_3)


@inlined
def head_is(root: Record, flow: Record, flag: int) -> bool:
    """Say whether the first unacknowledged segment carries a flag."""
    return flow.una < flow.next and slot(root, flow, flow.una).flags & flag != 0


@inlined
def discard_until(root: Record, flow: Record, cumulative: int) -> int:
    """Take what is acknowledged off the scoreboard; give the bytes."""
    total = 0
    for number in range(flow.una, cumulative):
        segment = slot(root, flow, number)
        size = segment.size_bytes
        total += size
        if segment.flags & SACKED:
            flow.sacked_bytes -= size
        else:
            note_delivered(root, flow, segment)
        if segment.flags & LOST:
            flow.lost_bytes -= size
        if segment.flags & RETRANSMITTED:
            flow.retransmitted_bytes -= size
            flow.retransmission_acked = 1
    flow.una = cumulative
    flow.una_bytes += total
    flow.retransmit_from = max(flow.retransmit_from, cumulative)
    return total


@compiled
def next_lost(root: Record, flow: Record) -> int:
    """Find the first segment that is lost and was not sent again, `NONE` if there is none."""
    if flow.lost_bytes == 0:
        return NONE
    for number in range(flow.retransmit_from, flow.next):
        if slot(root, flow, number).flags & (LOST | RETRANSMITTED | SACKED) == LOST:
            flow.retransmit_from = number
            return number
    flow.retransmit_from = flow.next
    return NONE


@compiled
def first_unsacked(root: Record, flow: Record) -> int:
    """Find what RFC 6675's rule 3 sends: below the highest SACK, neither lost nor sent again, else `NONE`."""
    for number in range(flow.una, min(flow.high_1, flow.next)):
        if slot(root, flow, number).flags & (RETRANSMITTED | SACKED) == 0:
            return number
    return NONE


@compiled
def lose_all(root: Record, flow: Record) -> None:
    """Mark everything that is not SACKed as lost, after a timeout (RFC 6675, section 5.1)."""
    flow.retransmitted_bytes = 0
    flow.lost_bytes = 0
    for number in range(flow.una, flow.next):
        segment = slot(root, flow, number)
        segment.flags = (segment.flags | EVER_RETRANSMITTED) & ~RETRANSMITTED
        if segment.flags & SACKED == 0:
            if segment.flags & LOST == 0:
                flow.ever_lost_bytes += segment.size_bytes
            segment.flags |= LOST
            flow.lost_bytes += segment.size_bytes
    flow.retransmit_from = flow.una
    flow.lost_below = flow.next
