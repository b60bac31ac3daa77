"""The memory that packets and queues live in: flat arrays of records, shared by all disciplines.

A queue is one record of `QUEUE_DTYPE` and a block of sub-queues, records of `SUBQUEUE_DTYPE`: one for
a FIFO, one a hash bucket for a fair queue. Waiting packets are records of `PACKET_DTYPE`, linked
through `next` by their index. Times are integer nanoseconds. Everything being arrays, the state of a
simulation is copied by copying them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

NONE = -1
"""No packet, no sub-queue."""

# Flags of a packet.
PACKET_ACK = 1
PACKET_SYN = 2
PACKET_ECT = 4
PACKET_CE = 8
PACKET_RETRANSMISSION = 16
PACKET_DATAGRAM = 32
PACKET_ECE = 64
PACKET_PURE_ACK = 128
"""The sender's own acknowledgement that ends the handshake: the receiver ignores it."""

# Who goes next.
SCHEDULE_FIFO = 0
SCHEDULE_DRR = 1
SCHEDULE_FAIR = 2
SCHEDULE_HTB = 3
"""Deficit round robin with new flows first (RFC 8290, section 4.2)."""

# What is dropped or marked before its time.
AQM_NONE = 0
AQM_CODEL = 1
AQM_PIE = 2
AQM_COBALT = 3

# Which sub-queue a flow uses.
HASH_PERFECT = 0
HASH_PLAIN = 1
HASH_SET_ASSOCIATIVE = 2

# Life of a sub-queue in a fair queue.
IDLE = 0
IN_NEW = 1
IN_OLD = 2

ARRAYS = (
    "events",
    "packets",
    "segments",
    "links",
    "queues",
    "subqueues",
    "flows",
    "routes",
    "traces",
    "tables",
    "sojourns",
    "backlogs",
    "rtts",
    "memory",
    "parameters",
    "drops",
)
"""The arrays that make up a simulation, apart from the control record itself."""

SOJOURN_BINS = 1024
SOJOURN_LEVELS = 3
SOJOURN_LEVEL_SHIFT = 5
"""Each level of the histogram is 32 times coarser than the one before."""

PACKET_DTYPE = np.dtype(
    [
        ("time_ns", "i8"),  # when it was enqueued; in a delay line: when it arrives
        ("sent_ns", "i8"),  # timestamp that the acknowledgement echoes
        ("segment", "i8"),  # number of the segment; of an ACK: the one that triggered it
        ("cumulative", "i8"),  # of an ACK: first segment not yet received
        ("flow", "i4"),
        ("size_bytes", "i4"),
        ("next", "i4"),
        ("hop", "i4"),
        ("flags", "i4"),
        ("subqueue", "i4"),
        ("received", "i8"),  # of an ACK: the receiver's count of segments when it was sent
    ],
    align=True,
)

PACKET_BYTES = PACKET_DTYPE.itemsize

SUBQUEUE_DTYPE = np.dtype(
    [
        ("head", "i8"),
        ("tail", "i8"),
        ("packets", "i8"),
        ("bytes", "i8"),
        ("deficit_bytes", "i8"),
        ("state", "i8"),
        ("next", "i8"),
        ("tag", "i8"),  # flow that owns the bucket of a set-associative hash
        ("limit_packets", "i8"),
        ("limit_bytes", "i8"),
        # counters, as a kernel's statistics dump has them
        ("arrived_packets", "i8"),
        ("sent_packets", "i8"),
        ("sent_bytes", "i8"),
        ("dropped_packets", "i8"),
        ("marked_packets", "i8"),
        ("activations", "i8"),  # times that the queue went from idle to busy
        # CoDel and COBALT
        ("first_above_ns", "i8"),
        ("drop_next_ns", "i8"),
        ("count", "i8"),
        ("last_count", "i8"),
        ("dropping", "i8"),
        ("inverse_root", "i8"),
        # BLUE part of COBALT, and PIE
        ("probability", "f8"),
        ("blue_update_ns", "i8"),
        ("delay_ns", "i8"),
        ("delay_old_ns", "i8"),
        ("burst_allowance_ns", "i8"),
        ("burst_state", "i8"),
        ("burst_reset", "i8"),
    ],
    align=True,
)

