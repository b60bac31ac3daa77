"""The whole state of a simulation as a few arrays of records.

Nothing else is kept while events run, so a snapshot is a copy of these arrays and a fork continues
from the copy. Times are integer nanoseconds, so a run does not depend on the size of the clock.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from schedulers.packet.layout import Records

# Kinds of events; an event's code is kind * KIND + index.
KIND = 1 << 32
EVENT_TRANSMITTED = 0
EVENT_ARRIVAL = 1
EVENT_ACK = 2
EVENT_TIMEOUT = 3
EVENT_PACE = 4
EVENT_APPLICATION = 5
EVENT_DELAYED_ACK = 6
EVENT_PIE = 7
EVENT_RATE = 8
EVENT_RACK = 9

# Why `advance` came back.
DONE = 0
NEEDS_PACKETS = 1
NEEDS_SEGMENTS = 2
NEEDS_EVENTS = 3

# States of a sender (RFC 5681, RFC 6675).
OPEN = 0
DISORDER = 1
RECOVERY = 2
LOSS = 3
REDUCED = 4
"""The window was reduced because of congestion marks (RFC 3168, section 6.1.2)."""

# Life of a connection.
WAITING = 0
CONNECTING = 1
ESTABLISHED = 2
STOPPED = 3

# Flags of a segment in the scoreboard.
SACKED = 1
LOST = 2
RETRANSMITTED = 4
RECEIVED = 8
EVER_RETRANSMITTED = 16
APP_LIMITED = 32
"""It was sent while the application had nothing more to send."""

# Congestion control.
NEWRENO = 0
CUBIC = 1
BIC = 2
BBR = 3
VEGAS = 4
DCTCP = 5
DATAGRAMS = 6

RECOVERY_CLASSIC = 0
RECOVERY_PRR = 1

# Applications.
BULK = 0
FIXED = 1
CONSTANT_RATE = 2
ON_OFF = 3
REQUEST_RESPONSE = 4
ADAPTIVE_BITRATE = 5
REPLAY = 6

RTT_BINS = 256
RTT_LEVELS = 3
RTT_LEVEL_SHIFT = 4

EVENT_DTYPE = np.dtype([("time_ns", "i8"), ("order", "i8"), ("code", "i8")], align=True)

LINK_DTYPE = np.dtype(
    [
        ("rate_bps", "i8"),
        ("delay_ns", "i8"),
        ("overhead_bytes", "i8"),
        ("transmitting", "i8"),
        ("ring_limit", "i8"),
        ("ring_head", "i8"),
        ("ring_tail", "i8"),
        ("ring_packets", "i8"),
        ("line_head", "i8"),
        ("line_tail", "i8"),
        ("loss_probability", "f8"),
        ("random", "u8"),
        ("size_bytes", "i8"),  # of the packet whose transmission time is remembered
        ("size_ns", "i8"),
        ("transmitted_packets", "i8"),
        ("busy_ns", "i8"),  # transmission times of all packets, that of the present one included
        ("transmission_end_ns", "i8"),
        ("burst_ns", "i8"),  # most of its time that an idle link saves up
        ("credit_ns", "i8"),  # what is saved
        ("early_ns", "i8"),  # so much of the present packet's transmission time was paid from it
        ("arrived_ns", "i8"),  # when the last packet was at the other end, less the delay
        ("lost_packets", "i8"),
        ("trace_first", "i8"),
        ("trace_length", "i8"),
        ("trace_position", "i8"),
        ("trace_period_ns", "i8"),
        ("trace_base_ns", "i8"),
    ],
    align=True,
)

SEGMENT_DTYPE = np.dtype(
    [
        ("sent_ns", "i8"),
        ("received", "i8"),  # the receiver's count when it came in
        ("delivered_bytes", "i8"),
        ("delivered_ns", "i8"),
        ("first_sent_ns", "i8"),
        ("size_bytes", "i4"),
        ("flags", "i4"),
    ],
    align=True,
)

# The fields of a flow lie in the order in which a packet meets them, and those that every packet needs
# together: with many flows a packet costs what it misses in the cache (docs/simulate.md, "Speed").

_FLOW_SENDER = [
    # What an acknowledgement reads first
    ("ack_head", "i8"),
    ("ack_tail", "i8"),
    ("life", "i2"),
    ("state", "i2"),
    ("sender", "i2"),
    ("application", "i2"),
    ("recovery_kind", "i2"),
    ("rack", "i2"),
    ("ecn", "i2"),
    ("pacing", "i2"),
    ("linux", "i8"),
    ("header_bytes", "i4"),
    ("mss_bytes", "i4"),
    ("una", "i8"),  # first unacknowledged segment
    ("next", "i8"),  # next new segment
    ("ring", "i8"),  # scoreboard: offset into the arena of segments
    ("ring_size", "i8"),  # a power of two
    ("una_bytes", "i8"),
    ("next_bytes", "i8"),
    ("sacked_bytes", "i8"),
    ("lost_bytes", "i8"),
    ("retransmitted_bytes", "i8"),
    # The round-trip time
    ("tick_ns", "i8"),
    ("srtt_ns", "i8"),
    ("rttvar_ns", "i8"),
    ("rtt_ns", "i8"),
    ("min_rtt_ns", "i8"),
    ("rto_ns", "i8"),
    ("min_rto_ns", "i8"),
    ("timer_tick_ns", "i8"),
    ("rto_deadline_ns", "i8"),  # 0: not running
    ("rto_event_ns", "i8"),  # earliest event in the heap, 0: none
    ("rtt_samples", "i8"),
    ("rtt_sum_ns", "f8"),
    ("rtt_max_ns", "i8"),
    ("rtt_shift", "i8"),
    # What was delivered
    ("delivered_bytes", "i8"),
    ("delivered_ns", "i8"),
    ("first_sent_ns", "i8"),
    ("newly_delivered", "i8"),
    ("newly_lost", "i8"),
    ("prior_flight", "i8"),
    ("retransmission_acked", "i8"),
    ("una_advanced", "i8"),
    ("ever_lost_bytes", "i8"),
    ("sample_interval_ns", "i8"),
    ("sample_prior_delivered", "i8"),
    ("sample_app_limited", "i8"),
    ("app_limited_bytes", "i8"),  # samples are limited by the application until so much is delivered; 0: not
    ("echo_seen_ns", "i8"),
    ("ack_seen", "i8"),
    # The window, and what may be sent
    ("cwnd_bytes", "i8"),
    ("ssthresh_bytes", "i8"),
    ("recover", "i8"),
    ("recover_active", "i8"),
    ("duplicates", "i8"),
    ("unaccounted_bytes", "i8"),
    ("retransmit_from", "i8"),
    ("written_bytes", "i8"),
    ("write_bytes", "i8"),
    ("send_buffer_bytes", "i8"),
    ("receive_window_bytes", "i8"),
    ("sent_packets", "i8"),
    ("sent_bytes", "i8"),
    ("route", "i8"),  # offset into the array of routes
]

_FLOW_CONGESTION_CONTROL = [
    # CUBIC and BIC
    ("hystart", "i4"),
    ("friendly", "i4"),
    ("byte_counting", "i8"),
    ("w_max", "i8"),
    ("origin", "i8"),
    ("k_s", "f8"),
    ("epoch_ns", "i8"),
    ("count", "i8"),
    ("ack_count", "i8"),
    ("reno_window", "i8"),
    ("delay_min_ns", "i8"),
    # HyStart
    ("hystart_found", "i8"),
    ("hystart_round_ns", "i8"),
    ("hystart_end", "i8"),
    ("hystart_last_ns", "i8"),
    ("hystart_rtt_ns", "i8"),
    ("hystart_samples", "i8"),
]

_FLOW_RECEIVER = [
    ("hops", "i4"),
    ("ack_hops", "i4"),
    ("ack_every", "i4"),
    ("ce_state", "i4"),
    ("receive_next", "i8"),
    ("received", "i8"),
    ("receive_high", "i8"),
    ("blocks", "i8"),
    ("held", "i8"),  # packet kept for the delayed acknowledgement
    ("unacked", "i8"),
    ("echo_ns", "i8"),
    ("delivered_in_order_bytes", "i8"),
    ("delivered_packets", "i8"),
    ("arrived_bytes", "i8"),
    ("ack_delay_ns", "i8"),
    ("ack_ns_per_byte", "f8"),
    ("ack_loss", "f8"),
    ("ack_overhead_bytes", "i8"),
    ("ack_last_ns", "i8"),
]

_FLOW_RECOVERY = [
    ("high_1", "i8"),  # the three highest segments that were SACKed
    ("high_2", "i8"),
    ("high_3", "i8"),
    ("lost_below", "i8"),  # all unSACKed segments below were judged
    ("first_partial", "i8"),
    ("prr_delivered", "i8"),
    ("prr_out", "i8"),
    ("prr_counted", "i8"),  # the present acknowledgement is in prr_delivered
    ("prr_flight", "i8"),
    ("tlp_deadline_ns", "i8"),
    ("tlp_outstanding", "i8"),
    ("rack_sent_ns", "i8"),
    ("rack_rtt_ns", "i8"),
    ("rack_deadline_ns", "i8"),
    ("rack_event_ns", "i8"),
    ("ece_until", "i8"),
    ("pacing_rate_bps", "f8"),
    ("pace_next_ns", "i8"),
    ("pace_event", "i8"),
]

_FLOW_OTHER_CONGESTION_CONTROL = [
    # Vegas
    ("vegas_base_ns", "i8"),
    ("vegas_min_ns", "i8"),
    ("vegas_count", "i8"),
    ("vegas_end", "i8"),
    # DCTCP
    ("dctcp_alpha", "f8"),
    ("dctcp_acked", "i8"),
    ("dctcp_marked", "i8"),
    ("dctcp_end", "i8"),
    # BBR
    ("bbr_state", "i8"),
    ("bbr_round", "i8"),
    ("bbr_round_end", "i8"),
    ("bbr_round_start", "i8"),
    ("bbr_pacing_gain", "f8"),
    ("bbr_cwnd_gain", "f8"),
    ("bbr_full_bps", "f8"),
    ("bbr_full_count", "i8"),
    ("bbr_full", "i8"),
    ("bbr_cycle", "i8"),
    ("bbr_cycle_ns", "i8"),
    ("bbr_rtt_ns", "i8"),
    ("bbr_rtt_stamp_ns", "i8"),
    ("bbr_probe_done_ns", "i8"),
    ("bbr_probe_round_done", "i8"),
    ("bbr_prior_cwnd", "i8"),
    ("bbr_conservation", "i8"),
    ("bbr_state_before", "i8"),  # the flow's state at the last acknowledgement
    ("bbr_max_0_bps", "f8"),
    ("bbr_max_1_bps", "f8"),
    ("bbr_max_2_bps", "f8"),
    ("bbr_max_0_round", "i8"),
    ("bbr_max_1_round", "i8"),
    ("bbr_max_2_round", "i8"),
    ("bbr_extra_0_bytes", "i8"),  # most that acknowledgements delivered too early, of five to ten rounds
    ("bbr_extra_1_bytes", "i8"),
    ("bbr_extra_rounds", "i8"),
    ("bbr_epoch_ns", "i8"),
    ("bbr_epoch_bytes", "i8"),
    ("bbr_policed", "i8"),  # 0: no, 1: an interval is measured, 2: the long-term rate is used
    ("bbr_long_bps", "f8"),
    ("bbr_long_ns", "i8"),
    ("bbr_long_delivered", "i8"),
    ("bbr_long_lost", "i8"),
    ("bbr_long_rounds", "i8"),
]

_FLOW_APPLICATION = [
    ("app_total_bytes", "i8"),  # bytes that the application has wished to send so far
    ("app_size_bytes", "i8"),
    ("app_rate_bps", "i8"),
    ("app_on_s", "f8"),
    ("app_off_s", "f8"),
    ("app_on", "i8"),
    ("app_until_ns", "i8"),
    ("app_period_ns", "i8"),
    ("app_transfers", "i8"),
    ("app_transfer_sum_ns", "f8"),
    ("app_transfer_start_ns", "i8"),
    ("app_ladder", "i8"),
    ("app_ladder_length", "i8"),
    ("app_level", "i8"),
    ("app_buffer_ns", "i8"),
    ("app_buffer_max_ns", "i8"),
    ("app_buffer_stamp_ns", "i8"),
    ("app_stalled_ns", "i8"),
    ("app_level_sum", "i8"),
]

_FLOW_SELDOM = [
    ("handshake", "i8"),
    ("handshake_sample", "i8"),
    ("initial_window_bytes", "i8"),
    ("delayed_ack_ns", "i8"),
    ("delayed_ack_deadline_ns", "i8"),
    ("delayed_ack_event_ns", "i8"),  # earliest event in the heap, 0: none
    ("duplicates_sent", "i8"),  # acknowledgements of the same missing segment
    ("compressed_next", "i8"),  # that segment
    ("quick_acks", "i8"),  # segments that are still acknowledged at once
    ("start_ns", "i8"),
    ("stop_ns", "i8"),
    ("delay_bound_ns", "i8"),
    ("ack_route", "i8"),
    ("random", "u8"),
    ("late_packets", "i8"),
    ("retransmissions", "i8"),
    ("timeouts", "i8"),
    ("recoveries", "i8"),
    ("dropped_packets", "i8"),
    ("marked_packets", "i8"),
    ("finished_ns", "i8"),
]

FLOW_DTYPE = np.dtype(
    _FLOW_SENDER
    + _FLOW_CONGESTION_CONTROL
    + _FLOW_RECEIVER
    + _FLOW_RECOVERY
    + _FLOW_OTHER_CONGESTION_CONTROL
    + _FLOW_APPLICATION
    + _FLOW_SELDOM,
    align=True,
)

FLOW_BYTES = FLOW_DTYPE.itemsize


def _place(name: str) -> int:
    return int(FLOW_DTYPE.fields[name][1])  # type: ignore[index]


SEGMENT_BYTES = SEGMENT_DTYPE.itemsize
SCOREBOARD_BYTE = _place("ring")
SENDER_BYTES = _place("hystart_found")
"""Where the part of a flow ends that an acknowledgement needs."""
RECEIVER_FIRST_BYTE = _place("hops")
RECEIVER_LAST_BYTE = _place("high_1")
"""The part of a flow that a packet needs at the receiver."""


class State(NamedTuple):
    """Every array of a simulation.

    Attributes
    ----------
    control
        One record: the clock, the free list of packets.
    events
        The heap of pending events; at most a few entries a link and a flow.
    packets
        The pool of packets; the unused ones are linked from ``control.free_packet``.
    segments
        The arena of the senders' scoreboards.
    links, queues
        One record a direction of a link; the queue in front of link ``i`` is queue ``i``.
    subqueues
        The blocks of sub-queues of all queues.
    flows
        One record a flow.
    routes
        Numbers of links, shape ``(n,)``; each flow names its part.
    traces
        Times (ns) and rates (bit/s) of links that change, shape ``(n, 2)``.
    tables
        Integers that applications need: ladders of bitrates, arrival patterns.
    sojourns, backlogs, rtts
        Histograms: packets by sojourn time, nanoseconds by backlog, samples by round-trip time.
    memory
        What a per-packet limit policy keeps of each sub-queue, float64, shape ``(subqueues, n)``.
    parameters
        What a per-packet limit policy was trained to, float64, shape ``(n,)``.
    drops
        Packets of each flow that queues dropped, int64, shape ``(flows,)``.
    """

    control: Records
    events: Records
    packets: Records
    segments: Records
    links: Records
    queues: Records
    subqueues: Records
    flows: Records
    routes: Records
    traces: Records
    tables: Records
    sojourns: Records
    backlogs: Records
    rtts: Records
    memory: Records
    parameters: Records
    drops: Records
