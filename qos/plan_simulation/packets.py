"""The packet part of a plan as a simulation: flows on their paths, queues, radios as rate traces.

Each planned flow sends packets of its size at its rate, from a moment of its own. Beside them, greedy TCP
flows fill every link that carries planned flows, as many as the plan leaves room for. A radio's direction is
a wire whose rate follows the channel.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from qos.crosslayer.link_design import SLOT_S
from qos.plan_simulation.outcome import Delivered, breaks_share
from qos.plan_simulation.radio import RadioRun, run_radio
from qos.planning import LinkSetting, Plan, PlannedFlow
from qos.simulation.polling import configured_policies, run_polled
from qos.simulation.result import FlowResult, Result, delay_quantile_s
from qos.simulation.scenario import ConstantRate, Flow, Scenario, Transport
from qos.simulation.simulation import Simulation
from schedulers.packet.registry import QueueConfiguration, queue
from topologies.links import WirelessLink
from topologies.model import Link, Topology, WiredLink

UDP_HEADER_BYTES = 28
FRAME_OVERHEAD_BYTES = 14
DRAIN_S = 1.0
"""Time after the last packet was sent in which those on their way arrive."""
GREEDY = Transport(ack_every=2)
"""As TCP of any host; its acknowledgements cross the links the other way."""
MOST_BACKGROUND_PACKETS = 3_000_000
"""Packets of greedy flows that a run may cost; the fastest links go without beyond it."""
Direction = tuple[str, str]


@dataclass(frozen=True, eq=False)
class PacketRun:
    """One run's simulation.

    Attributes
    ----------
    scenario
        What to simulate; the first flows are those of the plan, in its order.
    radios
        What the radios do, by direction.
    without_background
        Links too fast for a greedy flow.
    """

    scenario: Scenario
    radios: Mapping[Direction, RadioRun]
    without_background: tuple[str, ...]


def packet_run(plan: Plan, duration_s: float, background: int, seed: int) -> PacketRun:
    """Make the simulation of one run.

    Parameters
    ----------
    plan
        With at least one flow.
    duration_s
        How long flows send.
    background
        Greedy flows on each link.
    seed
        Of the moments at which flows begin, of fading, attempts and losses.
    """
    seeds = np.random.SeedSequence(seed).spawn(3)
    settings = {(each.link, each.sender): each for each in plan.links}
    radios = _radios(plan, duration_s + DRAIN_S, seeds[0])
    starts = np.random.default_rng(seeds[1])
    flows = [_flow(each, duration_s, float(starts.random())) for each in plan.flows.values()]
    greedy, without = _greedy(plan, duration_s, background)
    topology = _wired(plan.scenario.topology, settings)
    return PacketRun(
        Scenario(
            topology,
            (*flows, *greedy),
            duration_s + DRAIN_S,
            queues={
                place: _queue(each, len(flows) + len(greedy))
                for place, each in settings.items()
                if each.flows
            },
            rates={place: radio.rates for place, radio in radios.items()},
            frame_overhead_bytes=FRAME_OVERHEAD_BYTES,
            seed=int(seeds[2].generate_state(1)[0]),
        ),
        radios,
        without,
    )


def _radios(plan: Plan, duration_s: float, seed: np.random.SeedSequence) -> dict[Direction, RadioRun]:
    used = [each for each in plan.links if each.kind == "wireless" and each.classes]
    return {
        (each.link, each.sender): run_radio(plan, each, duration_s, one)
        for each, one in zip(used, seed.spawn(len(used)), strict=True)
    }


def _flow(planned: PlannedFlow, duration_s: float, phase: float) -> Flow:
    payload = max(planned.packet_bytes - UDP_HEADER_BYTES, 1)
    rate = max(round(planned.rate_bps * payload / planned.packet_bytes), 1)
    gap_s = payload * 8 / rate
    start = min(phase * gap_s, duration_s / 2)
    return Flow(
        "udp",
        planned.source,
        planned.destination,
        ConstantRate(rate, payload),
        start_s=start,
        stop_s=duration_s,
        via=tuple(hop.link for hop in planned.hops),
        delay_bound_s=planned.delay_bound_s,
    )


def _greedy(plan: Plan, duration_s: float, background: int) -> tuple[list[Flow], tuple[str, ...]]:
    """Give the greedy flows, of the slowest links first, and name the links that go without."""
    flows: list[Flow] = []
    without: list[str] = []
    budget = MOST_BACKGROUND_PACKETS
    used = [each for each in plan.links if each.flows]
    for each in sorted(used, key=lambda each: (each.rate_bps, each.link, each.sender)):
        count = min(background, background if each.unplanned_flows is None else each.unplanned_flows)
        packets = int(each.rate_bps * duration_s / 12_000)
        if not count:
            continue
        if packets > budget:
            without.append(f"{each.link} from {each.sender}")
            continue
        budget -= packets
        ends = (each.sender, each.receiver)
        flows += [Flow("cubic", *ends, transport=GREEDY, stop_s=duration_s, via=(each.link,))] * count
    return flows, tuple(without)


def _wired(topology: Topology, settings: Mapping[Direction, LinkSetting]) -> Topology:
    """Give the topology with every packet link as a wire at the rate of its fair queues."""
    links: list[Link] = []
    for link in topology.links.values():
        if isinstance(link, WiredLink):
            there, back = (settings.get((link.id, end)) for end in (link.source, link.target))
            links.append(
                replace(
                    link,
                    rate_bps=link.rate_bps if there is None else there.fair_queue_rate_bps,
                    reverse_rate_bps=(
                        link.rate_from(link.target) if back is None else back.fair_queue_rate_bps
                    ),
                )
            )
        elif isinstance(link, WirelessLink):
            known = [settings.get((link.id, end)) for end in (link.source, link.target)]
            rates = [1 if each is None else max(int(each.rate_bps), 1) for each in known]
            # What is sent in a slot is there at its end.
            delay_s = link.delay_s + SLOT_S
            links.append(WiredLink(link.source, link.target, rates[0], link.id, rates[1], delay_s=delay_s))
    return Topology(topology.nodes.values(), links, name=topology.name)


def _queue(setting: LinkSetting, flows: int) -> QueueConfiguration:
    policy = setting.policy
    if policy == "lfq" and setting.preference:
        policy = f"lfq:{setting.preference}"
    # Flows find their queue by their number, so that many keep all of them apart.
    return queue("lfq", policy=policy, flows=max(flows, 2))


def play_packets(plan: Plan, run: PacketRun) -> list[Delivered]:
    """Simulate one run, and judge each flow of the plan."""
    simulation = Simulation(run.scenario)
    run_polled(simulation, configured_policies(simulation), run.scenario.duration_s)
    result: Result = simulation.result()
    random = np.random.default_rng(run.scenario.seed)
    found = []
    for number, (planned, seen) in enumerate(zip(plan.flows.values(), result.flows, strict=False)):
        quantile_s = delay_quantile_s(simulation.state, number, 1 - planned.violation_probability)
        found.append(_judge(planned, run, seen, quantile_s, random))
    return found


def _judge(
    planned: PlannedFlow, run: PacketRun, seen: FlowResult, quantile_s: float, random: np.random.Generator
) -> Delivered:
    kept = 1.0
    for hop in planned.hops:
        radio = run.radios.get((hop.link, hop.sender))
        if radio is not None:
            kept *= 1 - radio.given_up[planned.name]
    arrived = int(random.binomial(seen.delivered_packets, kept))
    sent = max(seen.sent_packets, 1)
    lost = seen.sent_packets - arrived
    jitter_s = max(quantile_s - seen.rtt_min_s, 0.0)
    broken = []
    if breaks_share(lost, sent, planned.loss_bound):
        broken.append("loss")
    late = seen.late_packets
    if planned.delay_bound_s is not None and breaks_share(
        late, seen.delivered_packets, planned.violation_probability
    ):
        broken.append("delay")
    if planned.jitter_bound_s is not None and jitter_s > planned.jitter_bound_s:
        broken.append("jitter")
    rate_bps = seen.throughput_bps * arrived / max(seen.delivered_packets, 1)
    # What may be lost was judged above; sources are held to their rates within a packet a second.
    sent_bps = seen.throughput_bps * sent / max(seen.delivered_packets, 1)
    if seen.delivered_packets == 0 or sent_bps < 0.999 * planned.rate_bps - 8 * planned.packet_bytes:
        broken.append("rate")
    return Delivered(
        planned.name,
        rate_bps,
        quantile_s,
        jitter_s,
        lost / sent,
        seen.late_packets / max(seen.delivered_packets, 1),
        None,
        tuple(broken),
    )
