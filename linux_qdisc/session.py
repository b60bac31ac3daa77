"""One controller process and its interface: attach, loop, reload; the tree outlives it."""

from __future__ import annotations

import errno
import logging
import os
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

from linux_qdisc import offloads, state
from linux_qdisc.adoption import adopt_flow_map
from linux_qdisc.control import Answer, ControlSocket
from linux_qdisc.controller import Controller, Summary
from linux_qdisc.device import DeviceFacts, all_devices, device_facts
from linux_qdisc.diff import difference
from linux_qdisc.kernel import Kernel
from linux_qdisc.learning import SAVE_S, WeightsChoice
from linux_qdisc.operations import SetClassifier
from linux_qdisc.plan import AttachPlan, plan_attach, require_net_admin
from linux_qdisc.radio_rate import RadioRate, follow
from linux_qdisc.release import free_ingress
from linux_qdisc.rtnetlink import NetlinkSocket
from linux_qdisc.settings import QueueSettings
from linux_qdisc.snapshot import has_our_root, restore, snapshot
from linux_qdisc.tree import FairTree, QdiscTree
from qos.errors import InputError, KernelError, QosError

log = logging.getLogger(__name__)
LINK_CHECK_S = 0.5
PASSING_ERRORS = frozenset({errno.ENOBUFS, errno.EINTR, errno.EAGAIN, errno.ETIMEDOUT, errno.ENOMEM})
MAX_FAILED_POLLS = 10
"""So many polls in a row may fail of something that passes, such as an overrun of the netlink socket."""


