"""What is to be simulated: flows with their senders and applications, on a topology with queues."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from qos.errors import ValueRefusedError
from schedulers.packet.registry import QueueConfiguration, queue
from topologies.model import Node, Topology, WiredLink

SENDERS = ("newreno", "cubic", "bic", "bbr", "vegas", "dctcp", "udp")
RECOVERIES = ("classic", "prr")
LOSS_DETECTIONS = ("sack", "rack")
MAX_TIME_S = 1e6


def refuse_unknown(what: str, name: object, names: tuple[str, ...]) -> None:
    """Refuse a name that is not among `names`, and say the nearest.

    Raises
    ------
    ValueRefusedError
        If it is unknown.
    """
    if name in names:
        return
    near = difflib.get_close_matches(str(name), names, n=3, cutoff=0.4)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    raise ValueRefusedError(f"unknown {what} {str(name)[:40]!r}; known: {', '.join(names)}{hint}")


def check_range(what: str, value: object, low: float, high: float, *, open_low: bool = False) -> None:
    """Refuse a number outside of its range.

    Raises
    ------
    ValueRefusedError
        If it is no finite number from `low` to `high`.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueRefusedError(f"{what} must be a number, not {value!r}")
    if not low <= value <= high or (open_low and value == low):
        start = f"more than {low:g}" if open_low else f"at least {low:g}"
        raise ValueRefusedError(f"{what} must be {start} and at most {high:g}, not {value!r}")


