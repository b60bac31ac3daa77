"""Backup paths, single failures and upgrades on networks small enough to know the answer."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from qos.cli.root import main
from qos.demands import FlowDemand
from qos.engine import plan as make_plan
from qos.errors import InputError, ValueRefusedError
from qos.plan_files import load_plan, save_plan
from qos.planning import Plan, PlanOptions
from qos.scenarios import load, scenario
from qos.survival import Costs, RiskGroups, cheapest_upgrade, failures, protect, read_risk_groups, sweep
from topologies.model import Node, Topology, WiredLink

MBIT = 10**6


def ladder(rate_bps: int = 100 * MBIT) -> Topology:
    """Two ways from s to t, over a and over b, and a third, slower, over c."""
    nodes = [Node("s"), *(Node(name, "router") for name in "abc"), Node("t")]
    links = [
        WiredLink(*ends, rate_bps, f"{ends[0]}{ends[1]}", delay_s=0.001 * slow)
        for slow, name in enumerate("abc", 1)
        for ends in (("s", name), (name, "t"))
    ]
    return Topology(nodes, links, name="ladder")


def planned(*demands: FlowDemand, topology: Topology | None = None) -> Plan:
    return make_plan(scenario(topology or ladder(), demands), PlanOptions(explain=False))


def flow(name: str, rate_mbit: float, delay_s: float | None = 0.05) -> FlowDemand:
    return FlowDemand("s", "t", rate_mbit * 1e6, delay_bound_s=delay_s, name=name)


def test_a_backup_shares_nothing_with_the_first_path() -> None:
    found = protect(planned(flow("x", 10))).flows["x"]
    assert (found.path, found.backup) == (("s", "a", "t"), ("s", "b", "t"))


def test_only_flows_that_want_protection_get_a_backup_and_who_gets_none_is_told() -> None:
    network = Topology(
        [Node(name, "router") for name in "abcz"],
        [WiredLink(*ends, 10_000_000) for ends in ("ab", "bc", "ac", "cz")],
    )
    flows = [
        FlowDemand("a", "c", 1e6, name="safe", protection=True),
        FlowDemand("a", "z", 1e6, name="lost", protection=True),
        FlowDemand("a", "c", 1e6, name="plain"),
    ]
    protected = protect(make_plan(scenario(network, flows)))
    assert protected.flows["safe"].backup == ("a", "b", "c")
    assert protected.flows["lost"].backup is None
    assert "no path that fails with nothing of it" in protected.flows["lost"].reason
    assert protected.flows["plain"].backup is None
    assert protect(protected) == protected


def test_links_in_one_duct_are_no_backup_of_each_other() -> None:
    risks = RiskGroups({"duct": frozenset({"sa", "sb"})})
    assert protect(planned(flow("x", 10)), risks).flows["x"].backup == ("s", "c", "t")
    every = RiskGroups({"duct": frozenset({"sa", "sb", "sc"})})
    assert protect(planned(flow("x", 10)), every).flows["x"].backup is None


def test_a_backup_keeps_the_bound_and_finds_room() -> None:
    # Over b the wires alone take 4 ms.
    assert protect(planned(flow("x", 10, 0.0045))).flows["x"].backup is None
    crowded = protect(planned(flow("x", 60), flow("y", 60), flow("z", 60)))
    assert {one.path for one in crowded.flows.values()} == {("s", n, "t") for n in "abc"}
    assert all(one.backup is None for one in crowded.flows.values())


def test_every_single_failure_is_judged() -> None:
    plan = protect(planned(flow("x", 60), flow("y", 60)))
    outcomes = {one.failure.name: one for one in sweep(plan)}
    assert set(outcomes) == {"sa", "at", "sb", "bt", "sc", "ct"}
    assert all(one.served == one.asked == 2 for one in outcomes.values())
    assert len(outcomes["sa"].moved) == 1
    assert outcomes["sc"].moved == ()
    assert outcomes["sa"].on_backup == outcomes["at"].on_backup
    full = planned(flow("x", 60), flow("y", 60), flow("z", 60))
    assert {one.served for one in sweep(full)} == {2}


def test_groups_fail_together_and_nodes_fail_with_their_links() -> None:
    plan = planned(flow("x", 60), flow("y", 60))
    risks = RiskGroups({"duct": frozenset({"sa", "sb"})})
    listed = failures(plan, risks, nodes=True)
    assert [(one.kind, one.name) for one in listed if one.kind != "link"] == [
        ("group", "duct"),
        ("node", "a"),
        ("node", "b"),
        ("node", "c"),
    ]
    outcomes = {one.failure.name: one for one in sweep(plan, risks, nodes=True)}
    assert outcomes["duct"].served == 1
    assert outcomes["a"].served == 2


def test_a_sweep_is_the_same_on_two_processes() -> None:
    plan = planned(flow("x", 60), flow("y", 60), flow("z", 60))
    assert sweep(plan, jobs=2) == sweep(plan)


def single(rate_mbit: int, other_mbit: int) -> Plan:
    """Two ways: over a with one rate, over b with another; the demand fits neither."""
    nodes = [Node("s"), Node("a", "router"), Node("b", "router"), Node("t")]
    links = [
        WiredLink(*ends, rate * MBIT, f"{ends[0]}{ends[1]}", delay_s=0.001)
        for name, rate in (("a", rate_mbit), ("b", other_mbit))
        for ends in (("s", name), (name, "t"))
    ]
    return make_plan(
        scenario(Topology(nodes, links, name="two"), [flow("big", 500)]), PlanOptions(explain=False)
    )


def test_the_cheapest_upgrade_takes_the_way_that_lacks_least() -> None:
    # 500 Mbit/s at 90 % usable need 1 Gbit/s: over a 2 x 0.9 Gbit/s more, over b 2 x 0.6.
    found = cheapest_upgrade(single(100, 400), "big", Costs(gbit=10))
    assert found is not None
    assert found.path == ("s", "b", "t")
    assert found.cost == pytest.approx(2 * 0.6 * 10)
    assert found.changes == ("sb: 1gbit instead of 400mbit", "bt: 1gbit instead of 400mbit")


def test_an_upgrade_that_is_found_does_admit_the_demand() -> None:
    plan = make_plan(load("campus"))
    found = cheapest_upgrade(plan, "seminar")
    assert found is not None
    assert found.path[-1] == "tablet"
    link = plan.scenario.topology.links["ap-library--tablet"]
    decibels = int(found.changes[0].split(": ")[1].split()[0])
    louder = replace(link, snr_db=link.snr_db + decibels)  # type: ignore[arg-type, operator, union-attr]
    topology = plan.scenario.topology
    links = [louder if one.id == link.id else one for one in topology.links.values()]
    wider = Topology(topology.nodes.values(), links, name=topology.name, quantum=topology.quantum)
    again = make_plan(replace(plan.scenario, topology=wider), PlanOptions(explain=False))
    assert "seminar" in again.flows


def test_demands_that_are_admitted_need_no_upgrade() -> None:
    with pytest.raises(ValueRefusedError, match=r"rejects no flow 'x'; it rejects none"):
        cheapest_upgrade(planned(flow("x", 10)), "x")
    with pytest.raises(ValueRefusedError, match="cost of a gbit"):
        Costs(gbit=-1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "expected groups"),
        ("duct: sa\n", "duct: expected a list"),
        ("duct: [sa, moon]\n", "there is no link 'moon'"),
        ("duct: [1]\n", "expected a list of ids"),
    ],
)
def test_wrong_risk_groups_are_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "risks.yaml").write_text(text)
    with pytest.raises(InputError, match=said):
        read_risk_groups(tmp_path / "risks.yaml", ladder())


def test_the_verbs(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    save_plan(planned(flow("x", 60), flow("y", 60)), tmp_path / "plan.json")
    (tmp_path / "risks.yaml").write_text("duct: [sa, sb]\n")
    out = tmp_path / "safe.json"
    words = ["survive", str(tmp_path / "plan.json"), "--risk-groups", str(tmp_path / "risks.yaml")]
    with pytest.raises(SystemExit) as ended:
        main([*words, "--json", "--out", str(out)])
    assert not ended.value.code
    document = json.loads(capsys.readouterr().out)
    assert {row["failure"]["name"]: row["served"] for row in document["failures"]}["duct"] == 1
    for found in load_plan(out).flows.values():
        assert found.backup is None or list(pairwise(found.backup)) != list(pairwise(found.path))
    with pytest.raises(SystemExit):
        main(words)
    assert "at the worst" in capsys.readouterr().out
    save_plan(single(100, 400), tmp_path / "big.json")
    with pytest.raises(SystemExit):
        main(["upgrade", str(tmp_path / "big.json")])
    assert "sb: 1gbit instead of 400mbit" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        main(["upgrade", str(tmp_path / "big.json"), "--demand", "small"])
    assert ended.value.code == 2
