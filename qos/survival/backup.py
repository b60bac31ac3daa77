"""A second path for flows that want protection, which fails with nothing on the first.

The planned path stays. Links that share a risk with it are taken out, then its inner nodes too; of what is
left the fastest path is taken that keeps the flow's delay and loss beside all that is planned. Where only a
path through the same nodes is left, that one is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from qos.demands import FlowDemand
from qos.engine.admission import loads_at
from qos.engine.network import Network, network_of
from qos.engine.routes import Route, RouteMaker
from qos.errors import InfeasibleError
from qos.planning import Plan, PlannedFlow
from qos.survival.risks import RiskGroups

PATHS = 8
"""Paths that are tried, the fastest first."""
UNPROTECTED = "; no path that fails with nothing of it has room"
_FULL = 1e-9


def protect(plan: Plan, risks: RiskGroups | None = None) -> Plan:
    """Give the plan with a backup path for each flow that wants protection; for all where none says so.

    A flow for which there is none keeps its place, and its reason says so.

    Parameters
    ----------
    plan
        The plan.
    risks
        Links that fail together; each alone where nothing is said.
    """
    groups = risks or RiskGroups()
    network = network_of(plan.scenario.topology, plan.options)
    by_hop = {(edge.link_id, edge.sender): edge.index for edge in network.edges}
    maker = RouteMaker(network)
    demands = {one.name: one for one in plan.scenario.flows}
    spare = _spare(plan, network, maker, demands, by_hop)
    wanted = {name for name, demand in demands.items() if demand.protection}
    flows = dict(plan.flows)
    for name in [name for name in plan.flows if name in (wanted or demands)]:
        backup = _backup(flows[name], demands[name], network, maker, groups, spare)
        why = flows[name].reason.removesuffix(UNPROTECTED)
        flows[name] = replace(
            flows[name], backup=backup, reason=why if backup or name not in wanted else why + UNPROTECTED
        )
    return replace(plan, flows=flows)


def _spare(
    plan: Plan,
    network: Network,
    maker: RouteMaker,
    demands: dict[str, FlowDemand],
    by_hop: dict[tuple[str, str], int],
) -> list[float]:
    """Give what is left of each channel beside the planned flows."""
    routes: dict[int, Route] = {}
    rates: dict[int, float] = {}
    for number, flow in enumerate(plan.flows.values()):
        demand = demands.get(flow.name) or _asked(flow)
        path = tuple(by_hop[hop.link, hop.sender] for hop in flow.hops)
        try:
            routes[number] = maker.route(demand, path)
        except InfeasibleError:
            continue
        rates[number] = flow.rate_bps
    loads = loads_at(network, routes, rates)
    return [most - float(load) for most, load in zip(network.capacity, loads.load, strict=True)]


def _asked(flow: PlannedFlow) -> FlowDemand:
    return FlowDemand(
        flow.source,
        flow.destination,
        flow.rate_bps,
        delay_bound_s=flow.delay_bound_s,
        loss=flow.loss_bound,
        violation_probability=flow.violation_probability,
        packet_bytes=flow.packet_bytes,
    )


def _backup(
    flow: PlannedFlow,
    demand: FlowDemand,
    network: Network,
    maker: RouteMaker,
    risks: RiskGroups,
    spare: Sequence[float],
) -> tuple[str, ...] | None:
    risky = risks.fail_with(hop.link for hop in flow.hops)
    for without_nodes in (frozenset(flow.path[1:-1]), frozenset[str]()):
        for path in _paths(network, demand, risky, without_nodes):
            try:
                route = maker.route(demand, path)
            except InfeasibleError:
                continue
            needed = ((channel, share * flow.rate_bps) for channel, share in route.per_bps.items())
            if all(load <= spare[channel] + _FULL for channel, load in needed):
                return route.nodes
    return None


def _paths(
    network: Network, demand: FlowDemand, risky: frozenset[str], closed: frozenset[str]
) -> list[tuple[int, ...]]:
    from itertools import islice, pairwise

    import networkx as nx

    graph: nx.DiGraph[str] = nx.DiGraph()
    ends = (demand.source, demand.destination)
    for edge in network.edges:
        inner = edge.sender not in ends and network.topology.nodes[edge.sender].kind == "host"
        if edge.link_id in risky or edge.sender in closed or edge.receiver in closed or inner:
            continue
        weight = edge.delay_s + 8 * demand.packet_bytes / edge.service_bps
        known = graph.get_edge_data(edge.sender, edge.receiver)
        if known is None or weight < known["weight"]:
            graph.add_edge(edge.sender, edge.receiver, weight=weight, edge=edge.index)
    if not all(end in graph for end in ends) or not nx.has_path(graph, *ends):
        return []
    found = nx.shortest_simple_paths(graph, *ends, weight="weight")
    return [
        tuple(graph.edges[one, other]["edge"] for one, other in pairwise(nodes))
        for nodes in islice(found, PATHS)
    ]
