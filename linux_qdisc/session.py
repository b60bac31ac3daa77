"""One controller process and its interface: attach, loop, reload, give back."""

from __future__ import annotations

import json
import logging
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from types import FrameType

from linux_qdisc import offloads, state
from linux_qdisc.compile import compile_tree, ifb_name
from linux_qdisc.controller import Controller, Summary
from linux_qdisc.device import all_devices, device_facts
from linux_qdisc.diff import difference
from linux_qdisc.kernel import Kernel
from linux_qdisc.operations import AddIfb, Operation, ReplaceRoot, SetClassifier
from linux_qdisc.rtnetlink import NetlinkSocket
from linux_qdisc.settings import QueueSettings
from linux_qdisc.snapshot import DeviceSnapshot, restore, snapshot
from linux_qdisc.tree import QdiscTree
from qos.errors import ForeignQdiscError, InputError, KernelError, PrivilegeError, QosError

log = logging.getLogger(__name__)
CAP_NET_ADMIN = 12
LINK_CHECK_S = 0.5
MESSAGE_BYTES = 1 << 16
ANSWER_TIMEOUT_S = 30.0


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


def plan_attach(settings: QueueSettings, *, force: bool) -> tuple[list[Operation], DeviceSnapshot]:
    """Work out what attaching would do; changes nothing and needs no privilege.

    Returns
    -------
    tuple
        The operations, and the tree that is there now.

    Raises
    ------
    ForeignQdiscError
        If somebody else's root qdisc is there and `force` is not given.
    ValueRefusedError
        If the device does not exist or cannot do what is asked.
    """
    device = device_facts(settings.device)
    wanted = compile_tree(settings, device)
    with NetlinkSocket() as netlink:
        before = snapshot(netlink, device.ifindex)
    held = state.read(state.Key.of(device.ifindex))
    if before.is_ours and held is not None:
        return difference(compile_tree(replace(held.settings, device=device.name), device), wanted), before
    if not before.is_default and not force:
        raise ForeignQdiscError(
            f"{device.name} has a root qdisc '{before.root.kind}' ({before.root.handle >> 16:x}:) that is "
            f"not ours; --force replaces it, and 'qos detach {device.name}' restores it"
        )
    return difference(None, wanted), before