SUBQUEUE_BYTES = SUBQUEUE_DTYPE.itemsize
SUBQUEUE_USED_BYTES = int(SUBQUEUE_DTYPE.fields["probability"][1])  # type: ignore[index]
"""Where the part of a sub-queue ends that most packets need."""

QUEUE_DTYPE = np.dtype(
    [
        ("schedule", "i8"),
        ("aqm", "i8"),
        ("hash", "i8"),
        ("perturbation", "u8"),
        ("ecn", "i8"),
        ("first", "i8"),  # its block of sub-queues
        ("subqueues", "i8"),
        ("ways", "i8"),
        ("quantum_bytes", "i8"),
        ("limit_packets", "i8"),
        ("limit_bytes", "i8"),
        ("drop_batch", "i8"),
        ("target_ns", "i8"),
        ("interval_ns", "i8"),
        ("mtu_bytes", "i8"),
        ("shared_backlog", "i8"),  # CoDel looks at the backlog of all flows
        ("ce_threshold_ns", "i8"),
        ("blue_increment", "f8"),
        ("blue_decrement", "f8"),
        ("blue_threshold_ns", "i8"),
        ("pie_alpha", "f8"),
        ("pie_beta", "f8"),
        ("pie_update_ns", "i8"),
        ("pie_burst_ns", "i8"),
        ("pie_mark_below", "f8"),
        ("random", "u8"),
        ("policy", "i8"),  # the per-packet limit policy, 0: none
        # now
        ("packets", "i8"),
        ("bytes", "i8"),
        ("new_head", "i8"),
        ("new_tail", "i8"),
        ("old_head", "i8"),
        ("old_tail", "i8"),
        # totals
        ("arrived_packets", "i8"),
        ("arrived_bytes", "i8"),
        ("sent_packets", "i8"),
        ("sent_bytes", "i8"),
        ("dropped_packets", "i8"),
        ("dropped_bytes", "i8"),
        ("marked_packets", "i8"),
        ("changed_ns", "i8"),
        ("area_packets_ns", "f8"),
        ("area_bytes_ns", "f8"),
        ("max_packets", "i8"),
        ("max_bytes", "i8"),
        ("sample_next_ns", "i8"),
        ("sample_every_ns", "i8"),
        ("samples", "i8"),
        ("sample_sum", "i8"),
        ("sample_max", "i8"),
        ("sojourn_sum_ns", "f8"),
        ("sojourn_max_ns", "i8"),
        ("sojourn_shift", "i8"),
        ("backlog_bins", "i8"),
    ],
    align=True,
)

CONTROL_DTYPE = np.dtype(
    [
        ("now_ns", "i8"),
        ("order", "i8"),
        ("events_pending", "i8"),
        ("events_run", "i8"),
        ("free_packet", "i8"),
        ("free_packets", "i8"),
        ("next_segment", "i8"),  # first unused slot of the scoreboards' arena
        ("burst", "i8"),  # most packets that one event can send
        ("outbox_head", "i8"),  # packets that the present event sends
        ("outbox_tail", "i8"),
        ("wake", "i8"),  # flow that may send after the present event
        # Addresses and lengths of the arrays, filled in before compiled code runs.
        *((name, "i8") for name in ARRAYS),
        *((f"{name}_count", "i8") for name in ARRAYS),
        ("memory_width", "i8"),
    ],
    align=True,
)
"""The clock and the free list, and where all other arrays are: compiled functions take this one record."""

Records = Any
"""An array of records; compiled code knows its layout, the type checker does not."""

Record = Any
"""One record, written through."""
