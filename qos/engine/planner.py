"""From a scenario to a plan: pairs are scheduled, flows and their control messages admitted, links set."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from qos.demands import FlowDemand
from qos.engine import entanglement as pairs
from qos.engine.admission import Admission, admit, loads_at
from qos.engine.candidates import Wish
from qos.engine.control import ControlFlow, flows_of
from qos.engine.explain import changes, reason
from qos.engine.network import Network, network_of
from qos.engine.predict import hop_budgets, predict, why_admitted
from qos.engine.residual import Residual
from qos.engine.settings import link_settings
from qos.planning import (
    EntanglementRequest,
    Plan,
    PlannedFlow,
    PlanOptions,
    Rejection,
    Scenario,
    SearchReport,
)
from schedulers.admission.state import Loads

CONTROL_WEIGHT = 10_000.0
"""Control messages count more than any flow: without them a schedule is worth nothing."""

KEPT_WEIGHT = 100.0
"""A demand that was served before counts so many times what it counts anew."""

STAY_BONUS = 0.5
"""Staying on its path counts less than any demand."""

Progress = Callable[[str, float], None]


def plan(
    scenario: Scenario,
    options: PlanOptions | None = None,
    *,
    previous: Plan | None = None,
    progress: Progress | None = None,
) -> Plan:
    """Decide what is admitted, why the rest is not, which path each flow takes, and set every link.

    Parameters
    ----------
    scenario
        Network and demands. None of the demands makes this fail: what cannot be is rejected, with the reason
        and the smallest change that admits it.
    options
        What holds for the whole plan.
    previous
        An earlier plan, of this network before something changed: what it admitted is kept where that is
        possible, on its path where that costs nobody else a place.
    progress
        Called with the phase and the share of the work that is done.

    Examples
    --------
    >>> from qos.scenarios import load
    >>> found = plan(load("campus"))
    >>> found.flows["alice-call"].path
    ('laptop', 'ap-library', 'library', 'core', 'hall', 'ap-hall', 'phone')
    """
    begun = time.perf_counter()
    made = _Planning(scenario, options or PlanOptions(), previous, progress or (lambda _phase, _done: None))
    found = made.run()
    return replace(found, seconds=time.perf_counter() - begun)


def replan(old: Plan, scenario: Scenario, options: PlanOptions | None = None) -> Plan:
    """Plan anew after a change and keep what was admitted where possible; see `qos.plan_changes.diff`.

    Parameters
    ----------
    old
        The plan before.
    scenario
        The network and the demands now.
    options
        As for `plan`; None: those of the old plan.
    """
    return plan(scenario, options or old.options, previous=old)


@dataclass(frozen=True, eq=False)
class _Decided:
    """Flows and control flows after the admission, in one numbering: the user's first."""

    demands: tuple[FlowDemand, ...]
    control: tuple[ControlFlow, ...]
    admission: Admission
    refused: Mapping[int, Rejection]


