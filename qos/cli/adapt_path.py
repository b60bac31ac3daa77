"""`qos adapt TOPOLOGY --path A:B`: routes over several hops, the setting of each hop, joint admission."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from qos.cli.adapt_topology import demands_of
from qos.cli.common import CommandSettings, console, print_json
from qos.errors import InfeasibleError, ValueRefusedError
from qos.units import format_rate

if TYPE_CHECKING:
    from qos.crosslayer.multihop.admission import Admission, AdmissionPlan
    from qos.crosslayer.multihop.routing import Route


def adapt_path(settings: CommandSettings, topology_path: str, path: str, demands: tuple[str, ...]) -> None:
    """Print the routes between two nodes for each demand, and which demands the network carries together.

    Parameters
    ----------
    settings
        The global flags.
    topology_path
        Name of the library or file.
    path
        ``A:B``: source and destination.
    demands
        As for links; without any, the usual classes.

    Raises
    ------
    ValueRefusedError
        If `path` is not two nodes of the topology, or a demand cannot be read.
    InfeasibleError
        If not one demand has a path that meets its bounds.
    """
    from qos.crosslayer.multihop.admission import ROUTES_A_DEMAND, admit
    from qos.crosslayer.multihop.routing import Capabilities, routes
    from topologies.files import load

    topology = load(topology_path)
    source, colon, destination = path.partition(":")
    unknown = [each for each in (source, destination) if each not in topology.nodes]
    if not colon or unknown or source == destination:
        known = ", ".join(list(topology.nodes)[:12])
        raise ValueRefusedError(f"--path {path}: give two nodes as A:B; {topology_path} has {known}")
    wanted = demands_of(demands, source, destination)
    links = Capabilities(topology)
    found: list[tuple[Route, ...]] = []
    refusals: list[InfeasibleError] = []
    for demand in wanted:
        try:
            found.append(routes(topology, demand, ROUTES_A_DEMAND, links))
        except InfeasibleError as error:
            found.append(())
            refusals.append(error)
    if len(refusals) == len(wanted):
        raise refusals[0]
    plan = admit(topology, wanted, capabilities=links)
    if settings.as_json:
        print_json(_document(topology.name, source, destination, found, plan))
        return
    _show(settings, found, plan)


def _name(admission: Admission) -> str:
    return admission.demand.profile or admission.demand.name or "demand"


def _document(
    name: str, source: str, destination: str, found: list[tuple[Route, ...]], plan: AdmissionPlan
) -> dict[str, Any]:
    return {
        "schema": 1,
        "topology": name,
        "source": source,
        "destination": destination,
        "demands": [
            {
                "class": _name(each),
                "delay_bound_s": each.demand.delay_bound_s,
                "loss_bound": each.demand.loss,
                "routes": [_route_document(route) for route in options],
                "admitted": each.admitted,
                "route": None if each.route is None else list(each.route.nodes),
                "rate_bps": each.rate_bps,
                "reason": each.reason,
                "changes": [
                    {"field": change.field, "wanted": change.wanted, "enough": change.enough}
                    for change in each.changes
                ],
            }
            for each, options in zip(plan.admissions, found, strict=True)
        ],
        "reserved": plan.reserved,
        "exact": plan.exact,
    }


def _route_document(route: Route) -> dict[str, Any]:
    return {
        "nodes": list(route.nodes),
        "cost_s": route.cost_s,
        "loss": route.split.loss,
        "delay_s": route.split.delay_s,
        "admissible_bps": route.rate_bps,
        "hops": [
            {
                "link": hop.link_id,
                "sender": hop.sender,
                "radio": hop.is_radio,
                "error_rate": point.error_rate,
                "retransmissions": point.retransmissions,
                "loss": point.loss,
                "delay_s": point.delay_s,
                "channel_time_s": point.channel_time_s,
                "admissible_bps": most,
            }
            for hop, point, most in zip(route.hops, route.split.points, route.admissible_bps, strict=True)
        ],
    }


def _show(settings: CommandSettings, found: list[tuple[Route, ...]], plan: AdmissionPlan) -> None:
    from rich import box
    from rich.table import Table

    out = console(settings)
    if not sys.stdout.isatty():
        out.width = 10_000
    for each, options in zip(plan.admissions, found, strict=True):
        bound = each.demand.delay_bound_s
        asked = "no delay bound" if bound is None else f"delay {bound * 1e3:g} ms"
        verdict = f"admitted at {format_rate(int(each.rate_bps))}" if each.admitted else "not admitted"
        out.print(f"{_name(each)} ({asked}, loss {each.demand.loss:g}): {verdict}", markup=False)
        for line in ([each.reason] if each.reason else []) + [f"enough: {one}" for one in each.changes]:
            out.print(f"  {line}", markup=False)
        if not options:
            continue
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        for column in ("route", "hop", "retries", "error rate", "loss", "delay", "air time", "admits"):
            table.add_column(column, justify="left" if column in ("route", "hop") else "right")
        for route in options:
            chosen = each.route is not None and route.nodes == each.route.nodes
            table.add_row(
                " - ".join(route.nodes) + (" *" if chosen else ""), "all", "", "", f"{route.split.loss:.1e}",
                f"{route.split.delay_s * 1e3:.2f} ms", f"{route.cost_s * 1e6:.0f} us",
                format_rate(int(route.rate_bps)),
            )  # fmt: skip
            for hop, point, most in zip(route.hops, route.split.points, route.admissible_bps, strict=True):
                table.add_row(
                    "", hop.link_id, str(point.retransmissions), f"{point.error_rate:.1e}",
                    f"{point.loss:.1e}", f"{point.delay_s * 1e3:.2f} ms",
                    f"{point.channel_time_s * 1e6:.0f} us", format_rate(int(most)),
                )  # fmt: skip
        out.print(table)
    shares = ", ".join(f"{name} {share:.1%}" for name, share in plan.reserved.items())
    if shares:
        out.print(f"reserved: {shares}", markup=False)
    out.print(
        "* the route taken; delay is the largest of a packet that arrives, air time its mean on all hops"
    )