def check_whole(what: str, value: object, low: int, high: int) -> None:
    """Refuse what is no whole number from `low` to `high`.

    Raises
    ------
    ValueRefusedError
        If it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueRefusedError(f"{what} must be a whole number from {low} to {high}, not {value!r}")


def check_flag(what: str, value: object) -> None:
    """Refuse what is neither true nor false.

    Raises
    ------
    ValueRefusedError
        If it is not.
    """
    if not isinstance(value, bool):
        raise ValueRefusedError(f"{what} must be true or false, not {str(value)[:40]!r}")


@dataclass(frozen=True)
class Bulk:
    """Send as much as the connection carries; the application writes `write_bytes` at once."""

    write_bytes: int = 1000

    def __post_init__(self) -> None:
        check_whole("bulk: write_bytes", self.write_bytes, 1, 1 << 30)


@dataclass(frozen=True)
class FixedSize:
    """Send `size_bytes` and end."""

    size_bytes: int

    def __post_init__(self) -> None:
        check_whole("fixed: size_bytes", self.size_bytes, 1, 1 << 40)


@dataclass(frozen=True)
class ConstantRate:
    """Send messages of `packet_bytes` at `rate_bps` of payload."""

    rate_bps: int
    packet_bytes: int = 1446

    def __post_init__(self) -> None:
        check_whole("constant rate: rate_bps", self.rate_bps, 1, 10**12)
        check_whole("constant rate: packet_bytes", self.packet_bytes, 1, 65_000)


@dataclass(frozen=True)
class OnOff:
    """Send at a constant rate for exponential times of mean `on_s`, with pauses of mean `off_s` between."""

    rate_bps: int
    on_s: float
    off_s: float
    packet_bytes: int = 1446

    def __post_init__(self) -> None:
        check_whole("on/off: rate_bps", self.rate_bps, 1, 10**12)
        check_whole("on/off: packet_bytes", self.packet_bytes, 1, 65_000)
        check_range("on/off: on_s", self.on_s, 0, MAX_TIME_S, open_low=True)
        check_range("on/off: off_s", self.off_s, 0, MAX_TIME_S, open_low=True)


@dataclass(frozen=True)
class RequestResponse:
    """Send responses of `size_bytes`, each asked for an exponential time of mean `think_s` after the last."""

    size_bytes: int
    think_s: float

    def __post_init__(self) -> None:
        check_whole("request/response: size_bytes", self.size_bytes, 1, 1 << 40)
        check_range("request/response: think_s", self.think_s, 0, MAX_TIME_S)


@dataclass(frozen=True)
class AdaptiveBitrate:
    """Stream video: chunks of `chunk_s` at one of the bitrates, chosen by what is in the buffer."""

    bitrates_bps: tuple[int, ...] = (400_000, 1_000_000, 2_500_000, 5_000_000, 8_000_000)
    chunk_s: float = 2.0
    buffer_s: float = 20.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "bitrates_bps", tuple(self.bitrates_bps))
        if not self.bitrates_bps or list(self.bitrates_bps) != sorted(set(self.bitrates_bps)):
            raise ValueRefusedError("adaptive bitrate: bitrates_bps must be different and rising")
        for rate_bps in self.bitrates_bps:
            check_whole("adaptive bitrate: a bitrate", rate_bps, 1, 10**12)
        check_range("adaptive bitrate: chunk_s", self.chunk_s, 0, 3600, open_low=True)
        check_range("adaptive bitrate: buffer_s", self.buffer_s, 3 * self.chunk_s, MAX_TIME_S)


@dataclass(frozen=True)
class Replay:
    """Send packets at recorded times (s after the start, not falling) with recorded sizes (IP bytes)."""

    times_s: tuple[float, ...]
    sizes_bytes: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "times_s", tuple(self.times_s))
        object.__setattr__(self, "sizes_bytes", tuple(self.sizes_bytes))
        if len(self.times_s) != len(self.sizes_bytes) or not self.times_s:
            raise ValueRefusedError("replay: as many times_s as sizes_bytes are needed, at least one")
        previous = 0.0
        for time_s, size_bytes in zip(self.times_s, self.sizes_bytes, strict=True):
            check_range("replay: a time", time_s, 0, MAX_TIME_S)
            check_whole("replay: a size", size_bytes, 1, 65_535)
            if time_s < previous:
                raise ValueRefusedError("replay: times_s must not fall")
            previous = time_s


Application = Bulk | FixedSize | ConstantRate | OnOff | RequestResponse | AdaptiveBitrate | Replay


@dataclass(frozen=True)
class Transport:
    """How a flow's sender and receiver behave.

    The defaults are those of the LFQ paper's experiments (arXiv 2007.02735), which ns-3 ran; `linux()` makes
    what a Linux host does.

    Attributes
    ----------
    mss_bytes
        Payload of a full segment, 64 to 65 000.
    header_bytes
        IP and TCP headers with options, 20 to 200 (a UDP flow has 28).
    initial_cwnd
        First window in segments, 1 to 10 000.
    recovery
        ``classic`` (the window falls at once) or ``prr`` (RFC 6937).
    loss_detection
        ``sack`` (three SACKed segments above, RFC 6675) or ``rack`` (RACK-TLP, RFC 8985).
    hystart
        CUBIC ends slow start early by HyStart.
    friendly
        CUBIC grows at least like Reno (RFC 9438, section 4.3).
    ecn
        Packets are ECN-capable; DCTCP always is.
    pacing
        Packets of a window are spread over the round-trip time; BBR always does.
    ack_every
        Full segments an acknowledgement, 1 or 2.
    delayed_ack_s
        How long an acknowledgement may wait where `ack_every` is 2.
    quick_acks
        First segments of a connection that are acknowledged at once even where `ack_every` is 2, 0 to 1000.
    linux_details
        Linux's own ways where an RFC says otherwise or nothing. The timeout is the smoothed time and at least
        `min_rto_s` more; a probe for a lost tail of one segment waits `min_rto_s` more. NewReno's window is
        whole segments; windows grow by what an acknowledgement delivers, SACKed before or not; PRR counts
        from the window, not from what is in flight. Senders without pacing wait for room for a burst of a
        1024th of a second. After three duplicate acknowledgements SACKs wait a millisecond for more. BBR
        takes what its sources (``tcp_bbr.c``) add to the draft: acknowledgements in lumps, departure times,
        policers, the losses' own reduction.
    timer_tick_s
        Resolution of the timers, 0 to 0.1; those of RACK-TLP wait two more; 0: exact.
    byte_counting
        The window grows by the segments that an acknowledgement covers (RFC 3465, without a bound), not by
        one step an acknowledgement (RFC 5681).
    handshake
        The connection begins with SYN and SYN-ACK.
    handshake_sample
        Their round trip is the first sample of the round-trip time (RFC 7323, section 4.1), as in both named
        stacks (`transport_of`). Off otherwise: the shipped limit policies were trained without.
    send_buffer_bytes, receive_buffer_bytes
        Socket buffers.
    min_rto_s
        Least retransmission timeout.
    timestamp_tick_s
        Resolution of the timestamps that round-trip times are measured with; 0: exact.
    """

    mss_bytes: int = 1446
    header_bytes: int = 52
    initial_cwnd: int = 1
    recovery: str = "classic"
    loss_detection: str = "sack"
    hystart: bool = True
    friendly: bool = True
    ecn: bool = False
    pacing: bool = False
    ack_every: int = 1
    delayed_ack_s: float = 0.04
    quick_acks: int = 0
    byte_counting: bool = False
    linux_details: bool = False
    timer_tick_s: float = 0.0
    handshake: bool = True
    handshake_sample: bool = False
    send_buffer_bytes: int = 1 << 20
    receive_buffer_bytes: int = 1 << 20
    min_rto_s: float = 1.0
    timestamp_tick_s: float = 0.001

    def __post_init__(self) -> None:
        check_whole("mss_bytes", self.mss_bytes, 64, 65_000)
        check_whole("header_bytes", self.header_bytes, 20, 200)
        check_whole("initial_cwnd", self.initial_cwnd, 1, 10_000)
        refuse_unknown("recovery", self.recovery, RECOVERIES)
        refuse_unknown("loss detection", self.loss_detection, LOSS_DETECTIONS)
        for name in (
            "hystart",
            "friendly",
            "ecn",
            "pacing",
            "byte_counting",
            "linux_details",
            "handshake",
            "handshake_sample",
        ):
            check_flag(name, getattr(self, name))
        check_whole("ack_every", self.ack_every, 1, 2)
        check_whole("quick_acks", self.quick_acks, 0, 1000)
        check_range("delayed_ack_s", self.delayed_ack_s, 0, 1, open_low=True)
        for name in ("send_buffer_bytes", "receive_buffer_bytes"):
            check_whole(name, getattr(self, name), self.mss_bytes, 1 << 32)
        check_range("min_rto_s", self.min_rto_s, 0.001, 60)
        check_range("timestamp_tick_s", self.timestamp_tick_s, 0, 1)
        check_range("timer_tick_s", self.timer_tick_s, 0, 0.1)

    @classmethod
    def linux(cls, **changes: Any) -> Transport:
        """Make the stack of a Linux host as it comes (6.x, ``net.ipv4.tcp_*`` untouched), but for `changes`.

        Loss detection by RACK-TLP, recovery by PRR, HyStart, delayed acknowledgements after 16 quick ones,
        a first window of ten segments, byte counting, least RTO 200 ms, timers of 4 ms (250 Hz), exact
        round-trip times, buffers that may grow to 4 MiB (sender) and 3 MiB of window (receiver), MSS 1448
        (MTU 1500 with timestamps), and `linux_details`.

        Parameters
        ----------
        changes
            Attributes that differ.

        Raises
        ------
        ValueRefusedError
            If a value is out of its range.
        """
        return replace(cls(**_LINUX), **changes)


_LINUX: Mapping[str, Any] = MappingProxyType(
    {
        "mss_bytes": 1448,
        "initial_cwnd": 10,
        "recovery": "prr",
        "loss_detection": "rack",
        "ack_every": 2,
        "quick_acks": 16,
        "byte_counting": True,
        "linux_details": True,
        "timer_tick_s": 0.004,
        "handshake_sample": True,
        "send_buffer_bytes": 4 << 20,
        "receive_buffer_bytes": 3 << 20,
        "min_rto_s": 0.2,
        "timestamp_tick_s": 0.0,
    }
)
STACKS = ("ns3", "linux")
"""Named sets of the values of `Transport`: the LFQ paper's ns-3 (the defaults), and Linux."""