class Session:
    """Holds an interface from attach to the end of the loop.

    Parameters
    ----------
    settings
        What to attach.
    force
        Replace a foreign root qdisc.

    Raises
    ------
    BusyError
        If another controller holds the interface.
    """

    def __init__(self, settings: QueueSettings, *, force: bool) -> None:
        require_net_admin()
        self.settings = settings
        self._device = device_facts(settings.device)
        plan_attach(settings, force=force)
        self._key = state.Key.of(self._device.ifindex)
        self._lock = state.InterfaceLock(self._key, self._device.name)
        self._netlink = NetlinkSocket()
        self._kernel = Kernel(self._netlink)
        self._stopping = False
        self._tree: QdiscTree = compile_tree(settings, self._device)
        try:
            self._stand_up(force)
            self._controllers = self._make_controllers()
            self._control = self._listen()
        except BaseException:
            self._lock.release()
            raise

    def _stand_up(self, force: bool) -> None:
        operations, before = plan_attach(self.settings, force=force)
        held = state.read(self._key)
        adopted = before.is_ours and held is not None
        if adopted and held is not None:
            before = DeviceSnapshot.from_json(held.before)
            # A classifier's maps went with the process that made it; a new one takes its place at once.
            operations = [row for row in operations if not isinstance(row, SetClassifier)]
            operations += [
                SetClassifier(tree.device, tree.flows, tree.classifier, create=False)
                for tree in (self._tree.egress, self._tree.ingress)
                if tree is not None
            ]
        elif before.is_ours:
            before = replace(before, root=replace(before.root, handle=0, kind="noqueue"))
            self._kernel.delete_root(self._device.name)
            self._kernel.delete_link(ifb_name(self._device))
        switched = held.offloads_before if adopted and held is not None else {}
        state.write(self._key, self._attachment(before, switched))
        try:
            switched = switch_offloads(self.settings, switched)
            state.write(self._key, self._attachment(before, switched))
            self._kernel.apply(operations)
        except BaseException:
            if not adopted:
                restore_offloads(switched)
                self._roll_back(operations, before)
            raise

    def _roll_back(self, operations: list[Operation], before: DeviceSnapshot) -> None:
        if any(isinstance(row, ReplaceRoot) for row in operations):
            restore(self._netlink, self._device.ifindex, before)
        if any(isinstance(row, AddIfb) for row in operations):
            self._kernel.delete_link(ifb_name(self._device))
        state.forget(self._key)

    def _attachment(self, before: DeviceSnapshot, switched: state.Switched) -> state.Attachment:
        pid = os.getpid()
        return state.Attachment(self.settings, before.to_json(), switched, pid, state.start_time(pid) or 0)

    def _make_controllers(self) -> list[Controller]:
        return [
            Controller(
                self._netlink,
                device_facts(tree.device).ifindex,
                tree,
                self.settings.policy,
                self._kernel.flow_maps.get(tree.device),
            )
            for tree in (self._tree.egress, self._tree.ingress)
            if tree is not None
        ]

    def _listen(self) -> socket.socket:
        path = self._key.path("sock")
        path.unlink(missing_ok=True)
        control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        control.bind(str(path))
        path.chmod(0o600)
        control.listen(8)
        control.setblocking(False)
        return control

    def summaries(self) -> list[Summary]:
        """Return what each tree does now, for the metrics endpoint."""
        trees = (self._tree.egress, self._tree.ingress)
        names = [tree.device for tree in trees if tree is not None]
        return [row.summary(name) for name, row in zip(names, self._controllers, strict=True)]

    def run(self, ready: Callable[[], None]) -> None:
        """Poll until told to stop; `ready` is called when the loop stands.

        Raises
        ------
        InputError
            If the interface disappears, goes down or is renamed, or our tree is removed.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        ready()
        last = time.monotonic()
        next_tick, next_check = last + self.settings.interval_s, last + LINK_CHECK_S
        while not self._stopping:
            self._wait(max(0.0, next_tick - time.monotonic()))
            now = time.monotonic()
            if now < next_tick:
                continue
            try:
                for controller in self._controllers:
                    controller.tick(now - last)
            except KernelError as error:
                self._check_link()
                raise error
            last = now
            next_tick = max(next_tick + self.settings.interval_s, now)
            if now >= next_check:
                self._check_link()
                next_check = now + LINK_CHECK_S

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._stopping = True

    def _check_link(self) -> None:
        name = self._device.name
        device = next((row for row in all_devices() if row.ifindex == self._device.ifindex), None)
        if device is None:
            state.forget(self._key)
            raise InputError(f"{name} has disappeared; its controller ends")
        if device.name != name:
            raise InputError(f"{name} was renamed to {device.name}; 'qos attach {device.name}' goes on")
        if self._device.is_up and not device.is_up:
            raise InputError(f"{name} went down; 'qos attach {name}' goes on when it is up")
        self._device = device
        if not snapshot(self._netlink, device.ifindex).is_ours:
            raise InputError(f"somebody removed the queue of {name}; 'qos attach {name}' puts it back")

    def _wait(self, seconds: float) -> None:
        readable, _, _ = select.select([self._control], [], [], seconds)
        if not readable:
            return
        connection, _ = self._control.accept()
        with connection:
            connection.settimeout(1.0)
            try:
                connection.send(json.dumps(self._answer(json.loads(connection.recv(MESSAGE_BYTES)))).encode())
            except (OSError, ValueError) as error:
                log.warning("a request was dropped: %s", error)

    def _answer(self, request: dict[str, object]) -> dict[str, object]:
        if request.get("do") == "stop":
            self._stopping = True
            return {"ok": True}
        if request.get("do") == "reload" and isinstance(request.get("settings"), dict):
            try:
                return {"ok": True, "operations": self.reload(QueueSettings.from_json(request["settings"]))}  # type: ignore[arg-type]
            except (QosError, KeyError, TypeError) as error:
                return {"ok": False, "error": str(error), "exit_code": getattr(error, "exit_code", 1)}
        return {"ok": False, "error": "unknown request", "exit_code": 1}

    def reload(self, settings: QueueSettings) -> int:
        """Change the running tree in place; return the number of operations (0: nothing to do).

        Raises
        ------
        KernelError
            If the kernel refuses; the tree is led back to what it was.
        """
        wanted = compile_tree(settings, self._device)
        operations = difference(self._tree, wanted)
        try:
            self._kernel.apply(operations)
        except QosError:
            self._kernel.apply(difference(wanted, self._tree))
            raise
        held = state.read(self._key)
        if held is not None and settings != self.settings:
            switched = switch_offloads(settings, held.offloads_before)
            state.write(self._key, replace(held, settings=settings, offloads_before=switched))
        policy_changed = settings.policy != self.settings.policy
        self.settings, self._tree = settings, wanted
        if operations or policy_changed:
            self._controllers = self._make_controllers()
        return len(operations)

    def close(self) -> None:
        """Stop controlling; the tree stays as it is, with its last limits."""
        self._control.close()
        self._key.path("sock").unlink(missing_ok=True)
        self._kernel.close()
        self._netlink.close()
        self._lock.release()


def ask(key: state.Key, request: dict[str, object]) -> dict[str, object] | None:
    """Ask the controller of an interface; None if it does not answer."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.settimeout(ANSWER_TIMEOUT_S)
        try:
            connection.connect(str(key.path("sock")))
            connection.send(json.dumps(request).encode())
            answer = json.loads(connection.recv(MESSAGE_BYTES))
        except (OSError, ValueError):
            return None
    return dict(answer)


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
    require_net_admin()
    _stop_controller(key)
    with NetlinkSocket() as netlink:
        kernel = Kernel(netlink)
        problems = []
        if snapshot(netlink, device.ifindex).is_ours:
            problems = restore(netlink, device.ifindex, DeviceSnapshot.from_json(held.before))
        if held.settings.ingress_rate_bps is not None:
            from linux_qdisc.diff import INGRESS_PREFERENCE
            from linux_qdisc.operations import DeleteLink, DeleteRedirect

            kernel.apply([DeleteRedirect(name, INGRESS_PREFERENCE, False), DeleteLink(ifb_name(device))])
    restore_offloads(held.offloads_before)
    state.forget(key)
    return problems