class Session:
    """Holds an interface from attach to the end of the loop.

    Parameters
    ----------
    settings
        What to attach.
    force
        Replace somebody else's qdiscs.

    Raises
    ------
    BusyError
        If another controller holds the interface.
    ForeignQdiscError
        If somebody else's qdisc is in the way and `force` is not given.
    """

    def __init__(self, settings: QueueSettings, *, force: bool) -> None:
        require_net_admin()
        self.settings = settings
        self._stopping = False
        self._controllers: dict[str, Controller] = {}
        self._radio = RadioRate(settings.device, settings.rate_bps) if settings.follow_radio else None
        self._device = plan_attach(settings, force=force).device
        self._key = state.Key.of(self._device.ifindex)
        with ExitStack() as undo:
            lock = state.InterfaceLock(self._key, self._device.name)
            undo.callback(lock.release)
            self._netlink = undo.enter_context(NetlinkSocket())
            self._kernel = Kernel(self._netlink)
            undo.callback(self._kernel.close)
            self._stop_metrics = self._serve_metrics(settings)
            undo.callback(lambda: self._stop_metrics())
            plan = plan_attach(settings, force=force)
            self._tree: QdiscTree = plan.tree
            self._stand_up(plan)
            if plan.standing is not None:
                self._take_over_classifiers(plan.standing)
            self._make_controllers()
            self._control = ControlSocket(self._key)
            undo.callback(self._control.close)
            self._ends = undo.pop_all()

    def _serve_metrics(self, settings: QueueSettings) -> Callable[[], None]:
        if settings.metrics is None:
            return lambda: None
        from linux_qdisc.metrics import serve

        return serve(settings.metrics, self.summaries)

    def _stand_up(self, plan: AttachPlan) -> None:
        already = plan.held.offloads_before if plan.held is not None else {}
        # On file before anything changes, so that a crash between the two loses nothing.
        self._remember(plan, offloads.union(already, plan.switched))
        try:
            self._kernel.apply(plan.operations)
        except BaseException:
            try:
                self._undo(plan)
            except QosError as error:
                log.warning("the interface could not be led back whole: %s", error)
            if plan.held is None:
                state.forget(self._key)
            else:
                state.write(self._key, plan.held)
            raise
        self._remember(plan, plan.switched)

    def _remember(self, plan: AttachPlan, switched: offloads.Switched) -> None:
        pid = os.getpid()
        started = state.start_time(pid) or 0
        attachment = state.Attachment(self.settings, plan.before.to_json(), switched, pid, started)
        state.write(self._key, attachment)

    def _take_over_classifiers(self, standing: QdiscTree) -> None:
        """Go on with the classifiers of a controller that died: opened where we may, else exchanged."""
        for old, new in ((standing.egress, self._tree.egress), (standing.ingress, self._tree.ingress)):
            if old is None or new is None or new.device in self._kernel.flow_maps:
                continue
            found = adopt_flow_map(self._netlink, device_facts(new.device).ifindex)
            if found is not None and found.flows == new.flows:
                found.rebuild_free()
                self._kernel.flow_maps[new.device] = found
                continue
            if found is not None:
                found.close()
            exchange = SetClassifier(new.device, new.flows, new.classifier, create=False)
            self._kernel.apply([exchange])

    def _undo(self, plan: AttachPlan) -> None:
        """Lead the interface back from a change that failed half-way."""
        if plan.standing is None or plan.held is None:
            offloads.restore(plan.switched)
            if snapshot(self._netlink, plan.device.ifindex).is_ours:
                restore(self._netlink, plan.device.ifindex, plan.before)
        else:
            switched = offloads.union(plan.held.offloads_before, plan.switched)
            switches, _ = offloads.plan(plan.held.settings, switched)
            self._kernel.lead_back([*switches, *difference(plan.tree, plan.standing)])
        had_ingress = plan.standing is not None and plan.standing.ingress is not None
        if plan.tree.ingress is not None and not had_ingress:
            free_ingress(self._kernel, plan.device, plan.before)

    def _trees(self) -> list[FairTree]:
        return [tree for tree in (self._tree.egress, self._tree.ingress) if tree is not None]

    def _make_controllers(self) -> None:
        """Give each tree its controller; one that controls it already goes on."""
        made: dict[str, Controller] = {}
        policy = self.settings.policy
        for tree in self._trees():
            weights = self._weights(tree)
            flow_map = self._kernel.flow_maps.get(tree.device)
            known = self._controllers.get(tree.device)
            if known is None:
                ifindex = device_facts(tree.device).ifindex
                known = Controller(self._netlink, ifindex, tree, policy, flow_map, weights)
            else:
                known.reload(tree, policy, flow_map, weights)
            made[tree.device] = known
        self._controllers = made

    def _weights(self, tree: FairTree) -> WeightsChoice:
        path = Path(self.settings.weights) if self.settings.weights else None
        chosen = WeightsChoice(path, self.settings.learn)
        return chosen if tree is self._tree.egress else chosen.for_ingress()

    def summaries(self) -> list[Summary]:
        """Return what each tree does now, for the metrics endpoint."""
        return [row.summary(name) for name, row in self._controllers.items()]

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
        try:
            self._loop()
        except QosError as error:
            self._note_the_end(str(error))
            raise

    def _note_the_end(self, why: str) -> None:
        """Put down why there is no controller any more, for `qos status`: nobody may have seen it."""
        try:
            held = state.read(self._key)
            if held is not None:
                state.write(self._key, replace(held, ended=why))
        except (QosError, OSError) as error:
            log.warning("it could not be put down why the controller ends: %s", error)

    def _loop(self) -> None:
        last = time.monotonic()
        next_tick, next_check = last + self.settings.interval_s, last + LINK_CHECK_S
        next_save = last + SAVE_S
        failed = 0
        while not self._stopping:
            self._control.serve(max(0.0, next_tick - time.monotonic()), self._answer)
            now = time.monotonic()
            if now < next_tick:
                continue
            try:
                for controller in self._controllers.values():
                    controller.tick(now - last)
                failed = 0
            except KernelError as error:
                self._check_link()
                failed += 1
                if error.errno_code not in PASSING_ERRORS or failed >= MAX_FAILED_POLLS:
                    raise
                log.warning("a poll failed and is made again: %s", error)
            last = now
            next_tick = max(next_tick + self.settings.interval_s, now)
            if now >= next_check:
                self._check_link()
                next_check = now + LINK_CHECK_S
            if now >= next_save:
                self._save_learned()
                next_save = now + SAVE_S
            self._follow_radio(now)

    def _save_learned(self) -> None:
        for controller in self._controllers.values():
            controller.save_learned()

    def _follow_radio(self, now_s: float) -> None:
        """Give the queue the radio's rate, where that is asked for and it has changed."""
        if self._radio is None:
            return
        wanted = follow(self.settings, now_s, self._radio)
        if wanted is not None:
            log.info("%s: the radio now carries %d bit/s", self._device.name, wanted.rate_bps)
            try:
                self._change(wanted, force=False)
            except KernelError as error:  # the tree was led back; the next change is another chance
                log.warning("the rate stays as it is: %s", error)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._stopping = True

    def _check_link(self) -> None:
        name = self._device.name
        device = next((row for row in all_devices() if row.ifindex == self._device.ifindex), None)
        if device is None:
            if self._tree.ingress is not None:
                self._kernel.delete_link(self._tree.ingress.device)
            state.forget(self._key)
            raise InputError(f"{name} has disappeared; its controller ends")
        if device.name != name:
            raise InputError(f"{name} was renamed to {device.name}; 'qos attach {device.name}' goes on")
        if self._device.is_up and not device.is_up:
            raise InputError(f"{name} went down; 'qos attach {name}' goes on when it is up")
        if not has_our_root(self._netlink, device.ifindex):
            raise InputError(f"somebody removed the queue of {name}; 'qos attach {name}' puts it back")
        sizes, self._device = _packet_sizes(self._device), device
        if _packet_sizes(device) != sizes:
            self._fit_to_packets()

    def _fit_to_packets(self) -> None:
        """Fit the tree to another size of packets: what is larger than a limit would never pass."""
        log.info(
            "%s: packets have another size now, %d bytes at most", self._device.name, self._device.mtu_bytes
        )
        try:
            self._change(self.settings, force=False)
        except KernelError as error:  # the tree was led back
            log.warning("the queue is not fitted to the new size of packets: %s", error)

    def _answer(self, request: dict[str, Any]) -> Answer:
        if request.get("do") == "stop":
            self._stopping = True
            return {"ok": True}
        if request.get("do") == "reload" and isinstance(request.get("settings"), dict):
            try:
                settings = QueueSettings.from_json(request["settings"])
                return {"ok": True, "operations": self.reload(settings, force=request.get("force") is True)}
            except (QosError, KeyError, TypeError) as error:
                return {"ok": False, "error": str(error), "exit_code": getattr(error, "exit_code", 1)}
        return {"ok": False, "error": "unknown request", "exit_code": 1}

    def reload(self, settings: QueueSettings, *, force: bool = False) -> int:
        """Change the running tree in place; return the number of operations (0: nothing to do).

        Raises
        ------
        KernelError
            If the kernel refuses; the tree is led back to what it was.
        InputError
            If the address of the metrics cannot be used; nothing is changed then.
        """
        operations = self._change(settings, force=force)
        if not settings.follow_radio:
            self._radio = None
        elif self._radio is None:
            self._radio = RadioRate(settings.device, settings.rate_bps)
        return operations

    def _change(self, settings: QueueSettings, *, force: bool) -> int:
        plan = plan_attach(settings, force=force, standing=self._tree)
        if settings == self.settings and not plan.operations:
            return 0
        former, former_tree = self.settings, self._tree
        moved = settings.metrics != former.metrics
        stop_metrics = self._serve_metrics(settings) if moved else self._stop_metrics
        self.settings, self._tree = settings, plan.tree
        try:
            self._stand_up(plan)
        except BaseException:
            self.settings, self._tree = former, former_tree
            if moved:
                stop_metrics()
            # Limits and classifiers may have changed and changed back underneath them.
            self._controllers = {}
            self._make_controllers()
            raise
        if moved:
            self._stop_metrics()
            self._stop_metrics = stop_metrics
        if former_tree.ingress is not None and plan.tree.ingress is None:
            self._return_ingress(plan)
        self._make_controllers()
        return len(plan.operations)

    def _return_ingress(self, plan: AttachPlan) -> None:
        """Put back what `--ingress` had replaced, now that it is no longer asked for."""
        for problem in free_ingress(self._kernel, plan.device, plan.before):
            log.warning("not restored: %s", problem)

    def close(self) -> None:
        """Stop controlling; the tree stays as it is, with its last limits."""
        self._save_learned()
        self._ends.close()


def _packet_sizes(device: DeviceFacts) -> tuple[int, int]:
    """Return what of a device the limits and buckets of its tree depend on."""
    return device.mtu_bytes, device.gso_max_bytes
