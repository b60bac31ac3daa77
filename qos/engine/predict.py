"""What each admitted flow will see: delay, jitter and loss of its route beside all the others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from qos.crosslayer.multihop.routing import hop_violation
from qos.demands import FlowDemand
from qos.engine.admission import Admission
from qos.engine.network import Network
from qos.engine.routes import Route, wait_violation
from qos.engine.waiting import usual_wait_s
from qos.planning import HopBudget, PlanOptions
from schedulers.admission.state import Loads
from schedulers.packet.limits import first_limit_bytes

_STEPS = 7


@dataclass(frozen=True, slots=True)
class Prediction:
    """Figures of one admitted flow, seconds and shares.

    Attributes
    ----------
    delay_s
        Stayed within by all but the demand's violation probability of the packets.
    jitter_s
        Delay less that of a packet that waits nowhere.
    loss
        Share of packets that the path loses.
    """

    delay_s: float
    jitter_s: float
    loss: float


def wait_on(route: Route, loads: Loads, base_wait_s: Sequence[float]) -> float:
    """Give the wait on a route: the shorter of one round a queue and of what nearly all packets wait."""
    rounds_s = sum(float(loads.wait_s[queue]) for queue in route.waits)
    base_s = sum(base_wait_s[queue] for queue in route.waits)
    used = [max(float(loads.load[channel]) for channel in edge.channels) for edge in route.edges]
    violation = wait_violation(route.demand, route.radio is not None)
    return min(rounds_s, usual_wait_s(route.edges, used, base_s, violation))


def predict(route: Route, rate_bps: float, loads: Loads, network: Network) -> Prediction:
    """Predict what a flow sees.

    On wires: the fixed delay and the wait (`wait_on`). On radios: the smallest delay whose violation
    probability the effective capacity of the share that others leave keeps. A flow without a delay bound that
    takes what it can get also waits behind its own packets: what the limit policy lets it queue at first.

    Parameters
    ----------
    route
        Its path.
    rate_bps
        Its rate.
    loads
        Of all admitted flows at their rates, this one included.
    network
        For what is left to others, and the limit policy.
    """
    demand, base_wait_s, options = route.demand, network.base_wait_s, network.options
    wait_s = wait_on(route, loads, base_wait_s)
    radio_s, steady_s = _radio_delay_s(route, rate_bps, loads)
    own_s = _own_queue_s(demand, rate_bps, options)
    delay_s = route.fixed_s + wait_s + radio_s + own_s
    return Prediction(delay_s, wait_s + radio_s - steady_s + own_s, route.loss)


def _own_queue_s(demand: FlowDemand, rate_bps: float, options: PlanOptions) -> float:
    elastic = demand.min_rate_bps is not None and demand.min_rate_bps < demand.rate_bps
    if demand.delay_bound_s is not None or demand.jitter_s is not None or not elastic:
        return 0.0
    limit = first_limit_bytes(options.policy, max(int(rate_bps), 1), 1514)
    return 0.0 if limit is None else 8 * limit / rate_bps


def _radio_delay_s(route: Route, rate_bps: float, loads: Loads) -> tuple[float, float]:
    """Delay of the radio hops, and the part of it that is always there."""
    radio = route.radio
    if radio is None:
        return 0.0, 0.0
    edges = [edge for edge in route.edges if edge.is_radio]
    steady_s = sum(edge.delay_s for edge in edges)
    if not math.isfinite(radio.budget_s):
        points = zip(radio.hops, radio.split.points, strict=True)
        sending_s = sum(8 * route.demand.packet_bytes / hop.rate_bps(point) for hop, point in points)
        return max(steady_s, sending_s), steady_s
    demand = route.demand
    violation = hop_violation(demand.violation_probability, len(edges))
    # What nobody else reserves is this flow's as well: the queue is work-conserving.
    shares = []
    for edge, most in zip(edges, radio.admissible_bps, strict=True):
        own = rate_bps / most
        others = max(float(loads.load[c]) - own for c in edge.channels)
        shares.append(max(1.0 - others, own))

    def carries(delay_s: float) -> bool:
        left_s = delay_s - steady_s
        for hop, point, edge, share in zip(radio.hops, radio.split.points, edges, shares, strict=True):
            if share * hop.admissible_bps(point, left_s + edge.delay_s, violation) < rate_bps:
                return False
        return True

    low, high = steady_s, radio.budget_s
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if carries(middle) else (middle, high)
    return high, steady_s


def hop_budgets(route: Route, loads: Loads) -> tuple[HopBudget, ...]:
    """Split what the demand allows over the hops: waits in proportion to the rounds, loss what each needs."""
    waits = {edge.queue: float(loads.wait_s[edge.queue]) for edge in route.edges}
    total_s = sum(waits.values())
    slack_s = route.room_s if math.isfinite(route.room_s) else total_s
    radios = sum(edge.is_radio for edge in route.edges)
    points = iter(() if route.radio is None else route.radio.split.points)
    passed = -math.log1p(-route.loss)
    spare = max(-math.log1p(-route.demand.loss) - passed, 0.0) / len(route.edges)
    found = []
    for edge in route.edges:
        part = waits[edge.queue] / total_s if total_s > 0 else 1 / len(waits)
        sharing = sum(each.queue == edge.queue for each in route.edges)
        delay_s = slack_s * part / sharing
        retries: int | None = None
        lost = edge.loss
        if edge.is_radio:
            point = next(points)
            assert route.radio is not None
            budget_s = route.radio.budget_s
            delay_s += budget_s / radios if math.isfinite(budget_s) else edge.delay_s
            retries, lost = point.retransmissions, point.loss
        else:
            delay_s += edge.fixed_s(route.demand.packet_bytes)
        loss = -math.expm1(math.log1p(-lost) - spare)
        found.append(HopBudget(edge.link_id, edge.sender, delay_s, loss, retries))
    return tuple(found)


def why_admitted(admission: Admission, number: int, rate_bps: float) -> str:
    """Say how a demand got its place."""
    demand = admission.candidates.wishes[number].demand
    route = admission.routes[number]
    found = admission.candidates.routes[number]
    text = "fits on its fastest path"
    if not found or route.edges != found[0].edges:
        text = "moved off its fastest path, which others need"
    if rate_bps < demand.rate_bps * (1 - 1e-9):
        return f"{text}; gets {rate_bps / demand.rate_bps:.0%} of the rate wanted"
    return text
