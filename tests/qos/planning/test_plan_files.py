"""Plans as documents: what is written is read back, what is wrong is named."""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qos.errors import InputError
from qos.plan_changes import diff
from qos.plan_files import KEYS, load_plan, plan_from_json, save_plan
from qos.planning import (
    ClassSetting,
    DemandChange,
    EntanglementSchedule,
    HopBudget,
    LinkSetting,
    Plan,
    PlannedEntanglement,
    PlannedFlow,
    PlanOptions,
    Rejection,
    SearchReport,
    TaskRow,
)
from qos.scenarios import load


@pytest.fixture(scope="module")
def plan() -> Plan:
    hop = HopBudget("labs--desk", "desk", 0.001, 0.0)
    flow = PlannedFlow(
        "lecture",
        "desk",
        "labs",
        ("desk", "labs"),
        4e6,
        0.15,
        0.001,
        0.05,
        0.0005,
        1e-3,
        0.0,
        0.01,
        (hop,),
        "fits",
    )
    pairs = PlannedEntanglement(
        "key", "q-alice", "q-bob", ("q-alice", "q-hub", "q-bob"), 5.0, 0.7, 0, ("key/a",), None, "fits"
    )
    radio = ClassSetting("VI", ("lecture",), "wifi6", (3.0, 9.0), 2, 20.0)
    link = LinkSetting(
        "labs--desk", "desk", "labs", "wired", "", 1e9, 9e8, 4e6, 10**9, "lfq", "balanced", "flow",
        ("lecture",), 0.004, 1e-5, None, (), (radio,),
    )  # fmt: skip
    row = TaskRow(0, "key", 10, 4, (0,), {"q-hub:comm0": ((0, 4),)})
    change = DemandChange("rate_bps", 2e7, 1e7, "a rate of 10mbit instead of 20mbit")
    return Plan(
        load("campus"),
        PlanOptions(),
        {"lecture": flow},
        {"key": pairs},
        (link,),
        EntanglementSchedule(0.01, 10, "optimal", 5.0, 5.0, 0.002, "q-hub", (row,)),
        (Rejection("goggles", "flow", "server", "scooter", "too fast", change, (change,)),),
        SearchReport("optimal", 1.0, 1.0, "cpsat"),
        0.25,
    )


def test_a_plan_survives_json_files_and_pickling(plan: Plan, tmp_path: Path) -> None:
    document = json.loads(json.dumps(plan.to_json(), allow_nan=False))
    assert set(KEYS) <= set(document)
    assert plan_from_json(document) == plan
    save_plan(plan, tmp_path / "plan.json")
    assert load_plan(tmp_path / "plan.json") == plan
    assert pickle.loads(pickle.dumps(plan)) == plan


def test_a_plan_does_not_change(plan: Plan) -> None:
    with pytest.raises(TypeError):
        plan.flows["x"] = plan.flows["lecture"]  # type: ignore[index]


def broken(document: dict[str, Any], path: list[Any], value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(document)
    inner: Any = changed
    for part in path[:-1]:
        inner = inner[part]
    if value is KeyError:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return changed


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        (["schema"], 2, "schema: expected 1"),
        (["flows"], KeyError, "flows: this key is required"),
        (["more"], 1, "more: unknown key"),
        (["flows"], {}, "flows: expected a list"),
        (["flows", 0, "rate_bps"], "fast", "flows[0].rate_bps: expected a number"),
        (["flows", 0, "path"], KeyError, "flows[0].path: this key is required"),
        (["flows", 0, "hops", 0, "link"], 3, "flows[0].hops[0].link: expected text"),
        (
            ["rejected", 0, "smallest_change", "field"],
            None,
            "rejected[0].smallest_change.field: expected text",
        ),
        (["schedule", "tasks", 0, "occupancy"], [], "schedule.tasks[0].occupancy: expected an object"),
        (["scenario", "digest"], "0", "scenario.digest: '0' is not that of its topology"),
        (["scenario", "topology", "links", 0, "rate"], "x", "links[0].rate"),
        (["scenario", "flows", 0, "priority"], 9, "scenario.flows[0]: priority must be"),
        (["scenario", "options", "usable"], 2, "scenario.options: usable must be"),
    ],
)
def test_a_wrong_document_is_refused_with_its_key(
    plan: Plan, path: list[Any], value: Any, problem: str
) -> None:
    with pytest.raises(InputError) as caught:
        plan_from_json(broken(plan.to_json(), path, value), "p.json")
    assert "p.json" in str(caught.value)
    assert problem in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"schema": 1, "schema": 1}'])
def test_a_file_that_is_no_plan_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(InputError, match=r"p\.json"):
        load_plan(tmp_path / "p.json")


def test_the_difference_of_plans_names_what_moved(plan: Plan) -> None:
    assert diff(plan, plan).empty
    flow = plan.flows["lecture"]
    moved = replace(flow, path=("desk", "core", "labs"))
    later = replace(plan, flows={"lecture": moved, "new": replace(flow, name="new")}, entanglement={})
    found = diff(plan, later)
    assert (found.admitted, found.dropped, found.moved) == (("new",), ("key",), ("lecture",))
    assert "lecture: moved from desk - labs to desk - core - labs" in found.lines(plan, later)
    slower = replace(plan, flows={"lecture": replace(flow, rate_bps=1e6)}, links=())
    assert diff(plan, slower).retuned == ("lecture",)
    assert diff(plan, slower).settings == ("labs--desk from desk",)