class _Planning:
    def __init__(
        self, scenario: Scenario, options: PlanOptions, previous: Plan | None, progress: Progress
    ) -> None:
        self.scenario, self.options, self.previous, self.progress = scenario, options, previous, progress
        self.network: Network = network_of(scenario.topology, options)
        self.edge_number = {(edge.link_id, edge.sender): edge.index for edge in self.network.edges}

    def run(self) -> Plan:
        self.progress("entanglement schedule", 0.0)
        kept = frozenset(() if self.previous is None else self.previous.entanglement)
        found = pairs.allocate_pairs(
            self.scenario.topology, self.scenario.entanglement, self.options, self.scenario.seed, kept
        )
        self.progress("admission of flows", 0.2)
        decided = self._admit(found)
        self.progress("reasons and changes", 0.7)
        loads = loads_at(self.network, decided.admission.routes, decided.admission.rates_bps)
        flows = self._flows(decided, loads)
        rejected = self._rejected(decided)
        self.progress("settings of links", 0.95)
        outcome = None
        if found is not None:
            by_name = {flow.name: flow for flow in flows.values()}
            found = replace(found, flows=decided.control)
            outcome = pairs.outcome(found, by_name, decided.refused)
        return Plan(
            scenario=self.scenario,
            options=self.options,
            flows={flow.name: flow for flow in flows.values()},
            entanglement={} if outcome is None else outcome.planned,
            links=link_settings(self.network, decided.admission, flows, loads),
            schedule=None if outcome is None else outcome.schedule,
            rejected=(*rejected, *(() if outcome is None else outcome.rejected)),
            search=self._report(decided),
            seconds=0.0,
        )

    # Admission.

    def _admit(self, found: pairs.Entanglement | None) -> _Decided:
        """Admit flows and control messages; pairs whose messages cannot be carried are refused, then anew."""
        refused: dict[int, Rejection] = {}
        demands = self.scenario.flows
        while True:
            control = () if found is None else found.flows
            wishes = [self._wish(demand) for demand in demands]
            wishes += [Wish(flow.demand, CONTROL_WEIGHT) for flow in control]
            admission = admit(self.network, wishes, self.scenario.seed)
            missing = {
                flow.demand.name: len(demands) + place
                for place, flow in enumerate(control)
                if len(demands) + place not in admission.routes
            }
            if found is None or not missing:
                return _Decided(demands, control, admission, refused)
            for position, needed in flows_of(control).items():
                lost = [flow.demand for flow in needed if flow.demand.name in missing]
                if lost:
                    refused[position] = self._guard(found, position, lost, missing, admission)
            found = pairs.without(found, set(refused))

    def _wish(self, demand: FlowDemand) -> Wish:
        weight = 1.0 if self.options.weight == "count" else float(8 - demand.priority)
        old = None if self.previous is None else self.previous.flows.get(demand.name)
        if old is None or (old.source, old.destination) != (demand.source, demand.destination):
            return Wish(demand, weight)
        steps = [self.edge_number.get((hop.link, hop.sender)) for hop in old.hops]
        path = tuple(step for step in steps if step is not None)
        kept = path if len(path) == len(steps) else ()
        return Wish(demand, KEPT_WEIGHT * weight, kept, STAY_BONUS if kept else 0.0)

    def _guard(
        self,
        found: pairs.Entanglement,
        position: int,
        lost: Sequence[FlowDemand],
        missing: Mapping[str, int],
        admission: Admission,
    ) -> Rejection:
        assert found.control is not None
        request: EntanglementRequest = found.requests[position]
        residual = admission.residual
        worst, enough_s = lost[0], 0.0
        for demand in lost:
            needed_s = self._enough_guard_s(residual, demand)
            if needed_s is None:
                worst, enough_s = demand, float("inf")
                break
            if needed_s > enough_s:
                worst, enough_s = demand, needed_s
        why = reason(admission, missing[worst.name])
        guard = f"the guard time of {found.control.guard_time_s * 1e3:.4g} ms"
        text = f"its control messages from {worst.source} to {worst.destination} cannot keep {guard}: {why}"
        return pairs.guard_refusal(
            request, found.control, text, enough_s if 0 < enough_s < float("inf") else None
        )

    def _enough_guard_s(self, residual: Residual, demand: FlowDemand) -> float | None:
        for change in changes(residual, demand):
            if change.field == "delay_bound_s":
                return change.enough
        return None

    # What is said of the decision.

    def _flows(self, decided: _Decided, loads: Loads) -> dict[int, PlannedFlow]:
        admission, found = decided.admission, {}
        for number in sorted(admission.routes):
            route, rate_bps = admission.routes[number], admission.rates_bps[number]
            demand = route.demand
            seen = predict(route, rate_bps, loads, self.network)
            place = number - len(decided.demands)
            serves, why = "", why_admitted(admission, number, rate_bps)
            if place >= 0:
                names = [self._request_name(position) for position in decided.control[place].serves]
                serves, why = ", ".join(names), f"control messages of {', '.join(names)}"
            found[number] = PlannedFlow(
                name=demand.name,
                source=demand.source,
                destination=demand.destination,
                path=route.nodes,
                rate_bps=rate_bps,
                delay_bound_s=demand.delay_bound_s,
                delay_predicted_s=seen.delay_s,
                jitter_bound_s=demand.jitter_s,
                jitter_predicted_s=seen.jitter_s,
                loss_bound=demand.loss,
                loss_predicted=seen.loss,
                violation_probability=demand.violation_probability,
                hops=hop_budgets(route, loads),
                reason=why,
                serves=serves,
                profile=demand.profile,
                dscp=demand.dscp,
                access_category=demand.access_category,
                packet_bytes=demand.packet_bytes,
                priority=demand.priority,
            )
        return found

    def _request_name(self, position: int) -> str:
        kept = frozenset(() if self.previous is None else self.previous.entanglement)
        ordered = sorted(self.scenario.entanglement, key=lambda one: one.name not in kept)
        return ordered[position].name

    def _rejected(self, decided: _Decided) -> list[Rejection]:
        admission = decided.admission
        residual = admission.residual
        found = []
        missing = [n for n in range(len(decided.demands)) if n not in admission.routes]
        for done, number in enumerate(missing):
            demand = decided.demands[number]
            possible = changes(residual, demand) if self.options.explain else ()
            found.append(
                Rejection(
                    name=demand.name,
                    kind="flow",
                    source=demand.source,
                    destination=demand.destination,
                    reason=reason(admission, number),
                    smallest_change=possible[0] if possible else None,
                    other_changes=possible[1:],
                )
            )
            self.progress("reasons and changes", 0.7 + 0.25 * done / len(missing))
        return found

    def _report(self, decided: _Decided) -> SearchReport:
        """Report value and bound of the user's demands, without control messages and bonuses."""
        weights = [Wish.weight for Wish in map(self._plain_wish, decided.demands)]
        value = sum(weights[n] for n in decided.admission.routes if n < len(weights))
        possible = sum(w for n, w in enumerate(weights) if decided.admission.candidates.routes[n])
        extra = decided.admission.selection.bound - decided.admission.selection.value
        bound = min(possible, value + extra) if self.previous is None else possible
        status = "optimal" if bound <= value * (1 + 1e-9) + 1e-9 else "feasible"
        return SearchReport(status, value, bound, decided.admission.selection.method)

    def _plain_wish(self, demand: FlowDemand) -> Wish:
        return Wish(demand, 1.0 if self.options.weight == "count" else float(8 - demand.priority))
