"""What the kernel can be told, one small value an operation; and how `tc` spells each.

The same operations are executed through netlink (`linux_qdisc.kernel`) and printed by
``--dry-run``, so what an operator reads is what runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from linux_qdisc import u32
from linux_qdisc.bpf.classic import classic_program, to_tc_bytecode
from linux_qdisc.bpf.keys import Isolation, LinkHeader
from linux_qdisc.tree import CATCH_ALL_MINOR, FIRST_FLOW_MINOR, ROOT_MAJOR, ClassifierSpec, ClassShape
from qos.units import format_rate

INGRESS_PREFERENCE = 1
FLOW_KEYS = {
    "flow": ("src", "dst", "proto", "proto-src", "proto-dst"),
    "source-host": ("src",),
    "destination-host": ("dst",),
}
"""Kind of isolation -> what cls_flow hashes."""
FLOW_PREFERENCES = {"ip": 2, "ipv6": 3}
"""Ethertype -> preference of its cls_flow filter; what is neither goes to the catch-all."""
U32_PREFERENCES = {"ip": 4, "ipv6": 5}
"""Ethertype -> preference of its cls_u32 filters."""
MATCH_ALL = ((0x06, 0, 0, 0xFFFFFFFF),)
"""Classic BPF that says yes to every packet."""


@dataclass(frozen=True, slots=True)
class AddIfb:
    """Make an ifb device and bring it up."""

    name: str

    def commands(self) -> tuple[str, ...]:
        """Spell it for a shell."""
        return (f"ip link add {self.name} type ifb", f"ip link set {self.name} up")


@dataclass(frozen=True, slots=True)
class DeleteLink:
    """Remove a device of ours."""

    name: str

    def commands(self) -> tuple[str, ...]:
        """Spell it for a shell."""
        return (f"ip link del {self.name}",)


@dataclass(frozen=True, slots=True)
class ReplaceRoot:
    """Put an HTB root in the place of whatever is there."""

    device: str

    def commands(self) -> tuple[str, ...]:
        """Spell it for a shell."""
        return (
            f"tc qdisc replace dev {self.device} root handle {ROOT_MAJOR:x}: htb default {CATCH_ALL_MINOR:x}",
        )


@dataclass(frozen=True, slots=True)
class SetClass:
    """Create one class, or change it in place (queued packets stay)."""

    device: str
    minor: int
    parent_minor: int
    shape: ClassShape
    create: bool

    def commands(self) -> tuple[str, ...]:
        """Spell it for a shell."""
        shape, wire = self.shape, self.shape.wire
        parent = f"{ROOT_MAJOR:x}:{self.parent_minor:x}" if self.parent_minor else f"{ROOT_MAJOR:x}:"
        framing = f" overhead {wire.overhead_bytes}" if wire.overhead_bytes else ""
        framing += f" mpu {wire.mpu_bytes}" if wire.mpu_bytes else ""
        framing += " linklayer atm" if wire.is_atm else ""
        return (
            f"tc class {'add' if self.create else 'change'} dev {self.device} parent {parent} "
            f"classid {ROOT_MAJOR:x}:{self.minor:x} htb rate {format_rate(shape.rate_bps)} "
            f"ceil {format_rate(shape.ceil_bps)} burst {shape.burst_bytes} cburst {shape.cburst_bytes} "
            f"quantum {shape.quantum_bytes}{framing}",
        )


@dataclass(frozen=True, slots=True)
class DeleteClass:
    """Remove one class and its leaf."""

    device: str
    minor: int

    def commands(self) -> tuple[str, ...]:
        """Spell it for a shell."""
        return (f"tc class del dev {self.device} classid {ROOT_MAJOR:x}:{self.minor:x}",)


@dataclass(frozen=True, slots=True)
class SetLeaf:
    """Create the bfifo of a class, or change its limit in place (queued packets stay)."""

    device: str
    parent_minor: int
    handle: int
    limit_bytes: int
    create: bool

    def commands(self) -> tuple[str, ...]:
        """Spell it for a shell."""
        return (
            f"tc qdisc {'add' if self.create else 'change'} dev {self.device} "
            f"parent {ROOT_MAJOR:x}:{self.parent_minor:x} handle {self.handle >> 16:x}: "
            f"bfifo limit {self.limit_bytes}",
        )


@dataclass(frozen=True, slots=True)
class SetClassifier:
    """Install the classifier, or exchange it for another in one step."""

    device: str
    flows: int
    spec: ClassifierSpec
    create: bool

    def commands(self) -> tuple[str, ...]:
        """Spell it for a shell, BPF in its classic form."""
        if self.spec.form == "flow":
            keys = ",".join(FLOW_KEYS[self.spec.isolate])
            return tuple(
                f"tc filter {'add' if self.create else 'replace'} dev {self.device} parent {ROOT_MAJOR:x}: "
                f"protocol {protocol} prio {preference} handle 1 flow hash keys {keys} "
                f"divisor {self.flows} baseclass {ROOT_MAJOR:x}:{FIRST_FLOW_MINOR:x}"
                for protocol, preference in FLOW_PREFERENCES.items()
            )
        if self.spec.form == "u32":
            return tuple(self._u32_commands())
        return (
            f"tc filter {'add' if self.create else 'change'} dev {self.device} parent {ROOT_MAJOR:x}: "
            f"protocol all prio 1 handle 1 bpf bytecode '{to_tc_bytecode(classic_form(self))}'",
        )

    def _u32_commands(self) -> Iterator[str]:
        def command(verb: str, protocol: str, words: str = "") -> str:
            place = f"dev {self.device} parent {ROOT_MAJOR:x}: protocol {protocol}"
            return f"tc filter {verb} {place} prio {U32_PREFERENCES[protocol]} {words}".rstrip()

        if not self.create:
            yield from (command("del", protocol) for protocol in U32_PREFERENCES)
        for table in u32.tables(self.flows, self.spec.isolate):
            yield command("add", "ip", u32.table_words(table))
        for row in u32.leaf_filters(self.flows):
            yield command("add", "ip", u32.filter_words(row))
        for protocol in U32_PREFERENCES:
            for row in u32.path_filters(protocol, self.flows, self.spec.isolate):
                yield command("add", protocol, u32.filter_words(row))


@dataclass(frozen=True, slots=True)
class DeleteRoot:
    """Remove our root qdisc; the kernel puts its default in its place."""

    device: str

    def commands(self) -> tuple[str, ...]:
        """Spell it for a shell."""
        return (f"tc qdisc del dev {self.device} root",)


@dataclass(frozen=True, slots=True)
class AddRedirect:
    """Send what comes in on a device through an ifb device."""

    device: str
    ifb: str

    def commands(self) -> tuple[str, ...]:
        """Spell it for a shell."""
        return (
            f"tc qdisc add dev {self.device} handle ffff: ingress",
            f"tc filter add dev {self.device} parent ffff: protocol all prio {INGRESS_PREFERENCE} handle 1 "
            f"bpf bytecode '1,6 0 0 4294967295' action mirred egress redirect dev {self.ifb}",
        )


@dataclass(frozen=True, slots=True)
class DeleteIngress:
    """Remove the ingress side of a device with its filters: ours, or somebody's that is remembered."""

    device: str
    kind: str = "ingress"

    def commands(self) -> tuple[str, ...]:
        """Spell it for a shell."""
        return (f"tc qdisc del dev {self.device} {self.kind}",)


@dataclass(frozen=True, slots=True)
class SwitchOffload:
    """Switch one offload of a device."""

    device: str
    feature: str
    on: bool

    def commands(self) -> tuple[str, ...]:
        """Spell it for a shell."""
        return (f"ethtool -K {self.device} {self.feature} {'on' if self.on else 'off'}",)


Operation = (
    AddIfb
    | DeleteLink
    | ReplaceRoot
    | SetClass
    | DeleteClass
    | SetLeaf
    | SetClassifier
    | AddRedirect
    | DeleteIngress
    | DeleteRoot
    | SwitchOffload
)


def classic_form(operation: SetClassifier) -> tuple[tuple[int, int, int, int], ...]:
    """Return the classic BPF program of a classifier."""
    spec = operation.spec
    header = LinkHeader.ETHERNET if spec.has_ethernet_header else LinkHeader.NONE
    return classic_program(operation.flows, ROOT_MAJOR, Isolation(spec.isolate), header)


def as_commands(operations: list[Operation]) -> list[str]:
    """Spell operations as `ip`, `tc` and `ethtool` commands, in order."""
    return [command for operation in operations for command in operation.commands()]
