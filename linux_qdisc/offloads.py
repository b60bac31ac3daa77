"""Which offloads an attachment switches, and how they come back."""

from __future__ import annotations

import logging

from linux_qdisc.ethtool import is_on, switch
from linux_qdisc.operations import SwitchOffload
from linux_qdisc.settings import QueueSettings
from qos.errors import QosError

log = logging.getLogger(__name__)

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
    wanted = {(settings.device, feature) for feature in ("tso", "gso") if settings.offloads == "off"}
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