def transport_of(stack: str, **changes: Any) -> Transport:
    """Make a transport of a named stack.

    Parameters
    ----------
    stack
        One of `STACKS`.
    changes
        Attributes of `Transport` that differ.

    Raises
    ------
    ValueRefusedError
        If the stack is unknown or a value out of its range.
    """
    refuse_unknown("stack", stack, STACKS)
    return (
        Transport.linux(**changes) if stack == "linux" else Transport(**{"handshake_sample": True, **changes})
    )


@dataclass(frozen=True)
class Flow:
    """One flow of packets.

    Attributes
    ----------
    sender
        Congestion control, one of `SENDERS`.
    source, target
        Ids of two different nodes.
    application
        What is sent.
    transport
        How it is sent.
    start_s, stop_s
        When the application starts and stops; None: at the end of the simulation.
    via
        Ids of the links of the path, in order; empty: the path of least delay.
    delay_bound_s
        Datagrams with a longer one-way delay are counted as late; None: none is.
    """

    sender: str
    source: str
    target: str
    application: Application = field(default_factory=Bulk)
    transport: Transport = field(default_factory=Transport)
    start_s: float = 0.0
    stop_s: float | None = None
    via: tuple[str, ...] = ()
    delay_bound_s: float | None = None

    def __post_init__(self) -> None:
        refuse_unknown("sender", self.sender, SENDERS)
        object.__setattr__(self, "via", tuple(self.via))
        check_range("flow: start_s", self.start_s, 0, MAX_TIME_S)
        if self.stop_s is not None:
            check_range("flow: stop_s", self.stop_s, self.start_s, MAX_TIME_S, open_low=True)
        if self.delay_bound_s is not None:
            check_range("flow: delay_bound_s", self.delay_bound_s, 0, MAX_TIME_S, open_low=True)
        if self.source == self.target:
            raise ValueRefusedError(f"flow: source and target are both {self.source!r}")
        datagrams = self.sender == "udp"
        if datagrams and not isinstance(self.application, ConstantRate | OnOff | Replay):
            raise ValueRefusedError("a udp flow needs an application of constant rate, on/off or replay")
        if isinstance(self.application, Replay) and not datagrams:
            raise ValueRefusedError("a replay needs the sender udp")


