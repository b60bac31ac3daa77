"""A network without a plan, written as one: every demand on its fastest path, nobody refused.

So that the same simulation judges it by what was asked. Radios choose modes for a packet error rate of 10 %
and send again up to seven times (the short retry limit of IEEE 802.11), unless cross-layer design sets them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise

import networkx as nx

from qos.crosslayer.link_design import MAX_RETRANSMISSIONS, design_class, model_link
from qos.crosslayer.threshold_design import thresholds_at
from qos.demands import FlowDemand
from qos.engine.network import SHAPED, Edge, network_of
from qos.planning import (
    ClassSetting,
    HopBudget,
    LinkSetting,
    Plan,
    PlannedFlow,
    PlanOptions,
    Scenario,
    SearchReport,
)
from qos.profiles import ACCESS_CATEGORIES
from topologies.links import WirelessLink

USUAL_ERROR_RATE = 0.1


def everybody(scenario: Scenario, *, crosslayer: bool, options: PlanOptions | None = None) -> Plan:
    """Send all flows of a scenario.

    Parameters
    ----------
    scenario
        Its demands for entanglement are left out.
    crosslayer
        Design thresholds and retransmissions of radios for their classes.
    options
        As for a plan.
    """
    chosen = options or PlanOptions()
    network = network_of(scenario.topology, chosen)
    graph: nx.DiGraph[str] = nx.DiGraph()
    for edge in network.edges:
        graph.add_edge(edge.sender, edge.receiver, weight=edge.delay_s + 12_000 / edge.service_bps, edge=edge)
    flows: dict[str, PlannedFlow] = {}
    users: dict[tuple[str, str], list[FlowDemand]] = {}
    for demand in scenario.flows:
        path = nx.dijkstra_path(graph, demand.source, demand.destination)
        edges: list[Edge] = [graph.edges[ends]["edge"] for ends in pairwise(path)]
        for edge in edges:
            users.setdefault((edge.link_id, edge.sender), []).append(demand)
        flows[demand.name] = _flow(demand, tuple(path), edges)
    links = tuple(_setting(scenario, edge, users, chosen, crosslayer=crosslayer) for edge in network.edges)
    search = SearchReport("feasible", 0.0, 0.0, "greedy")
    return Plan(replace(scenario, entanglement=()), chosen, flows, {}, links, None, (), search, 0.0)


def _flow(demand: FlowDemand, path: tuple[str, ...], edges: list[Edge]) -> PlannedFlow:
    bound_s = demand.delay_bound_s or 1.0
    hops = tuple(HopBudget(edge.link_id, edge.sender, bound_s / len(edges), demand.loss) for edge in edges)
    return PlannedFlow(
        demand.name, demand.source, demand.destination, path, demand.rate_bps, demand.delay_bound_s, bound_s,
        demand.jitter_s, 0.0, demand.loss, 0.0, demand.violation_probability, hops, "nobody is refused",
        profile=demand.profile, dscp=demand.dscp, access_category=demand.access_category,
        packet_bytes=demand.packet_bytes, priority=demand.priority,
    )  # fmt: skip


def _setting(
    scenario: Scenario,
    edge: Edge,
    users: Mapping[tuple[str, str], list[FlowDemand]],
    options: PlanOptions,
    *,
    crosslayer: bool,
) -> LinkSetting:
    here = users.get((edge.link_id, edge.sender), [])
    reserved = sum(demand.rate_bps for demand in here)
    return LinkSetting(
        edge.link_id, edge.sender, edge.receiver, "wireless" if edge.is_radio else "wired", "", edge.rate_bps,
        options.usable * edge.rate_bps, reserved, max(int(SHAPED * edge.rate_bps), 1), options.policy,
        "balanced", options.isolate, tuple(demand.name for demand in here), reserved / edge.rate_bps, 0.0,
        channel=tuple(str(channel) for channel in edge.channels) if edge.is_radio else (),
        classes=_classes(scenario, edge, here, crosslayer=crosslayer) if edge.is_radio else (),
    )  # fmt: skip


def _classes(
    scenario: Scenario, edge: Edge, here: list[FlowDemand], *, crosslayer: bool
) -> tuple[ClassSetting, ...]:
    link = scenario.topology.links[edge.link_id]
    assert isinstance(link, WirelessLink)
    model = model_link(scenario.topology, link)
    found = []
    for category in reversed(ACCESS_CATEGORIES):
        mine = [demand for demand in here if demand.access_category == category]
        if not mine:
            continue
        strictest = min(mine, key=lambda demand: demand.loss)
        table = model.table.for_packet_bits(strictest.packet_bytes * 8)
        levels, retries = thresholds_at(table, USUAL_ERROR_RATE), MAX_RETRANSMISSIONS
        if crosslayer:
            designed = design_class(model, strictest)
            levels, retries = designed.performance.thresholds, designed.retransmissions
        decibels = tuple(float(each) for each in _decibels(levels))
        names = tuple(demand.name for demand in mine)
        found.append(ClassSetting(category, names, table.name, decibels, retries, model.power_dbm))
    return tuple(found)


def _decibels(levels: object) -> object:
    import numpy as np

    return 10 * np.log10(np.asarray(levels, dtype=float))
