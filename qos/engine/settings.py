"""One setting for every direction of every packet link of a plan."""

from __future__ import annotations

import math
from collections.abc import Mapping

from qos.engine.admission import Admission
from qos.engine.network import SHAPED, Edge, Network
from qos.engine.routes import Route
from qos.planning import ClassSetting, LinkSetting, PlannedFlow
from qos.profiles import ACCESS_CATEGORIES
from schedulers.admission.state import Loads
from topologies.links import WiredLink, WirelessLink

LATENCY_BELOW_S = 0.1
"""A queue that carries a flow with a tighter delay bound prefers latency."""

LOSS_SPARED = 1e-3
"""A flow that may lose no more than this keeps a long queue in front of a radio."""

HELD_UNBOUNDED_S = 0.3
"""How long a flow without a delay bound may wait before a radio: as much as streaming video."""

LEAST_HELD_BYTES = 15_000
"""Any policy lets so much wait."""


def link_settings(
    network: Network, admission: Admission, flows: Mapping[int, PlannedFlow], loads: Loads
) -> tuple[LinkSetting, ...]:
    """Set every direction of every packet link.

    Parameters
    ----------
    network
        Edges and channels.
    admission
        Routes of the admitted flows, by number.
    flows
        The planned flows by the same numbers.
    loads
        Of the planned flows at their rates.
    """
    users: dict[int, list[int]] = {edge.index: [] for edge in network.edges}
    for number in flows:
        for edge in admission.routes[number].edges:
            users[edge.index].append(number)
    return tuple(
        _setting(network, edge, {n: flows[n] for n in users[edge.index]}, admission.routes, loads)
        for edge in network.edges
    )


def _setting(
    network: Network,
    edge: Edge,
    flows: Mapping[int, PlannedFlow],
    routes: Mapping[int, Route],
    loads: Loads,
) -> LinkSetting:
    options = network.options
    link = network.topology.links[edge.link_id]
    assert isinstance(link, WiredLink | WirelessLink)
    interface = link.source_interface if edge.sender == link.source else link.target_interface
    shape = edge.rate_bps * (options.usable if edge.is_radio else SHAPED)
    return LinkSetting(
        link=edge.link_id,
        sender=edge.sender,
        receiver=edge.receiver,
        kind=link.kind,
        interface=interface,
        rate_bps=edge.rate_bps,
        usable_bps=min(network.capacity[c] for c in edge.channels) * edge.rate_bps,
        reserved_bps=sum(flow.rate_bps for flow in flows.values()),
        fair_queue_rate_bps=max(int(shape), 1),
        policy=_policy(options.policy, edge, flows),
        preference=_preference(flows),
        isolate=options.isolate,
        flows=tuple(flow.name for flow in flows.values()),
        utilisation=max(float(loads.load[channel]) for channel in edge.channels),
        wait_s=float(loads.wait_s[edge.queue]),
        unplanned_flows=_unplanned(edge, flows),
        channel=tuple(network.channel_names[c] for c in edge.channels) if edge.is_radio else (),
        classes=_classes(edge, flows, routes) if edge.is_radio else (),
    )


def _policy(wanted: str, edge: Edge, flows: Mapping[int, PlannedFlow]) -> str:
    """Give the limit policy: the plan's, but before a radio with flows that may hardly lose a fixed limit.

    A fade fills the queue of a flow that keeps its rate; a limit that follows the delay drops what is
    promised to arrive. So as much may wait as comes in the time that the flow may spend at this hop.
    """
    if not edge.is_radio:
        return wanted
    held = [
        flow.rate_bps / 8 * (HELD_UNBOUNDED_S if flow.delay_bound_s is None else hop.delay_s)
        for flow in flows.values()
        if flow.loss_bound <= LOSS_SPARED
        for hop in flow.hops
        if (hop.link, hop.sender) == (edge.link_id, edge.sender)
    ]
    most = max(held, default=0.0)
    return wanted if most < LEAST_HELD_BYTES else f"fixed:{math.ceil(most / 1000)}kb"


def _preference(flows: Mapping[int, PlannedFlow]) -> str:
    bounds = [flow.delay_bound_s for flow in flows.values()]
    if any(bound is not None and bound <= LATENCY_BELOW_S for bound in bounds):
        return "latency"
    return "throughput" if bounds and all(bound is None for bound in bounds) else "balanced"


def _unplanned(edge: Edge, flows: Mapping[int, PlannedFlow]) -> int | None:
    """Greedy flows that a fair queue bears until the fair share falls below the largest planned rate."""
    if not flows:
        return None
    rates = [flow.rate_bps for flow in flows.values()]
    return max(math.floor((edge.service_bps - sum(rates)) / max(rates) + 1e-9), 0)


def _classes(
    edge: Edge, flows: Mapping[int, PlannedFlow], routes: Mapping[int, Route]
) -> tuple[ClassSetting, ...]:
    """Set each access category of a radio so that each of its flows is as safe as its own setting makes it.

    Of every mode the highest threshold that a flow asks for, and the most retransmissions: a flow of larger
    packets needs more signal for the same loss.
    """
    found = []
    for category in reversed(ACCESS_CATEGORIES):
        here = [number for number, flow in flows.items() if flow.access_category == category]
        if not here:
            continue
        levels, retries = [], []
        for number in here:
            route = routes[number]
            assert route.radio is not None
            place = [each.index for each in route.edges if each.is_radio].index(edge.index)
            hop, point = route.radio.hops[place], route.radio.split.points[place]
            performance = hop.thresholds[hop.points.index(point)]
            assert performance is not None
            levels.append(performance.thresholds_db)
            retries.append(point.retransmissions)
        assert hop.model is not None
        found.append(
            ClassSetting(
                access_category=category,
                flows=tuple(flows[number].name for number in here),
                mode_table=hop.model.table.name,
                thresholds_db=tuple(float(max(each)) for each in zip(*levels, strict=True)),
                retransmissions=max(retries),
                power_dbm=hop.model.power_dbm,
            )
        )
    return tuple(found)
