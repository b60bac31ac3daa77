"""A plan that is played: what is promised, what comes, and that a promise can be seen to be broken."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_plans import small_plan, with_links

from qos.cli.root import main
from qos.engine import plan as make_plan
from qos.errors import InputError, ValueRefusedError
from qos.plan_files import save_plan
from qos.plan_simulation import PlayOptions, simulate_plan
from qos.plan_simulation.packets import packet_run, play_packets
from qos.plan_simulation.pairs import PairReplay
from qos.plan_simulation.radio import give_up_probability
from qos.planning import Plan
from qos.scenarios import load


@pytest.fixture(scope="module")
def campus() -> Plan:
    scenario = load("campus")
    # The fast bulk transfer alone costs more than all the rest.
    return make_plan(replace(scenario, flows=tuple(f for f in scenario.flows if f.name != "backup")))


def outcome(plan: Plan, **options: object) -> dict[str, tuple[str, ...]]:
    """What was not kept, by demand."""
    found = simulate_plan(plan, PlayOptions(**({"runs": 2, "duration_s": 1.0} | options)))  # type: ignore[arg-type]
    return {one.name: tuple(one.broken) for one in found.demands}


def test_the_plan_of_the_campus_is_kept(campus: Plan) -> None:
    found = simulate_plan(campus, PlayOptions(runs=2, duration_s=2.0, seed=3))
    assert {one.name: one.broken for one in found.demands if one.broken} == {}
    assert found.kept_share == 1.0
    assert {one.name for one in found.demands} == {*campus.flows, *campus.entanglement}
    call = next(one for one in found.demands if one.name == "alice-call")
    assert call.delivered["delay_s"] is not None
    assert 0.001 < call.delivered["delay_s"] <= campus.flows["alice-call"].delay_predicted_s
    pairs = next(one for one in found.demands if one.name == "key-alice-bob")
    assert pairs.delivered["fidelity"] == pytest.approx(0.75, abs=0.1)


def test_the_same_seed_gives_the_same_on_one_process_and_on_two(campus: Plan) -> None:
    options = PlayOptions(runs=2, duration_s=0.3, seed=5)
    one, two = (simulate_plan(campus, options, jobs=jobs) for jobs in (1, 2))
    assert one == two
    assert simulate_plan(campus, replace(options, seed=6)) != one


def test_a_promise_that_cannot_be_kept_is_seen_to_be_broken() -> None:
    plan = small_plan(rate_bps=10_000_000)
    assert outcome(plan) == {"film": ()}
    slow = with_links(plan, replace(plan.links[0], fair_queue_rate_bps=3_000_000), *plan.links[1:])
    assert "loss" in outcome(slow)["film"]
    film = plan.flows["film"]
    hasty = replace(plan, flows={"film": replace(film, delay_bound_s=0.003)})
    assert outcome(hasty)["film"] == ("delay",)


def test_greedy_flows_do_not_break_a_fair_queue_but_do_break_a_common_one() -> None:
    plan = small_plan(rate_bps=20_000_000)
    assert outcome(plan, background=3) == {"film": ()}
    run = packet_run(plan, 1.0, 3, 1)
    assert [flow.sender for flow in run.scenario.flows].count("cubic") == 3 * 2
    from schedulers.packet.registry import queue

    fifo = dict.fromkeys(run.scenario.queues, queue("fifo"))
    (film,) = play_packets(plan, replace(run, scenario=replace(run.scenario, queues=fifo)))
    assert "delay" in film.broken


def test_late_control_messages_cost_pairs(campus: Plan) -> None:
    replay = PairReplay(campus)
    in_time, late = (
        {one.name: one for one in replay.run(20.0, 1, dict.fromkeys(campus.flows, missed))}
        for missed in (0.0, 0.5)
    )
    for name, one in in_time.items():
        assert late[name].rate == pytest.approx(one.rate / 2)
        assert "control" in late[name].broken
        assert one.broken == ()


def test_a_demand_for_certain_pairs_is_not_kept_on_links_of_chance() -> None:
    scenario = load("campus")
    sure = tuple(replace(one, demand=replace(one.demand, probability=None)) for one in scenario.entanglement)
    found = outcome(make_plan(replace(scenario, flows=(), entanglement=sure)))
    assert found["key-alice-bob"] == ("rate",)


def test_protocols_of_another_version_are_refused(campus: Plan) -> None:
    assert campus.schedule is not None
    rows = tuple(replace(row, exec_slots=row.exec_slots + 1) for row in campus.schedule.tasks)
    with pytest.raises(InputError, match="plan again"):
        PairReplay(replace(campus, schedule=replace(campus.schedule, tasks=rows)))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.integers(0, 7))
def test_more_attempts_never_give_up_more(errors: list[float], retransmissions: int) -> None:
    error = np.array(errors)
    found = [give_up_probability(error, count) for count in range(retransmissions + 1)]
    assert found[0] == pytest.approx(error.mean())
    assert all(0 <= one <= 1 for one in found)
    assert found[-1] <= max(errors) ** min(retransmissions + 1, len(errors)) + 1e-12


def test_give_up_of_a_constant_channel_is_the_power_of_its_error() -> None:
    assert give_up_probability(np.full(50, 0.1), 2) == pytest.approx(1e-3)
    assert give_up_probability(np.zeros(0), 2) == 1.0


def test_the_verb_prints_one_document_and_a_table(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    save_plan(small_plan(), tmp_path / "plan.json")
    words = ["simulate", str(tmp_path / "plan.json"), "--runs", "2", "--duration", "300ms"]
    with pytest.raises(SystemExit) as ended:
        main([*words, "--json"])
    assert not ended.value.code
    document = json.loads(capsys.readouterr().out)
    assert (document["schema"], document["runs"], document["kept_share"]) == (1, 2, 1.0)
    (film,) = document["demands"]
    assert film["delivered"]["rate"] == pytest.approx(4e6, rel=0.02)
    with pytest.raises(SystemExit):
        main(words)
    out = capsys.readouterr().out
    assert "film" in out
    assert "100.00% of 2 runs of 1 demands got what was promised" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--rate", "1mbit"], "--rate describes a dumbbell"),
        (["--out", "x"], "--out is for one simulation"),
        (["--runs", "0"], "runs must be from 1"),
        (["--background", "-1"], "background must be"),
        (["--jobs", "0"], "--jobs must not be 0"),
    ],
)
def test_wrong_flags_are_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, words: list[str], said: str
) -> None:
    save_plan(small_plan(), tmp_path / "plan.json")
    with pytest.raises(SystemExit) as ended:
        main(["simulate", str(tmp_path / "plan.json"), *words])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
    if words[0] == "--runs":
        with pytest.raises(SystemExit):
            main(["simulate", "dumbbell", "--runs", "3"])
        assert "--runs describes how a plan is played" in capsys.readouterr().err


def test_a_plan_without_demands_has_nothing_to_play() -> None:
    with pytest.raises(InputError, match="admits no demand"):
        simulate_plan(replace(small_plan(), flows={}))
    with pytest.raises(ValueRefusedError, match="duration_s"):
        PlayOptions(duration_s=0)
