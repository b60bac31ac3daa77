"""An independent judge of plans: what a plan says is held against the scenario, from first principles.

It shares no code with the engine. Rates are added up on every wire, delays that no queue can undercut are
computed from the links' own figures, qubits are laid on a table slot by slot. `violations` lists whatever
does not hold; a plan of the engine has none.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

from qos.planning import Plan, PlannedFlow
from topologies.links import Link, WiredLink, WirelessLink

_RELATIVE = 1e-6


def violations(plan: Plan) -> tuple[str, ...]:
    """List everything in a plan that contradicts its scenario or itself; empty for a sound plan.

    Parameters
    ----------
    plan
        The plan, with its scenario.
    """
    checks = (_demands, _paths, _loads, _promises, _settings, _schedule, _control)
    return tuple(problem for check in checks for problem in check(plan))


def _demands(plan: Plan) -> Iterator[str]:
    """Each demand is served or rejected, exactly once."""
    asked = [flow.name for flow in plan.scenario.flows]
    asked += [request.name for request in plan.scenario.entanglement]
    served = [name for name, flow in plan.flows.items() if not flow.serves]
    told = sorted([*served, *plan.entanglement, *(one.name for one in plan.rejected)])
    if told != sorted(asked):
        yield f"demands asked for and demands decided differ: {sorted(set(told) ^ set(asked))[:5]}"
    for one in plan.rejected:
        if not one.reason:
            yield f"{one.name}: rejected without a reason"
    wanted = {flow.name: flow for flow in plan.scenario.flows}
    for name, flow in plan.flows.items():
        if flow.serves:
            continue
        demand = wanted[name]
        least = demand.rate_bps if demand.min_rate_bps is None else demand.min_rate_bps
        if not least * (1 - _RELATIVE) <= flow.rate_bps <= demand.rate_bps * (1 + _RELATIVE):
            yield f"{name}: granted {flow.rate_bps:g} bit/s, asked for {least:g} to {demand.rate_bps:g}"
        bounds = (demand.delay_bound_s, demand.jitter_s, demand.loss)
        if bounds != (flow.delay_bound_s, flow.jitter_bound_s, flow.loss_bound):
            yield f"{name}: the plan promises other bounds than were asked for"


def _hops(plan: Plan, flow: PlannedFlow) -> Iterator[tuple[Link, str, str]]:
    for hop, (sender, receiver) in zip(flow.hops, pairwise(flow.path), strict=False):
        link = plan.scenario.topology.links.get(hop.link)
        if link is not None and {sender, receiver} == {link.source, link.target}:
            yield link, sender, receiver


def _paths(plan: Plan) -> Iterator[str]:
    """Paths are made of links that exist, and nobody forwards who does not."""
    topology = plan.scenario.topology
    for flow in plan.flows.values():
        if len(flow.hops) != len(flow.path) - 1 or len(set(flow.path)) != len(flow.path):
            yield f"{flow.name}: the path {flow.path} and its hops do not go together"
            continue
        if (flow.path[0], flow.path[-1]) != (flow.source, flow.destination):
            yield f"{flow.name}: the path does not join {flow.source} and {flow.destination}"
        for hop, (sender, receiver) in zip(flow.hops, pairwise(flow.path), strict=True):
            link = topology.links.get(hop.link)
            if not isinstance(link, WiredLink | WirelessLink) or {sender, receiver} != {
                link.source,
                link.target,
            }:
                yield f"{flow.name}: {hop.link} does not carry packets from {sender} to {receiver}"
            if hop.sender != sender:
                yield f"{flow.name}: hop {hop.link} names the sender {hop.sender}, the path {sender}"
        for node in flow.path[1:-1]:
            if topology.nodes[node].kind == "host":
                yield f"{flow.name}: the host {node} would have to forward"
    for pairs in plan.entanglement.values():
        for one, other in pairwise(pairs.path):
            if not any(link.kind == "quantum" for link in topology.links_between(one, other)):
                yield f"{pairs.name}: no quantum link joins {one} and {other}"


def _loads(plan: Plan) -> Iterator[str]:
    """No wire is promised more than the usable share of it, no air more than its nodes could ever carry."""
    topology, usable = plan.scenario.topology, plan.options.usable
    wires: dict[tuple[str, str], float] = {}
    air: dict[str, float] = {}
    for flow in plan.flows.values():
        for link, sender, receiver in _hops(plan, flow):
            if isinstance(link, WiredLink):
                wires[link.id, sender] = wires.get((link.id, sender), 0.0) + flow.rate_bps
            elif isinstance(link, WirelessLink) and link.snr_db is not None:
                # Shannon: by Jensen's inequality fading carries less than a constant channel of its mean.
                most = link.bandwidth_hz * math.log2(1 + 10 ** (link.snr_db / 10))
                for node in (sender, receiver):
                    # Radios of one node on bands apart do not share its air.
                    key = f"{node} at {link.frequency_hz:g} Hz"
                    air[key] = air.get(key, 0.0) + flow.rate_bps / most
    for (link_id, sender), rate_bps in wires.items():
        wire = topology.links[link_id]
        assert isinstance(wire, WiredLink)
        if rate_bps > usable * wire.rate_from(sender) * (1 + _RELATIVE):
            yield f"{link_id} from {sender}: {rate_bps:g} bit/s are promised on {wire.rate_from(sender)}"
    for key, share in air.items():
        if share > usable * (1 + _RELATIVE):
            yield f"the air of {key}: {share:.0%} of what Shannon allows is promised"


def _promises(plan: Plan) -> Iterator[str]:
    """Predictions are within what was asked, and not better than physics."""
    for flow in plan.flows.values():
        least_s, passed = 0.0, 1.0
        for link, sender, _ in _hops(plan, flow):
            if isinstance(link, WiredLink):
                least_s += link.delay_s + 8 * flow.packet_bytes / link.rate_from(sender)
                passed *= 1 - link.loss_probability
            elif isinstance(link, WirelessLink):
                least_s += link.delay_s
        if flow.delay_predicted_s < least_s * (1 - _RELATIVE):
            yield f"{flow.name}: predicted {flow.delay_predicted_s:g} s, an empty path takes {least_s:g} s"
        if 1 - passed > flow.loss_predicted + _RELATIVE:
            yield f"{flow.name}: predicted loss {flow.loss_predicted:g}, the wires lose {1 - passed:g}"
        for what, seen, bound in (
            ("delay", flow.delay_predicted_s, flow.delay_bound_s),
            ("jitter", flow.jitter_predicted_s, flow.jitter_bound_s),
            ("loss", flow.loss_predicted, flow.loss_bound),
            ("delay budget of its hops", sum(hop.delay_s for hop in flow.hops), flow.delay_bound_s),
        ):
            if bound is not None and seen > bound * (1 + _RELATIVE) + 1e-12:
                yield f"{flow.name}: {what} {seen:g} passes its bound {bound:g}"


def _settings(plan: Plan) -> Iterator[str]:
    """Each direction that carries a flow has one setting, which names the flows that cross it."""
    crossing: dict[tuple[str, str], set[str]] = {}
    for flow in plan.flows.values():
        for hop in flow.hops:
            crossing.setdefault((hop.link, hop.sender), set()).add(flow.name)
    settings = {(one.link, one.sender): one for one in plan.links}
    if len(settings) < len(plan.links):
        yield "a direction of a link is set twice"
    for key, names in crossing.items():
        if key not in settings:
            yield f"{key[0]} from {key[1]}: carries flows without a setting"
        elif set(settings[key].flows) != names:
            yield f"{key[0]} from {key[1]}: the setting names other flows than cross it"
    for one in plan.links:
        total = sum(plan.flows[name].rate_bps for name in one.flows if name in plan.flows)
        if abs(total - one.reserved_bps) > _RELATIVE * max(total, 1.0):
            yield f"{one.link} from {one.sender}: reserves {one.reserved_bps:g} bit/s for {total:g}"
        if one.fair_queue_rate_bps > one.rate_bps * (1 + _RELATIVE) + 1:
            yield f"{one.link} from {one.sender}: the queue would send faster than the link"
        promised = sum(1 for each in one.classes for _ in each.flows)
        if one.kind == "wireless" and promised != len(one.flows):
            yield f"{one.link} from {one.sender}: not each flow has a radio setting"


def _schedule(plan: Plan) -> Iterator[str]:
    """No qubit serves two runs at once, and each demand gets its runs."""
    if plan.schedule is None:
        if plan.entanglement:
            yield "entanglement is promised without a schedule"
        return
    length = plan.schedule.hyperperiod_slots
    taken: dict[tuple[str, int], str] = {}
    for row in plan.schedule.tasks:
        if len(row.starts) * row.period_slots != length:
            yield f"{row.name}: {len(row.starts)} runs in {length} slots of periods of {row.period_slots}"
        for number, start in enumerate(row.starts):
            if not number * row.period_slots <= start <= (number + 1) * row.period_slots - row.exec_slots:
                yield f"{row.name}: run {number} at slot {start} leaves its period"
            for qubit, parts in row.occupancy.items():
                for begin, end in parts:
                    for slot in range(start + begin, start + end):
                        other = taken.setdefault((qubit, slot % length), row.name)
                        if other != row.name:
                            yield f"qubit {qubit} serves {other} and {row.name} in slot {slot % length}"
    rows = {row.task_id: row for row in plan.schedule.tasks}
    for pairs in plan.entanglement.values():
        if pairs.task_id not in rows:
            yield f"{pairs.name}: has no row in the schedule"


def _control(plan: Plan) -> Iterator[str]:
    """Control messages are carried within the guard time."""
    control = plan.scenario.topology.quantum
    for pairs in plan.entanglement.values():
        if control is None:
            continue
        told = {control.controller}
        for name in pairs.control:
            flow = plan.flows.get(name)
            if flow is None:
                yield f"{pairs.name}: its control flow {name} is not in the plan"
                continue
            if flow.source == control.controller:
                told.add(flow.destination)
            if flow.delay_predicted_s > control.guard_time_s * (1 + _RELATIVE):
                yield f"{pairs.name}: {name} takes {flow.delay_predicted_s:g} s, more than the guard time"
        if not set(pairs.path) <= told:
            yield f"{pairs.name}: nobody announces its slots to {sorted(set(pairs.path) - told)}"
