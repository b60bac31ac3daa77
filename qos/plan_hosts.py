"""A host's part of a plan: which of its interfaces gets which fair queue."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from linux_qdisc.settings import QueueSettings
from qos.errors import InputError, QosError, ValueRefusedError
from qos.planning import LinkSetting, Plan, topology_digest
from qos.units import parse_size
from topologies.files import load

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HostQueue:
    """The queue of one interface.

    Attributes
    ----------
    place
        The interface: a name or an address.
    links
        The directions of links that leave through it.
    rate_bps
        Rate that the queue shapes to.
    policy, isolate
        As `qos attach` spells them.
    """

    place: str
    links: tuple[LinkSetting, ...]
    rate_bps: int
    policy: str
    isolate: str

    @property
    def is_radio(self) -> bool:
        """Whether it sends over a radio."""
        return any(link.kind == "wireless" for link in self.links)

    @property
    def reserved_bps(self) -> float:
        """What the plan's flows take of it, bit/s."""
        return sum(link.reserved_bps for link in self.links)

    @property
    def wait_s(self) -> float:
        """The longest wait that the plan promises, seconds."""
        return max(link.wait_s for link in self.links)

    def settings(self, device: str, *, follow_radio: bool = False) -> QueueSettings:
        """Give what `qos attach` would be told about the interface `device`."""
        return QueueSettings(
            device, self.rate_bps, policy=self.policy, isolate=self.isolate, follow_radio=follow_radio
        )


def host_queues(plan: Plan, host: str, places: Mapping[str, str] | None = None) -> tuple[HostQueue, ...]:
    """Give the queues of one host, in the order of the plan's links.

    Links that leave through the same interface (the stations of an access point) share its queue. Its rate
    is what goes through in the planned mix: the mean of the links' rates, harmonic, by what is reserved.

    Parameters
    ----------
    plan
        The plan.
    host
        Id of the node.
    places
        Interface of a link by its id, name or address, where the topology does not say or says otherwise.

    Raises
    ------
    ValueRefusedError
        If there is no such node or link.
    InputError
        If an interface is not known; all such links are named.
    """
    nodes = plan.scenario.topology.nodes
    if host not in nodes:
        near = get_close_matches(host, nodes, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"it has {', '.join(list(nodes)[:8])}"
        raise ValueRefusedError(f"host {host[:60]!r} is no node of the plan's topology; {hint}")
    leaving = [link for link in plan.links if link.sender == host]
    if not leaving:
        raise InputError(f"the plan sets no link that leaves {host!r}, so there is nothing to apply")
    given = dict(places or {})
    strange = [link for link in given if link not in {one.link for one in leaving}]
    if strange:
        known = ", ".join(one.link for one in leaving)
        raise ValueRefusedError(f"no link {strange[0][:60]!r} leaves {host!r}; there is {known}")
    only = nodes[host].interfaces[0] if len(nodes[host].interfaces) == 1 and len(leaving) == 1 else ""
    by_place: dict[str, list[LinkSetting]] = {}
    missing = []
    for link in leaving:
        place = given.get(link.link) or link.interface or only
        if not place:
            missing.append(link.link)
        by_place.setdefault(place, []).append(link)
    if missing:
        raise InputError(
            f"the topology names no interface of {host!r} for {', '.join(missing)}; "
            f"give it: --interface {missing[0]}=DEV"
        )
    return tuple(_queue(place, links) for place, links in by_place.items())


def _queue(place: str, links: list[LinkSetting]) -> HostQueue:
    weights = [max(link.reserved_bps, 1.0) for link in links]
    time = sum(weight / link.fair_queue_rate_bps for weight, link in zip(weights, links, strict=True))
    order = ("latency", "balanced", "throughput")
    wishes = [link.preference for link in links if link.preference in order]
    fixed = [link.policy for link in links if link.policy.startswith("fixed:")]
    policy = max(fixed, key=lambda text: parse_size(text[6:])) if fixed else links[0].policy
    if policy == "lfq" and wishes:
        policy = f"lfq:{min(wishes, key=order.index)}"
    return HostQueue(place, tuple(links), round(sum(weights) / time), policy, links[0].isolate)


def check_version(plan: Plan, topology: str | None = None) -> None:
    """Refuse a plan whose topology is not the present one.

    Parameters
    ----------
    plan
        The plan.
    topology
        File or library name of the present topology; None: where the plan's scenario was read from, and
        nothing is compared where that cannot be read here.

    Raises
    ------
    InputError
        If the versions differ, or `topology` cannot be read.
    """
    source = topology or plan.scenario.source
    try:
        present = topology_digest(load(source)) if source else plan.scenario.digest
    except QosError as error:
        if topology is not None:
            raise
        log.info("the plan's topology is not here to be compared: %s", error)
        return
    if present != plan.scenario.digest:
        raise InputError(
            f"the plan is for version {plan.scenario.digest} of its topology, {source} is now {present}; "
            f"plan again: qos plan {source}"
        )
