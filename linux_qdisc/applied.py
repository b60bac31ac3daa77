"""Several interfaces of one host brought to what is wanted together, and which plan wanted it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from linux_qdisc import namespace, state
from linux_qdisc.background import attach_words, reload_controller, start_controller
from linux_qdisc.device import device_facts
from linux_qdisc.plan import plan_attach, require_net_admin
from linux_qdisc.release import detach
from linux_qdisc.settings import QueueSettings
from qos.errors import InputError, QosError

SCHEMA = 1
Change = Literal["attached", "changed", "unchanged"]


@dataclass(frozen=True, slots=True)
class AppliedPlan:
    """Which plan set this host up.

    Attributes
    ----------
    host
        Id of the node that this host is.
    name, digest
        Name and version of the plan's topology.
    devices
        The interfaces that the plan covers.
    """

    host: str
    name: str
    digest: str
    devices: tuple[str, ...]


def _path() -> Path:
    return state.directory() / f"{namespace.inode()}-plan.json"


def read_applied() -> AppliedPlan | None:
    """Give the plan that was applied last in this network namespace; None if none was, or it is gone."""
    try:
        found = json.loads(_path().read_text())
        if found.pop("schema") != SCHEMA or found.pop("namespace") != namespace.identity():
            return None
        return AppliedPlan(**(found | {"devices": tuple(found["devices"])}))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_applied(applied: AppliedPlan) -> None:
    """Remember which plan set this host up."""
    state.ensure_directory()
    head = {"schema": SCHEMA, "namespace": namespace.identity()}
    _path().write_text(json.dumps(head | asdict(applied), indent=1))


def check_host(host: str, name: str) -> None:
    """Refuse a plan for another host than the one that this is by its queues.

    Raises
    ------
    InputError
        If another node's queues, of the same topology, still stand here.
    """
    applied = read_applied()
    if applied is None or (applied.host, applied.name) == (host, name) or applied.name != name:
        return
    standing = {held.settings.device for _, held in state.attached()}
    if standing & set(applied.devices):
        raise InputError(
            f"this host was set up as {applied.host!r} of {name!r}, not as {host!r}; --force changes that"
        )


def commands_of(wanted: QueueSettings, *, force: bool) -> list[str]:
    """Give what applying would do to one interface, as lines for `tc -batch` and `ip`; changes nothing."""
    from linux_qdisc.operations import as_commands

    return as_commands(plan_attach(wanted, force=force).operations)


def apply_all(wanted: Sequence[QueueSettings], *, force: bool) -> list[Change]:
    """Bring every interface to its settings, or, if one fails, leave all as they were.

    Settings that stand already are left alone, so a second call changes nothing.

    Raises
    ------
    QosError
        What attaching one of them raises; those before it are led back.
    """
    require_net_admin()
    for one in wanted:
        plan_attach(one, force=force)  # whatever can be refused is refused before anything changes
    done: list[tuple[QueueSettings, QueueSettings | None]] = []
    changes: list[Change] = []
    try:
        for one in wanted:
            key = state.Key.of(device_facts(one.device).ifindex)
            held = state.read(key)
            former = held.settings if held is not None and state.is_locked(key) else None
            changes.append(_apply_one(one, former, force=force))
            done.append((one, former))
    except BaseException:
        for one, former in reversed(done):
            _lead_back(one, former)
        raise
    return changes


def _apply_one(wanted: QueueSettings, former: QueueSettings | None, *, force: bool) -> Change:
    if former is None:
        start_controller(attach_words(wanted, force=force))
        return "attached"
    if wanted.follow_radio and former.follow_radio:
        wanted = replace(wanted, rate_bps=former.rate_bps)  # the radio says it better than the plan
    operations = reload_controller(wanted, force=force)
    return "changed" if operations or wanted != former else "unchanged"


def _lead_back(applied: QueueSettings, former: QueueSettings | None) -> None:
    try:
        if former is None:
            detach(applied.device)
        else:
            reload_controller(former, force=False)
    except QosError:
        return  # the error that led here is the one to tell
