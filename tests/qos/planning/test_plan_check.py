"""The independent judge: it passes the engine's plans of random networks and finds what is planted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qos.demands import FlowDemand
from qos.engine import plan, replan
from qos.engine.explain import apply_change
from qos.plan_changes import diff
from qos.plan_check import violations
from qos.plan_files import plan_from_json
from qos.planning import Plan, PlanOptions, Scenario
from qos.scenarios import load, scenario
from topologies.generators import waxman
from topologies.links import WiredLink
from topologies.model import Topology

PROFILES = ("voice", "conversational-video", "gaming", "streaming-video", "bulk", "cloud-gaming")


def random_scenario(seed: int, nodes: int = 7, demands: int = 14) -> Scenario:
    """A small, slow network that cannot carry everything."""
    random = np.random.default_rng(seed)
    made = waxman(nodes, seed, beta=0.3, side_m=100_000.0)
    links = [
        replace(link, rate_bps=int(random.choice([5_000_000, 20_000_000, 100_000_000])))
        for link in made.links.values()
        if isinstance(link, WiredLink)
    ]
    wanted = []
    for number in range(demands):
        source, destination = (str(node) for node in random.choice(nodes, 2, replace=False))
        profile = str(random.choice(PROFILES))
        figures = {"rate_bps": 3e7} if profile == "bulk" else {}
        wanted.append(FlowDemand.from_profile(profile, source, destination, name=f"d{number}", **figures))
    return scenario(Topology(made.nodes.values(), links, name="random"), wanted, seed)


FAST = PlanOptions(time_limit_s=2.0)


@settings(max_examples=12, deadline=None, derandomize=True)
@given(st.integers(0, 10_000))
def test_plans_of_random_networks_are_sound_and_round_trip(seed: int) -> None:
    found = plan(random_scenario(seed), FAST)
    assert violations(found) == ()
    assert plan_from_json(found.to_json()) == found


@settings(max_examples=8, deadline=None, derandomize=True)
@given(st.integers(0, 10_000))
def test_the_smallest_change_of_each_rejection_admits_it_and_keeps_the_others(seed: int) -> None:
    asked = random_scenario(seed)
    old = plan(asked, FAST)
    for rejected in old.rejected:
        if rejected.smallest_change is None:
            continue
        change = rejected.smallest_change
        flows = [apply_change(each, change) if each.name == rejected.name else each for each in asked.flows]
        new = replan(old, replace(asked, flows=tuple(flows)))
        assert rejected.name in new.flows, (rejected, seed)
        assert diff(old, new).dropped == ()
        assert violations(new) == ()


@settings(max_examples=6, deadline=None, derandomize=True)
@given(st.integers(0, 10_000))
def test_after_any_failure_nobody_is_dropped_who_could_stay(seed: int) -> None:
    asked = random_scenario(seed)
    old = plan(asked, FAST)
    links = list(asked.topology.links.values())
    gone = links[seed % len(links)]
    rest = Topology(
        asked.topology.nodes.values(), [each for each in links if each is not gone], name="random"
    )
    new = replan(old, replace(asked, topology=rest))
    assert violations(new) == ()
    untouched = {name for name, flow in old.flows.items() if all(hop.link != gone.id for hop in flow.hops)}
    worth = {flow.name: 8 - flow.priority for flow in asked.flows}
    kept = set(new.flows) & set(old.flows)
    assert sum(worth[name] for name in kept) >= sum(worth[name] for name in untouched)


def test_the_campus_is_sound() -> None:
    assert violations(plan(load("campus"))) == ()


@pytest.fixture(scope="module")
def sound() -> Plan:
    return plan(load("campus"))


def spoiled(sound: Plan, case: str) -> Plan:
    flow = sound.flows["lecture"]
    row = sound.schedule.tasks[0] if sound.schedule is not None else None
    assert row is not None
    assert sound.schedule is not None

    def with_flow(**figures: object) -> Plan:
        return replace(sound, flows={**sound.flows, "lecture": replace(flow, **figures)})  # type: ignore[arg-type]

    match case:
        case "lost":
            return replace(sound, rejected=())
        case "overload":
            return with_flow(rate_bps=2e9)
        case "path":
            return with_flow(path=("desk", "core", "labs", "internet"))
        case "physics":
            return with_flow(delay_predicted_s=1e-6)
        case "late":
            return with_flow(delay_predicted_s=1.0)
        case "unset":
            return replace(sound, links=())
        case "qubit":
            twin = replace(row, task_id=9, name="twin")
            return replace(sound, schedule=replace(sound.schedule, tasks=(*sound.schedule.tasks, twin)))
        case "silent":
            flows = {name: each for name, each in sound.flows.items() if not each.serves}
            return replace(sound, flows=flows)
    raise AssertionError(case)


@pytest.mark.parametrize(
    ("case", "problem"),
    [
        ("lost", "asked for and demands decided differ"),
        ("overload", "bit/s are promised on"),
        ("path", "does not carry packets from desk to core"),
        ("physics", "an empty path takes"),
        ("late", "delay 1 passes its bound"),
        ("unset", "carries flows without a setting"),
        ("qubit", "serves key-alice-bob and twin"),
        ("silent", "is not in the plan"),
    ],
)
def test_the_judge_finds_what_is_planted(sound: Plan, case: str, problem: str) -> None:
    assert any(problem in found for found in violations(spoiled(sound, case)))
