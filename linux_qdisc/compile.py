"""Settings and facts of a device -> the tree that should stand on it. Pure."""

from __future__ import annotations

from linux_qdisc.device import DeviceFacts
from linux_qdisc.settings import Framing, QueueSettings
from linux_qdisc.tree import (
    ENTRY_SHARES,
    GUARANTEED_FRACTION,
    ClassifierSpec,
    ClassShape,
    FairTree,
    QdiscTree,
    WireSize,
)
from qos.errors import ValueRefusedError
from schedulers.packet.limits.registry import first_limit_bytes, fixed_limit_bytes

ETHERNET_HEADER_BYTES = 14
ARPHRD_ETHER = 1
ARPHRD_LOOPBACK = 772
SEGMENT_HEADER_BYTES = 66
"""Headers that each segment of a super-packet adds to its length in `qdisc_pkt_len`."""

INITIAL_DELAY_S = 0.02
"""A new flow may queue this much of the link's time, before the policy knows it."""
MIN_INITIAL_FRAMES = 10
"""... and at least an initial window (RFC 6928)."""
MIN_LIMIT_FRAMES = 1
"""No limit is below this: a queue that does not hold a whole frame never sends one."""
MAX_LIMIT_DELAY_S = 2.0
MAX_LIMIT_BYTES = 2**31 - 1

BURST_S = 0.004
"""Tokens for this time: what a kernel timer may be late (HZ = 250), 25 kB at 50 Mbit/s."""
BURST_CAP_BYTES = 50_000
LEAF_BURST_S = 0.05
"""Full buckets of `ENTRY_SHARES` leaves together put a slow link at most so far behind."""
LONG_BURST_S = 0.001
"""Above the cap a millisecond's worth: less cut 8 Gbit/s to 2 (specification of the kernel work, 3)."""


def ifb_name(device: DeviceFacts) -> str:
    """Name the ifb device that shapes the incoming traffic of `device`."""
    return f"qosifb{device.ifindex:x}"  # hexadecimal: any index fits the 15 letters of a name


def burst_bytes(rate_bps: int, frame_bytes: int) -> int:
    """Return the token bucket of a class that must sustain `rate_bps`.

    Parameters
    ----------
    rate_bps
        Rate in bit/s, > 0.
    frame_bytes
        Largest frame in bytes; the bucket holds at least two.
    """
    short = min(rate_bps * BURST_S / 8, BURST_CAP_BYTES)
    return int(max(2 * frame_bytes, short, rate_bps * LONG_BURST_S / 8))


def leaf_burst_bytes(link_bps: int, guaranteed_bps: int, frame_bytes: int) -> int:
    """Return the token bucket of one queue's guarantee.

    What is in it may leave beyond the link's rate, once for each queue that wakes up: with two
    frames each, 250 flows at 1 Mbit/s sent 2.3 Mbit/s. A bucket below a packet is no harm: HTB
    lets one go and waits until it is paid.

    Parameters
    ----------
    link_bps
        Rate of the link in bit/s, > 0.
    guaranteed_bps
        Rate that the queue is guaranteed.
    frame_bytes
        Largest frame in bytes.
    """
    share = int(link_bps * LEAF_BURST_S / 8 / ENTRY_SHARES)
    return max(1, min(burst_bytes(guaranteed_bps, frame_bytes), share))


def guaranteed_rate_bps(rate_bps: int, shares: int) -> int:
    """Return the guarantee of one of `shares` active queues on a link of `rate_bps`."""
    return max(8, int(rate_bps * GUARANTEED_FRACTION / shares))


def super_packet_bytes(device: DeviceFacts) -> int:
    """Return what the largest GSO super-packet of a device counts in a byte fifo."""
    segments = -(-device.gso_max_bytes // max(device.mtu_bytes - 52, 1))
    return device.gso_max_bytes + segments * SEGMENT_HEADER_BYTES


def has_ethernet_header(device: DeviceFacts) -> bool:
    """Say whether packets in the qdisc of `device` begin with an Ethernet header."""
    return device.link_type in (ARPHRD_ETHER, ARPHRD_LOOPBACK)


def compile_tree(settings: QueueSettings, device: DeviceFacts) -> QdiscTree:
    """Work out the tree that `settings` ask for on `device`.

    Raises
    ------
    ValueRefusedError
        If the framing cannot be expressed on this kind of device.
    """
    ingress = None
    if settings.ingress_rate_bps is not None:
        ingress = _fair_tree(settings, device, ifb_name(device), settings.ingress_rate_bps)
    return QdiscTree(_fair_tree(settings, device, settings.device, settings.rate_bps), ingress)


def _fair_tree(settings: QueueSettings, device: DeviceFacts, name: str, rate_bps: int) -> FairTree:
    header = ETHERNET_HEADER_BYTES if has_ethernet_header(device) else 0
    frame = device.mtu_bytes + header
    keeps_gso = settings.offloads == "keep"
    floor = MIN_LIMIT_FRAMES * frame
    if keeps_gso:
        floor = max(floor, super_packet_bytes(device))
    # HTB serves each class at least one packet a round: the quantum must cover the largest one.
    quantum = max(floor if keeps_gso else frame, 1514)
    shaped_bps = _payload_rate_bps(rate_bps, settings.framing)
    wire = _wire_size(settings.framing, header)
    bucket = burst_bytes(shaped_bps, frame)
    entry_bps = guaranteed_rate_bps(shaped_bps, ENTRY_SHARES)
    ceiling = int(min(MAX_LIMIT_BYTES, max(rate_bps * MAX_LIMIT_DELAY_S / 8, 100 * frame, floor)))
    start = int(min(ceiling, max(rate_bps * INITIAL_DELAY_S / 8, MIN_INITIAL_FRAMES * frame, floor)))
    fixed = fixed_limit_bytes(settings.policy)
    first = first_limit_bytes(settings.policy, shaped_bps, frame)
    return FairTree(
        device=name,
        flows=settings.flows,
        link=ClassShape(shaped_bps, shaped_bps, bucket, bucket, quantum, wire),
        leaf=ClassShape(
            entry_bps, shaped_bps, leaf_burst_bytes(shaped_bps, entry_bps, frame), bucket, quantum, wire
        ),
        limit_bytes=start if first is None else max(first, floor),
        min_limit_bytes=floor,
        max_limit_bytes=ceiling if fixed is None else max(ceiling, fixed),
        catch_all_limit_bytes=start,
        classifier=ClassifierSpec(settings.isolate, header > 0, settings.classifier),
        frame_bytes=frame,
    )


def _payload_rate_bps(rate_bps: int, framing: Framing) -> int:
    """Take PTM's 65 bytes for 64 off the rate: HTB knows cells, but not that code."""
    return rate_bps * 64 // 65 if framing.linklayer == "ptm" else rate_bps


def _wire_size(framing: Framing, header_bytes: int) -> WireSize:
    is_atm = framing.linklayer == "atm"
    if framing.overhead_bytes is None:
        return WireSize(0, framing.mpu_bytes, is_atm)
    if framing.overhead_bytes < header_bytes:
        raise ValueRefusedError(
            f"--overhead {framing.overhead_bytes}: this device's own header of {header_bytes} bytes is "
            f"always counted, so the overhead must be at least {header_bytes}"
        )
    return WireSize(framing.overhead_bytes - header_bytes, framing.mpu_bytes, is_atm)