@dataclass(frozen=True)
class RateTrace:
    """A rate that changes: at each time (s, rising) it takes the next value; it may repeat.

    Attributes
    ----------
    times_s, rates_bps
        As many times as rates; times from 0 on. At rate 0 no packet begins to be sent.
    period_s
        The trace begins anew after this time; None: the last rate stays.
    """

    times_s: tuple[float, ...]
    rates_bps: tuple[int, ...]
    period_s: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "times_s", tuple(self.times_s))
        object.__setattr__(self, "rates_bps", tuple(self.rates_bps))
        if not self.times_s or len(self.times_s) != len(self.rates_bps):
            raise ValueRefusedError("rate trace: as many times_s as rates_bps are needed, at least one")
        if any(b <= a for a, b in zip(self.times_s, self.times_s[1:], strict=False)):
            raise ValueRefusedError("rate trace: times_s must rise")
        for time_s, rate_bps in zip(self.times_s, self.rates_bps, strict=True):
            check_range("rate trace: a time", time_s, 0, MAX_TIME_S)
            check_whole("rate trace: a rate", rate_bps, 0, 10**12)
        if self.period_s is not None:
            check_range("rate trace: period_s", self.period_s, self.times_s[-1], MAX_TIME_S, open_low=True)


@dataclass(frozen=True)
class RateFunction:
    """A rate that a function gives: it is called at time 0 and every `every_s` after it.

    Attributes
    ----------
    rate_bps
        Takes the simulated time (s) and gives the rate (bit/s), a whole number from 0 to 10^12. It must give
        the same for the same time, so that forks and repetitions are the same.
    every_s
        Time between calls, at least a microsecond.
    """

    rate_bps: Callable[[float], int]
    every_s: float

    def __post_init__(self) -> None:
        if not callable(self.rate_bps):
            raise ValueRefusedError(f"rate function: rate_bps must be a function, not {self.rate_bps!r:.60}")
        check_range("rate function: every_s", self.every_s, 1e-6, MAX_TIME_S)

    def at(self, time_s: float) -> int:
        """Ask for the rate at a time.

        Raises
        ------
        ValueRefusedError
            If what the function gives is no rate.
        """
        rate_bps = self.rate_bps(time_s)
        check_whole(f"rate function at {time_s:g} s: the rate", rate_bps, 0, 10**12)
        return rate_bps


