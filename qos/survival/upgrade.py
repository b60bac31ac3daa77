"""The cheapest upgrade of links that admits a rejected flow beside everything that is admitted.

A path's price is what its wires lack for the flow, in steps of rates that are sold, and decibels for its
radios. Paths are looked at from the cheapest on, and each is tried: the network is planned again with the
upgrade, and it counts only if the flow is admitted and nobody else is dropped.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice, pairwise

from qos.demands import FlowDemand
from qos.engine import replan
from qos.engine.network import on_wire
from qos.engine.routes import least_bps
from qos.errors import ValueRefusedError
from qos.planning import LinkSetting, Plan
from qos.units import format_rate
from topologies.model import Link, Topology, WiredLink, WirelessLink

RATES_BPS = tuple(int(value * 10**power) for power in (6, 7, 8, 9, 10, 11) for value in (1, 2.5, 4, 5))
"""Rates that links are sold in [ours]: 1, 2.5, 4 and 5 times a power of ten, 1 Mbit/s to 500 Gbit/s."""
DECIBELS = (0, 3, 6, 10, 15, 20)
STEPS = (0, 1, 2)
"""How many rates above the least that has room: a faster wire also queues for less time."""
PATHS = 6
_SMALL = 1e-9


@dataclass(frozen=True, slots=True)
class Costs:
    """Prices, in any one unit.

    Attributes
    ----------
    gbit
        Of one more Gbit/s of a wire, both directions, at least 0.
    decibel
        Of one more decibel of a radio's SNR, at least 0.
    """

    gbit: float = 1.0
    decibel: float = 1.0

    def __post_init__(self) -> None:
        for name in ("gbit", "decibel"):
            if not 0 <= getattr(self, name) < 1e12:
                raise ValueRefusedError(f"cost of a {name} must be at least 0, not {getattr(self, name)!r}")


@dataclass(frozen=True, slots=True)
class Upgrade:
    """Changes of links that together admit a demand.

    Attributes
    ----------
    demand
        Its name.
    cost
        Sum of the prices.
    changes
        Link, figure, value before and after, in words.
    path
        Where the demand goes then.
    """

    demand: str
    cost: float
    changes: tuple[str, ...]
    path: tuple[str, ...]


def cheapest_upgrade(plan: Plan, name: str, costs: Costs | None = None) -> Upgrade | None:
    """Find the cheapest upgrade of links that admits a rejected flow; None if none was found.

    Parameters
    ----------
    plan
        The plan that rejects it.
    name
        Of the demand.
    costs
        Prices.

    Raises
    ------
    ValueRefusedError
        If the plan rejects no flow of that name.
    """
    rejected = {one.name: one for one in plan.rejected if one.kind == "flow"}
    if name not in rejected:
        known = ", ".join(rejected) or "none"
        raise ValueRefusedError(f"the plan rejects no flow {name[:60]!r}; it rejects {known}")
    demand = next(one for one in plan.scenario.flows if one.name == name)
    prices = costs or Costs()
    best: Upgrade | None = None
    needs = _needs(plan)
    for links in _paths(plan, demand, prices, needs):
        radio = any(isinstance(link, WirelessLink) for link, _ in links)
        for decibels, steps in [(level, 0) for level in DECIBELS] if radio else [(0, one) for one in STEPS]:
            changed, words, cost = _upgraded(plan, demand, links, prices, needs, decibels, steps)
            if best is not None and cost >= best.cost:
                break
            path = _admits(plan, name, changed) if words else None
            if path is not None:
                best = Upgrade(name, cost, words, path)
                break
    return best


def _needs(plan: Plan) -> dict[str, float]:
    """Give what each planned flow needs on a wire, bit/s; elastic ones give up all but their least rate."""
    least = {one.name: least_bps(one) * on_wire(one) for one in plan.scenario.flows}
    return {name: least.get(name, flow.rate_bps) for name, flow in plan.flows.items()}


def _lacking_bps(setting: LinkSetting, demand: FlowDemand, needs: Mapping[str, float]) -> float:
    share = setting.usable_bps / setting.rate_bps
    if setting.kind == "wireless":
        return max((setting.reserved_bps + least_bps(demand)) / share - setting.rate_bps, 0.0)
    taken_bps = sum(needs[name] for name in setting.flows)
    return max((taken_bps + least_bps(demand) * on_wire(demand)) / share - setting.rate_bps, 0.0)


def _sold(rate_bps: float, steps: int = 0) -> int:
    place = bisect_left(RATES_BPS, rate_bps) + steps
    return RATES_BPS[place] if place < len(RATES_BPS) else round(rate_bps)


def _paths(
    plan: Plan, demand: FlowDemand, costs: Costs, needs: Mapping[str, float]
) -> Iterator[list[tuple[Link, str]]]:
    """Give paths as links with their senders, from the one whose wires lack least."""
    import networkx as nx

    graph: nx.DiGraph[str] = nx.DiGraph()
    links = plan.scenario.topology.links
    for setting in plan.links:
        if setting.sender != demand.source and plan.scenario.topology.nodes[setting.sender].kind == "host":
            continue
        link = links[setting.link]
        lacks = _lacking_bps(setting, demand, needs)
        # The delay breaks ties, and a full radio costs at least one step.
        weight = costs.gbit * (_sold(setting.rate_bps + lacks) - setting.rate_bps) / 1e9 if lacks else 0.0
        if isinstance(link, WirelessLink):
            weight = 3 * costs.decibel if lacks else 0.0
        delay_s = link.delay_s if isinstance(link, WiredLink | WirelessLink) else 0.0
        weight += _SMALL + 1e-3 * delay_s
        known = graph.get_edge_data(setting.sender, setting.receiver)
        if known is None or weight < known["weight"]:
            graph.add_edge(setting.sender, setting.receiver, weight=weight, link=link)
    ends = (demand.source, demand.destination)
    if not all(end in graph for end in ends) or not nx.has_path(graph, *ends):
        return
    for nodes in islice(nx.shortest_simple_paths(graph, *ends, weight="weight"), PATHS):
        yield [(graph.edges[one, other]["link"], one) for one, other in pairwise(nodes)]


def _upgraded(
    plan: Plan,
    demand: FlowDemand,
    path: list[tuple[Link, str]],
    costs: Costs,
    needs: Mapping[str, float],
    decibels: int,
    steps: int,
) -> tuple[dict[str, Link], tuple[str, ...], float]:
    """Give the changed links of a path, the changes in words, and their price."""
    changed: dict[str, Link] = {}
    words = []
    cost = 0.0
    for link, sender in path:
        if isinstance(link, WirelessLink) and decibels:
            changed[link.id] = _louder(link, decibels)
            words.append(f"{link.id}: {decibels} dB more signal")
            cost += costs.decibel * decibels
        elif isinstance(link, WiredLink):
            lacks = _lacking_bps(plan.link(link.id, sender), demand, needs)
            if lacks > 0:
                before = link.rate_from(sender)
                after = _sold(before + lacks, steps)
                both = max(after, link.rate_bps), max(after, link.reverse_rate_bps or 0)
                changed[link.id] = replace(
                    link,
                    rate_bps=both[0],
                    reverse_rate_bps=None if link.reverse_rate_bps is None else both[1],
                )
                words.append(f"{link.id}: {format_rate(after)} instead of {format_rate(before)}")
                cost += costs.gbit * (after - before) / 1e9
    return changed, tuple(words), cost


def _louder(link: WirelessLink, decibels: int) -> WirelessLink:
    if link.snr_db is not None:
        return replace(link, snr_db=link.snr_db + decibels)
    power = 20.0 if link.tx_power_dbm is None else link.tx_power_dbm
    return replace(link, tx_power_dbm=power + decibels)


def _admits(plan: Plan, name: str, changed: dict[str, Link]) -> tuple[str, ...] | None:
    """Plan again with the changed links; give the demand's path if nobody was dropped for it."""
    topology = plan.scenario.topology
    new = Topology(
        topology.nodes.values(),
        [changed.get(link.id, link) for link in topology.links.values()],
        name=topology.name,
        description=topology.description,
        quantum=topology.quantum,
    )
    found = replan(plan, replace(plan.scenario, topology=new), replace(plan.options, explain=False))
    kept = set(found.flows) | set(found.entanglement)
    before = {one for one, flow in plan.flows.items() if not flow.serves} | set(plan.entanglement)
    return found.flows[name].path if name in found.flows and before <= kept else None