def switch_offloads(settings: QueueSettings, switched: state.Switched) -> state.Switched:
    """Switch what `settings` ask for; return all that is switched, as it was before.

    What an earlier attach switched and is no longer asked for is switched back.
    """
    wanted = {(settings.device, feature) for feature in ("tso", "gso") if settings.offloads == "off"}
    wanted |= {(name, "gro") for name in settings.gro_off}
    restore_offloads(
        {
            name: {feature: on for feature, on in features.items() if (name, feature) not in wanted}
            for name, features in switched.items()
        }
    )
    result: state.Switched = {}
    for name, feature in sorted(wanted):
        known = switched.get(name, {})
        before = known[feature] if feature in known else offloads.switch(name, feature, False)
        result.setdefault(name, {})[feature] = before
    return result


def restore_offloads(switched: state.Switched) -> None:
    """Switch offloads back; an interface that is gone is passed over."""
    for name, features in switched.items():
        for feature, on in features.items():
            if on:
                try:
                    offloads.switch(name, feature, True)
                except KernelError as error:
                    log.warning("%s", error)


def _stop_controller(key: state.Key) -> None:
    if not state.is_locked(key):
        return
    ask(key, {"do": "stop"})
    deadline = time.monotonic() + 10.0
    while state.is_locked(key):
        if time.monotonic() > deadline:
            raise InputError("the controller does not end; look at its process with 'qos status'")
        time.sleep(0.02)