@dataclass(frozen=True)
class Scenario:
    """A simulation to run.

    Attributes
    ----------
    topology
        Nodes and wired links.
    flows
        At least one flow.
    duration_s
        Simulated time.
    queues
        Queue of a direction of a link, by (link id, id of the node that it leaves).
    default_queue
        Queue of all other directions.
    rates
        Rates that change, by traces or functions, by (link id, id of the node that it leaves).
    ring_packets
        Packets that a device takes from its queue beside the one in transmission, 0 to 10 000.
    frame_overhead_bytes
        Bytes that a link adds to an IP packet, 0 to 1000.
    burst_s
        Links are token buckets: what an idle one saves up of its time, at most so much, 0 to 10, pays for
        what it sends then, as the burst of Linux's HTB does; 0: nothing is saved.
    seed
        Seed of all random draws.
    sample_s
        Interval of the backlog samples.
    """

    topology: Topology
    flows: tuple[Flow, ...]
    duration_s: float
    queues: Mapping[tuple[str, str], QueueConfiguration] = field(default_factory=dict)
    default_queue: QueueConfiguration = field(default_factory=lambda: queue("fifo"))
    rates: Mapping[tuple[str, str], RateTrace | RateFunction] = field(default_factory=dict)
    ring_packets: int = 1
    frame_overhead_bytes: int = 2
    burst_s: float = 0.0
    seed: int = 0
    sample_s: float = 0.001

    def __post_init__(self) -> None:
        object.__setattr__(self, "flows", tuple(self.flows))
        object.__setattr__(self, "queues", MappingProxyType(dict(self.queues)))
        object.__setattr__(self, "rates", MappingProxyType(dict(self.rates)))
        check_range("duration_s", self.duration_s, 0, MAX_TIME_S, open_low=True)
        check_whole("ring_packets", self.ring_packets, 0, 10_000)
        check_whole("frame_overhead_bytes", self.frame_overhead_bytes, 0, 1000)
        check_range("burst_s", self.burst_s, 0, 10)
        check_whole("seed", self.seed, 0, (1 << 63) - 1)
        check_range("sample_s", self.sample_s, 1e-6, 3600)
        if not self.flows:
            raise ValueRefusedError("a scenario needs at least one flow")
        for place in (*self.queues, *self.rates):
            _check_direction(self.topology, place)

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle by content; a read-only mapping cannot be pickled itself."""
        values = (
            self.topology,
            self.flows,
            self.duration_s,
            dict(self.queues),
            self.default_queue,
            dict(self.rates),
            self.ring_packets,
            self.frame_overhead_bytes,
            self.burst_s,
            self.seed,
            self.sample_s,
        )
        return Scenario, values


def _check_direction(topology: Topology, place: tuple[str, str]) -> None:
    link_id, node_id = place
    link = topology.links.get(link_id)
    if link is None:
        refuse_unknown("link", link_id, tuple(topology.links))
    elif node_id not in (link.source, link.target):
        raise ValueRefusedError(f"link {link_id!r} does not leave node {node_id!r}")


def dumbbell(
    flows: tuple[Flow, ...],
    *,
    rate_bps: int,
    rtt_s: float,
    queue: QueueConfiguration,
    duration_s: float,
    seed: int = 0,
) -> Scenario:
    """Make the LFQ paper's network: two hosts, one link, the queue on the sender's device.

    Parameters
    ----------
    flows
        Flows from ``left`` to ``right``.
    rate_bps, rtt_s
        Rate of both directions, and twice the delay of the link.
    queue
        The queue in front of the link.
    duration_s, seed
        As in `Scenario`.

    Raises
    ------
    ValueRefusedError
        If a value is out of its range.
    """
    check_whole("rate_bps", rate_bps, 1, 10**12)
    check_range("rtt_s", rtt_s, 0, 3600)
    link = WiredLink("left", "right", rate_bps, id="bottleneck", delay_s=rtt_s / 2)
    topology = Topology([Node("left"), Node("right")], [link], name="dumbbell")
    return Scenario(topology, flows, duration_s, {("bottleneck", "left"): queue}, seed=seed)
