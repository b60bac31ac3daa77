"""Which offloads an attachment switches, and how they come back."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from linux_qdisc.ethtool import is_on, switch
from linux_qdisc.operations import SwitchOffload
from linux_qdisc.settings import QueueSettings
from qos.errors import QosError

log = logging.getLogger(__name__)

_FORWARDING = ("/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding")

Switched = dict[str, dict[str, bool | None]]
"""Interface -> offload -> whether it was on before we switched it; None where it has no say."""


def plan(settings: QueueSettings, switched: Switched) -> tuple[list[SwitchOffload], Switched]:
    """Work out what must be switched for `settings`; looks, but changes nothing.

    Parameters
    ----------
    settings
        What is asked.
    switched
        What an earlier attach switched, as it was before; what is no longer asked for comes back.

    Returns
    -------
    tuple
        The operations, and what will then be switched, as it was before.
    """
    wanted = {(settings.device, feature) for feature in _to_switch_off(settings)}
    wanted |= {(name, "gro") for name in settings.gro_off}
    operations = [
        SwitchOffload(name, feature, on=True)
        for name, features in switched.items()
        for feature, was_on in features.items()
        if was_on and (name, feature) not in wanted
    ]
    result: Switched = {}
    for name, feature in sorted(wanted):
        now = is_on(name, feature)
        result.setdefault(name, {})[feature] = switched.get(name, {}).get(feature, now)
        if now:
            operations.append(SwitchOffload(name, feature, on=False))
    return operations, result


def _to_switch_off(settings: QueueSettings) -> tuple[str, ...]:
    """List what ``--offloads off`` means for the interface itself."""
    if settings.offloads != "off":
        return ()
    # What comes in is merged before it reaches the queue of the ingress side.
    return ("tso", "gso") if settings.ingress_rate_bps is None else ("tso", "gso", "gro")


def merging_interfaces(settings: QueueSettings, others: Iterable[str]) -> list[str]:
    """List the interfaces whose GRO makes super-packets of what is forwarded to a queue without offloads.

    Parameters
    ----------
    settings
        What is attached.
    others
        Interfaces that are up.
    """
    if settings.offloads != "off" or not _forwards():
        return []
    spared = {settings.device, "lo", *settings.gro_off}
    return [name for name in others if name not in spared and is_on(name, "gro")]


def _forwards() -> bool:
    """Say whether this network namespace forwards packets of either version of IP."""
    found = False
    for path in _FORWARDING:
        with suppress(OSError):
            found |= Path(path).read_text().strip() == "1"
    return found


def union(one: Switched, other: Switched) -> Switched:
    """Return all that either has switched; where both have, `one` knows how it was before."""
    return {name: other.get(name, {}) | one.get(name, {}) for name in {**one, **other}}


def restore(switched: Switched) -> None:
    """Switch offloads back; an interface that is gone is passed over."""
    for name, features in switched.items():
        for feature, was_on in features.items():
            if was_on:
                try:
                    switch(name, feature, on=True)
                except QosError as error:
                    log.warning("%s", error)
