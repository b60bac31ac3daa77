"""What attaching would do to an interface: looks at the kernel, changes nothing, needs no privilege."""

from __future__ import annotations

from dataclasses import dataclass, replace

from linux_qdisc import offloads, state
from linux_qdisc.compile import compile_tree, ifb_name
from linux_qdisc.device import DeviceFacts, all_devices, device_facts
from linux_qdisc.diff import difference
from linux_qdisc.operations import DeleteIngress, DeleteLink, DeleteRoot, Operation
from linux_qdisc.rtnetlink import NetlinkSocket
from linux_qdisc.settings import QueueSettings
from linux_qdisc.snapshot import DeviceSnapshot, IngressSnapshot, ingress_snapshot, snapshot
from linux_qdisc.tree import QdiscTree
from qos.errors import ForeignQdiscError, PrivilegeError

CAP_NET_ADMIN = 12


def require_net_admin() -> None:
    """Refuse to go on without CAP_NET_ADMIN.

    Raises
    ------
    PrivilegeError
        If the effective set lacks it.
    """
    with open("/proc/self/status") as status:
        effective = next(int(line.split()[1], 16) for line in status if line.startswith("CapEff"))
    if not effective >> CAP_NET_ADMIN & 1:
        raise PrivilegeError("changing queues needs CAP_NET_ADMIN; run it as root: sudo qos ...")


@dataclass(frozen=True, slots=True)
class AttachPlan:
    """What leads from the present state of an interface to the wanted one.

    Attributes
    ----------
    device
        The interface.
    standing
        Our tree that is there, or None.
    tree
        The tree that shall be there.
    operations
        What to do, in order; empty where nothing changes.
    before
        What `qos detach` is to restore.
    held
        What is on file about the standing tree.
    switched
        The offloads that will be switched, as they were before us.
    """

    device: DeviceFacts
    standing: QdiscTree | None
    tree: QdiscTree
    operations: list[Operation]
    before: DeviceSnapshot
    held: state.Attachment | None
    switched: offloads.Switched


def plan_attach(settings: QueueSettings, *, force: bool, standing: QdiscTree | None = None) -> AttachPlan:
    """Work out what attaching, or reloading, does.

    Parameters
    ----------
    settings
        What is asked.
    force
        Whether somebody else's qdiscs may be replaced.
    standing
        Our tree that stands, where the caller knows it; else it is worked out from what is on file.

    Raises
    ------
    ForeignQdiscError
        If somebody else's root or ingress qdisc is in the way and `force` is not given.
    ValueRefusedError
        If a device does not exist or cannot do what is asked.
    """
    device = device_facts(settings.device)
    for name in settings.gro_off:
        device_facts(name)
    wanted = compile_tree(settings, device)
    with NetlinkSocket() as netlink:
        found = snapshot(netlink, device.ifindex)
        found_ingress = ingress_snapshot(netlink, device.ifindex)
    held = state.read(state.Key.of(device.ifindex)) if found.is_ours else None
    operations: list[Operation] = []
    if held is not None:
        held = held.renamed(device.name)
        standing = standing or compile_tree(held.settings, device)
        before = DeviceSnapshot.from_json(held.before)
    elif found.is_ours:
        standing = None
        # Ours, but nothing is on file: what was there before is unknown.
        before = replace(found, root=replace(found.root, handle=0, kind="noqueue"))
        operations.append(DeleteRoot(device.name))
    else:
        if not found.is_default and not force:
            raise ForeignQdiscError(_foreign(device.name, found.root.kind, found.root.handle, "root"))
        standing, before = None, found
    if wanted.ingress is not None and (standing is None or standing.ingress is None):
        before = _clear_ingress(device, found_ingress, before, operations, force=force)
    operations += difference(standing, wanted)
    switches, switched = offloads.plan(settings, held.offloads_before if held else {})
    return AttachPlan(device, standing, wanted, [*switches, *operations], before, held, switched)


def _clear_ingress(
    device: DeviceFacts,
    found: IngressSnapshot | None,
    before: DeviceSnapshot,
    operations: list[Operation],
    *,
    force: bool,
) -> DeviceSnapshot:
    """Make room for our redirect and its ifb; return what is to be restored later."""
    before = replace(before, ingress=None)
    if found is not None:
        operations.append(DeleteIngress(device.name, found.qdisc.kind))
        if not found.is_ours:
            if not force:
                raise ForeignQdiscError(
                    _foreign(device.name, found.qdisc.kind, found.qdisc.handle, "ingress")
                )
            before = replace(before, ingress=found)
    if any(row.name == ifb_name(device) for row in all_devices()):
        operations.append(DeleteLink(ifb_name(device)))
    return before


def _foreign(device: str, kind: str, handle: int, place: str) -> str:
    what = f"'{kind}'" if place == "ingress" else f"'{kind}' ({handle >> 16:x}:)"
    article = "an" if place == "ingress" else "a"
    return (
        f"{device} has {article} {place} qdisc {what} that is not ours; --force replaces it, and "
        f"'qos detach {device}' restores it"
    )
