"""Giving an interface back: what was there before us stands there again."""

from __future__ import annotations

import time

from linux_qdisc import offloads, state
from linux_qdisc.compile import ifb_name
from linux_qdisc.control import ask
from linux_qdisc.device import DeviceFacts, device_facts
from linux_qdisc.kernel import Kernel
from linux_qdisc.operations import DeleteIngress
from linux_qdisc.plan import require_net_admin
from linux_qdisc.rtnetlink import NetlinkSocket
from linux_qdisc.snapshot import DeviceSnapshot, ingress_snapshot, restore, restore_ingress, snapshot
from qos.errors import InputError

STOP_TIMEOUT_S = 10.0
_STOP_POLL_S = 0.02


def detach(name: str) -> list[str]:
    """Stop the controller of an interface and restore what was there.

    Returns
    -------
    list of str
        What could not be restored.

    Raises
    ------
    InputError
        If nothing of ours is on the interface.
    """
    device = device_facts(name)
    key = state.Key.of(device.ifindex)
    held = state.read(key)
    if held is None:
        raise InputError(f"{name} has no queue of ours; see 'qos status'")
    held = held.renamed(name)
    require_net_admin()
    _stop_controller(key)
    with NetlinkSocket() as netlink:
        problems = []
        before = DeviceSnapshot.from_json(held.before)
        if snapshot(netlink, device.ifindex).is_ours:
            problems += restore(netlink, device.ifindex, before)
        if held.settings.ingress_rate_bps is not None:
            problems += free_ingress(Kernel(netlink), device, before)
    offloads.restore(held.offloads_before)
    state.forget(key)
    return problems


def free_ingress(kernel: Kernel, device: DeviceFacts, before: DeviceSnapshot) -> list[str]:
    """Remove our redirect and its ifb and put back what was there; return what could not be.

    What somebody put on the ingress side in our place is left alone.
    """
    found = ingress_snapshot(kernel.netlink, device.ifindex)
    if found is not None and (found.is_ours or not found.filters):
        kernel.apply([DeleteIngress(device.name, found.qdisc.kind)])
        found = None
    kernel.delete_link(ifb_name(device))
    if before.ingress is None:
        return []
    if found is not None:
        return [f"the ingress qdisc '{before.ingress.qdisc.kind}': another one has taken its place"]
    return restore_ingress(kernel.netlink, device.ifindex, before.ingress)


def _stop_controller(key: state.Key) -> None:
    if not state.is_locked(key):
        return
    ask(key, {"do": "stop"})
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while state.is_locked(key):
        if time.monotonic() > deadline:
            raise InputError("the controller does not end; look at its process with 'qos status'")
        time.sleep(_STOP_POLL_S)
