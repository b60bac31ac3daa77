"""Every single failure of a network: who is still served when the rest is planned anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from qos.engine import replan
from qos.plan_changes import diff
from qos.planning import Plan
from qos.survival.risks import RiskGroups
from qos.workers import each
from topologies.model import Topology


@dataclass(frozen=True, slots=True)
class Failure:
    """Something that fails.

    Attributes
    ----------
    kind
        ``link``, ``group`` or ``node``.
    name
        Of it.
    links
        Ids of the links that go with it.
    """

    kind: str
    name: str
    links: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FailureOutcome:
    """What a failure costs.

    Attributes
    ----------
    failure
        What failed.
    served, asked
        Demands that are served after it, and those that were before.
    lost, moved, retuned
        Names of demands that are no longer served, that take another path, that get another rate.
    on_backup
        Names of flows whose first path fails and whose backup does not.
    """

    failure: Failure
    served: int
    asked: int
    lost: tuple[str, ...]
    moved: tuple[str, ...]
    retuned: tuple[str, ...]
    on_backup: tuple[str, ...]


def failures(plan: Plan, risks: RiskGroups | None = None, *, nodes: bool = False) -> tuple[Failure, ...]:
    """List every single failure: each group, each link in no group, and if wanted each node.

    Parameters
    ----------
    plan
        The plan.
    risks
        Links that fail together.
    nodes
        Nodes fail too; ends of demands do not count, since their demands go with them.
    """
    groups = (risks or RiskGroups()).links
    topology = plan.scenario.topology
    grouped = frozenset[str]().union(*groups.values())
    found = [Failure("group", name, tuple(sorted(links))) for name, links in groups.items()]
    found += [Failure("link", link, (link,)) for link in topology.links if link not in grouped]
    if nodes:
        ends = {end for flow in plan.scenario.flows for end in (flow.source, flow.destination)}
        ends |= {
            end for one in plan.scenario.entanglement for end in (one.demand.source, one.demand.destination)
        }
        for node in topology.nodes:
            mine = tuple(link.id for link in topology.links.values() if node in (link.source, link.target))
            if mine and node not in ends:
                found.append(Failure("node", node, mine))
    return tuple(found)


def without(topology: Topology, links: Sequence[str]) -> Topology:
    """Give the topology without some links."""
    gone = frozenset(links)
    return Topology(
        topology.nodes.values(),
        [link for link in topology.links.values() if link.id not in gone],
        name=topology.name,
        description=topology.description,
        quantum=topology.quantum,
    )


def _used(plan: Plan) -> frozenset[str]:
    used = {hop.link for flow in plan.flows.values() for hop in flow.hops}
    topology = plan.scenario.topology
    for one in plan.entanglement.values():
        for left, right in pairwise(one.path):
            used |= {link.id for link in topology.links_between(left, right) if link.kind == "quantum"}
    return frozenset(used)


def _after(work: tuple[Plan, Failure]) -> FailureOutcome:
    plan, failure = work
    before = [name for name, flow in plan.flows.items() if not flow.serves] + list(plan.entanglement)
    gone = frozenset(failure.links)
    on_backup = tuple(
        name
        for name, flow in plan.flows.items()
        if flow.backup is not None
        and gone & {hop.link for hop in flow.hops}
        and not gone & _links_of(plan, flow.backup)
    )
    if not gone & _used(plan):
        return FailureOutcome(failure, len(before), len(before), (), (), (), on_backup)
    scenario = replace(plan.scenario, topology=without(plan.scenario.topology, failure.links))
    new = replan(plan, scenario, replace(plan.options, explain=False))
    found = diff(plan, new)
    users = frozenset(before)
    lost = tuple(name for name in before if name not in new.flows and name not in new.entanglement)
    return FailureOutcome(
        failure,
        len(before) - len(lost),
        len(before),
        lost,
        tuple(name for name in found.moved if name in users),
        tuple(name for name in found.retuned if name in users),
        on_backup,
    )


def _links_of(plan: Plan, path: tuple[str, ...]) -> frozenset[str]:
    """Give the links that a path of nodes cannot do without."""
    needed = set()
    for one, other in pairwise(path):
        between = [link.id for link in plan.scenario.topology.links_between(one, other)]
        if len(between) == 1:
            needed.add(between[0])
    return frozenset(needed)


def sweep(
    plan: Plan, risks: RiskGroups | None = None, *, nodes: bool = False, jobs: int = 1
) -> tuple[FailureOutcome, ...]:
    """Let everything fail once, alone, and plan the rest anew; what served before is kept where possible.

    Parameters
    ----------
    plan, risks, nodes
        As `failures`.
    jobs
        What `qos.workers.workers` gave; the result does not depend on it.
    """
    work = [(plan, failure) for failure in failures(plan, risks, nodes=nodes)]
    return tuple(each(_after, work, jobs, "failures"))
