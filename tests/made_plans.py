"""A small plan by hand: a server behind a router, so that tests of what stands on plans need no engine."""

from __future__ import annotations

from dataclasses import replace

from qos.demands import FlowDemand
from qos.planning import HopBudget, LinkSetting, Plan, PlannedFlow, PlanOptions, Scenario, SearchReport
from topologies.model import Node, Topology, WiredLink

RATE_BPS = 20_000_000


def small_plan(interface: str = "v0", *, rate_bps: int = RATE_BPS, source: str = "") -> Plan:
    """The server sends one video to the laptop, through its interface and the router's."""
    topology = Topology(
        [Node("server"), Node("gw", "router"), Node("laptop")],
        [
            WiredLink("gw", "server", rate_bps, "uplink", delay_s=0.001, target_interface=interface),
            WiredLink("gw", "laptop", 10 * rate_bps, "lan", delay_s=0.001, source_interface="lan0"),
        ],
        name="office",
    )
    demand = FlowDemand("server", "laptop", 4e6, delay_bound_s=0.05, loss=1e-3, name="film")
    hops = (HopBudget("uplink", "server", 0.01, 5e-4), HopBudget("lan", "gw", 0.01, 5e-4))
    flow = PlannedFlow(
        "film", "server", "laptop", ("server", "gw", "laptop"), 4e6, 0.05, 0.015, None, 0.01, 1e-3, 0.0,
        1e-2, hops, "fits",
    )  # fmt: skip
    links = (
        _setting("uplink", "server", "gw", interface, rate_bps, ("film",)),
        _setting("uplink", "gw", "server", "", rate_bps, ()),
        _setting("lan", "gw", "laptop", "lan0", 10 * rate_bps, ("film",)),
    )
    scenario = Scenario(topology, (demand,), source=source)
    return Plan(
        scenario,
        PlanOptions(),
        {"film": flow},
        {},
        links,
        None,
        (),
        SearchReport("optimal", 1, 1, "greedy"),
        0.1,
    )


def _setting(
    link: str, sender: str, receiver: str, interface: str, rate_bps: int, flows: tuple[str, ...]
) -> LinkSetting:
    return LinkSetting(
        link, sender, receiver, "wired", interface, rate_bps, 0.9 * rate_bps, 4e6 * len(flows),
        round(0.95 * rate_bps), "lfq", "latency", "flow", flows, 0.2, 0.01,
    )  # fmt: skip


def with_links(plan: Plan, *links: LinkSetting) -> Plan:
    """The plan with other settings."""
    return replace(plan, links=links)
