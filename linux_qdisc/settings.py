"""What an administrator asks of one interface: flags or `/etc/qos/<dev>.yaml`, validated.

Nothing here looks at the kernel: a `QueueSettings` that exists is free of contradictions by itself.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Self

from qos.errors import ValueRefusedError
from qos.units import NANOSECONDS_PER_SECOND, format_duration, format_rate, is_count
from schedulers.packet.limits import DEFAULT_POLICY, check_policy

MIN_RATE_BPS = 8_000
MAX_RATE_BPS = 1_000_000_000_000
MAX_FLOWS = 32_768
"""Classes have 16-bit minor numbers, and the first sixteen are ours: 65 536 leaves do not fit."""
MIN_INTERVAL_NS = 1_000_000
MAX_INTERVAL_NS = 10 * NANOSECONDS_PER_SECOND
MAX_OVERHEAD_BYTES = 256
MAX_MPU_BYTES = 256
LINK_LAYERS = ("ethernet", "atm", "ptm")
ISOLATIONS = ("flow", "source-host", "destination-host")
OFFLOAD_CHOICES = ("keep", "off")
CLASSIFIERS = ("auto", "ebpf", "cbpf", "flow", "u32")


@dataclass(frozen=True, slots=True)
class Framing:
    """How many bytes a packet takes on the wire, as cake and sqm users say it.

    Attributes
    ----------
    overhead_bytes
        Bytes that the link adds to an IP packet (cake's ``overhead``), up to 256; None counts what the
        kernel counts (on Ethernet 14 bytes of header).
    mpu_bytes
        Smallest size of a packet on the wire, overhead included, 0 to 256.
    linklayer
        ``ethernet``; ``atm`` sends cells of 53 bytes that carry 48; ``ptm`` sends 65 bytes for 64.
    """

    overhead_bytes: int | None = None
    mpu_bytes: int = 0
    linklayer: str = "ethernet"

    def __post_init__(self) -> None:
        if self.overhead_bytes is not None and not 0 <= self.overhead_bytes <= MAX_OVERHEAD_BYTES:
            raise ValueRefusedError(
                f"--overhead {self.overhead_bytes}: it must be from 0 to {MAX_OVERHEAD_BYTES} bytes"
            )
        if not 0 <= self.mpu_bytes <= MAX_MPU_BYTES:
            raise ValueRefusedError(f"--mpu {self.mpu_bytes}: it must be from 0 to {MAX_MPU_BYTES} bytes")
        _one_of("--linklayer", self.linklayer, LINK_LAYERS)


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """Everything that `qos attach` is told about one interface.

    Attributes
    ----------
    device
        Name of the interface.
    rate_bps
        Rate of the link in bit/s, 8 kbit/s to 1 Tbit/s.
    ingress_rate_bps
        Rate of incoming traffic in bit/s, or None to leave it alone.
    flows
        Number of queues, a power of two from 2 to 32768.
    policy
        Spelling of the limit policy, such as ``sawtooth`` or ``fixed:30kb``.
    interval_ns
        Time between two polls, 1 ms to 10 s.
    offloads
        ``keep``, or ``off``: no GSO and TSO on the device.
    gro_off
        Interfaces whose GRO is switched off while we are attached.
    framing
        Wire size of a packet.
    isolate
        Key of fairness: ``flow``, ``source-host`` or ``destination-host``.
    classifier
        ``ebpf`` (a map gives each flow a queue of its own), ``cbpf`` (a hash), ``flow`` (the kernel's
        cls_flow, a hash, for kernels without cls_bpf), ``u32`` (tables of cls_u32, coarser still), or
        ``auto`` for the first that works.
    metrics
        ``ADDR:PORT`` of the Prometheus endpoint, or None.
    follow_radio
        Set `rate_bps` anew as the rate of the device's radio changes.
    learn
        The policy ``lfq`` goes on learning on the flows that pass.
    weights
        File of the weights of ``lfq``, which it learns into with `learn`; empty for the shipped ones.

    Raises
    ------
    ValueRefusedError
        If a value is out of range or two contradict each other.
    """

    device: str
    rate_bps: int
    ingress_rate_bps: int | None = None
    flows: int = 1024
    policy: str = DEFAULT_POLICY
    interval_ns: int = 20_000_000
    offloads: str = "keep"
    gro_off: tuple[str, ...] = ()
    framing: Framing = field(default_factory=Framing)
    isolate: str = "flow"
    classifier: str = "auto"
    metrics: str | None = None
    follow_radio: bool = False
    learn: bool = False
    weights: str = ""

    def __post_init__(self) -> None:
        _check_rate("--rate", self.rate_bps)
        if self.ingress_rate_bps is not None:
            _check_rate("--ingress", self.ingress_rate_bps)
        if not 2 <= self.flows <= MAX_FLOWS or self.flows & (self.flows - 1):
            raise ValueRefusedError(
                f"--flows {self.flows}: it must be a power of two from 2 to {MAX_FLOWS}, such as 1024"
            )
        if not MIN_INTERVAL_NS <= self.interval_ns <= MAX_INTERVAL_NS:
            raise ValueRefusedError(
                f"--interval {format_duration(self.interval_ns)}: it must be from 1ms to 10s"
            )
        check_policy(self.policy)
        _one_of("--offloads", self.offloads, OFFLOAD_CHOICES)
        _one_of("--isolate", self.isolate, ISOLATIONS)
        _one_of("--classifier", self.classifier, CLASSIFIERS)
        if self.metrics is not None:
            split_address(self.metrics)
        if (self.learn or self.weights) and self.policy.partition(":")[0] != "lfq":
            flag = "--learn" if self.learn else "--weights"
            raise ValueRefusedError(f"{flag} is for the policy lfq, not {self.policy!r}")
        if self.learn and not self.weights:
            raise ValueRefusedError("--learn needs a file to learn into; name it with --weights")

    @property
    def interval_s(self) -> float:
        """Time between two polls in seconds."""
        return self.interval_ns / NANOSECONDS_PER_SECOND

    def to_json(self) -> dict[str, Any]:
        """Return a plain document that `from_json` reads back."""
        return asdict(self) | {"gro_off": list(self.gro_off)}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Read what `to_json` wrote; a wrong key or type raises TypeError or ValueRefusedError."""
        plain = dict(document)
        framing = Framing(**plain.pop("framing"))
        return cls(framing=framing, gro_off=tuple(plain.pop("gro_off")), **plain)


def split_address(text: str) -> tuple[str, int]:
    """Split ``ADDR:PORT`` or ``:PORT`` (then loopback) into its parts.

    Raises
    ------
    ValueRefusedError
        If the port is missing or out of range.
    """
    address, colon, port = text.rpartition(":")
    if not colon or not is_count(port) or not 1 <= int(port) <= 65_535:
        raise ValueRefusedError(f"--metrics {text!r}: write ADDR:PORT, such as 127.0.0.1:9420")
    return address.strip("[]") or "127.0.0.1", int(port)


def _check_rate(flag: str, rate_bps: int) -> None:
    if not MIN_RATE_BPS <= rate_bps <= MAX_RATE_BPS:
        raise ValueRefusedError(f"{flag} {format_rate(rate_bps)}: it must be from 8kbit to 1tbit")


def _one_of(flag: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueRefusedError(f"{flag} {value!r}: it must be one of {', '.join(choices)}")
