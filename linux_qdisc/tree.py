"""The queueing tree of one interface, as data: what should stand in the kernel.

::

    htb 71:                      root; its default class is the catch-all
    └── 71:1                     the link: rate = ceil = R
        ├── 71:f    -> bfifo     catch-all: ARP and everything that is not IP
        ├── 71:10   -> bfifo 100:
        ├── 71:11   -> bfifo 101:
        └── ...                  one leaf a queue: guaranteed rate, ceil = R
    filter bpf on 71:            packet -> class of its flow

HTB lends the link's rate to its leaves by deficit round robin, so this is a fair queue on every
kernel that has htb, fifo and one classifier.
"""

from __future__ import annotations

from dataclasses import dataclass

ROOT_MAJOR = 0x71
"""Handle of our root qdisc (`71:`), unusual on purpose: 1: and 10: are everybody's."""
LINK_MINOR = 0x1
CATCH_ALL_MINOR = 0xF
FIRST_FLOW_MINOR = 0x10
FIRST_LEAF_MAJOR = 0x100
"""Leaf qdisc of queue i is `(100 + i):`, below the kernel's own range (8000: and up) for 32 512 queues."""
CATCH_ALL_MAJOR = 0x72

ENTRY_SHARES = 64
"""A queue that wakes up is guaranteed 1/64 of `GUARANTEED_FRACTION` of the rate, until the controller sees
how many are active (see `linux_qdisc.guarantee`)."""
GUARANTEED_FRACTION = 0.75


@dataclass(frozen=True, slots=True)
class WireSize:
    """How HTB shall count a packet: ``max(length + overhead, mpu)``, in ATM cells if asked.

    Attributes
    ----------
    overhead_bytes
        Added to what the kernel counts; 0 to 256.
    mpu_bytes
        Smallest size.
    is_atm
        Round up to cells.
    """

    overhead_bytes: int = 0
    mpu_bytes: int = 0
    is_atm: bool = False


@dataclass(frozen=True, slots=True)
class ClassShape:
    """The token buckets of one HTB class; rates in bit/s, sizes in bytes."""

    rate_bps: int
    ceil_bps: int
    burst_bytes: int
    cburst_bytes: int
    quantum_bytes: int
    wire: WireSize


@dataclass(frozen=True, slots=True)
class ClassifierSpec:
    """Which packets belong together, and where their headers begin.

    Attributes
    ----------
    isolate
        ``flow``, ``source-host`` or ``destination-host``.
    has_ethernet_header
        False where a packet starts with its IP header (tun, ppp, wireguard, ipip).
    form
        ``ebpf``, ``cbpf``, ``flow``, ``u32``, or ``auto`` for the first of them that works here.
    """

    isolate: str
    has_ethernet_header: bool
    form: str = "auto"


@dataclass(frozen=True, slots=True)
class FairTree:
    """The tree on one device.

    Attributes
    ----------
    device
        Name of the device; its index is the kernel layer's business.
    flows
        Number of queues.
    link
        Shape of the class of the whole link.
    leaf
        Shape of a queue that just woke up.
    limit_bytes
        Limit of a queue that just woke up.
    min_limit_bytes, max_limit_bytes
        Range of the limits that a policy may set.
    catch_all_limit_bytes
        Limit of the catch-all queue.
    classifier
        How packets find their queue.
    frame_bytes
        The device's largest frame: its MTU and its own header.
    """

    device: str
    flows: int
    link: ClassShape
    leaf: ClassShape
    limit_bytes: int
    min_limit_bytes: int
    max_limit_bytes: int
    catch_all_limit_bytes: int
    classifier: ClassifierSpec
    frame_bytes: int


@dataclass(frozen=True, slots=True)
class QdiscTree:
    """All that `qos attach` puts on one interface.

    Attributes
    ----------
    egress
        Tree on the interface itself.
    ingress
        Tree on the ifb device that incoming traffic is sent through, or None.
    """

    egress: FairTree
    ingress: FairTree | None = None


def classid(minor: int) -> int:
    """Return the 32-bit class id of a minor number under our root."""
    return ROOT_MAJOR << 16 | minor


def flow_minor(queue: int) -> int:
    """Return the class minor of queue `queue`."""
    return FIRST_FLOW_MINOR + queue


def leaf_handle(queue: int) -> int:
    """Return the handle of the leaf qdisc of queue `queue`."""
    return FIRST_LEAF_MAJOR + queue << 16


CATCH_ALL_HANDLE = CATCH_ALL_MAJOR << 16
