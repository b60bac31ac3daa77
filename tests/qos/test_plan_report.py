"""The report of a plan: one page, whole, offline, with everything escaped."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_plans import small_plan, with_links

from qos.cli.root import main
from qos.engine import plan as make_plan
from qos.errors import InputError
from qos.plan_files import save_plan
from qos.plan_report import report_html, write_report
from qos.plan_report.pictures import tail
from qos.plan_report.svg import ticks
from qos.plan_simulation import PlayOptions, simulate_plan
from qos.planning import Plan
from qos.scenarios import load


@pytest.fixture(scope="module")
def campus() -> Plan:
    return make_plan(load("campus"))


class Reader(HTMLParser):
    """Collects what a page would fetch, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.words = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = dict(attrs)
        self.fetched += [str(names[key]) for key in ("src", "href") if key in names]
        if tag in ("script", "link", "iframe", "img"):
            self.fetched.append(tag)

    def handle_data(self, data: str) -> None:
        self.words += data


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    return reader


def pictures(page: str) -> list[ElementTree.Element]:
    return [ElementTree.fromstring(each) for each in re.findall(r"<svg.*?</svg>", page, re.S)]


def test_the_page_holds_everything_and_fetches_nothing(campus: Plan) -> None:
    page = report_html(campus)
    reader = read(page)
    assert reader.fetched == []
    assert "url(" not in page
    for name in (*campus.flows, *campus.entanglement, *(one.name for one in campus.rejected)):
        assert name in reader.words
    for link in campus.links:
        assert link.link in reader.words
    assert len(pictures(page)) == 3


def test_pictures_lie_inside_their_frames(campus: Plan) -> None:
    network, schedule, delays = pictures(report_html(campus))
    assert len(network.findall("line")) == len(campus.scenario.topology.links)
    assert len(network.findall("circle")) == len(campus.scenario.topology.nodes)
    assert campus.schedule is not None
    stays = sum(
        len(task.starts) * sum(len(parts) for parts in task.occupancy.values())
        for task in campus.schedule.tasks
    )
    assert len(schedule.findall("rect")) == stays + len(campus.schedule.tasks)
    users = [flow for flow in campus.flows.values() if not flow.serves]
    assert len(delays.findall("polyline")) == len(users)
    for drawing in (network, schedule, delays):
        _, _, width, height = (float(part) for part in drawing.get("viewBox", "").split())
        for each in drawing.iter():
            for key, most in (("x", width), ("cx", width), ("x1", width), ("y", height), ("cy", height)):
                assert 0 <= float(each.get(key, 0)) <= most


def test_a_simulation_stands_beside_the_promises() -> None:
    plan = small_plan()
    outcome = simulate_plan(plan, PlayOptions(runs=2, duration_s=0.2))
    words = read(report_html(plan, outcome)).words
    assert "100.00%" in words
    assert "2/2" in words
    assert "promises kept" not in read(report_html(plan)).words


def test_names_cannot_break_out_of_the_page() -> None:
    plan = small_plan()
    evil = '<script>alert("x")</script>&'
    film = replace(plan.flows["film"], name=evil, reason=evil)
    page = report_html(replace(plan, flows={evil: film}))
    assert "<script" not in page
    assert read(page).words.count(evil) >= 2
    assert len(pictures(page)) == 2


@given(st.floats(1e-6, 1.0), st.floats(0, 1.0), st.floats(1e-6, 0.5))
def test_the_expected_tail_falls_through_the_prediction(least: float, wait: float, violation: float) -> None:
    film = small_plan().flows["film"]
    flow = replace(
        film,
        delay_predicted_s=least + wait,
        jitter_predicted_s=wait,
        violation_probability=violation,
    )
    assert tail(flow, least * 0.99) == 1.0
    assert tail(flow, (least + wait) * 1.001) <= violation * 1.001
    delays = [least * (1 + step / 7) for step in range(30)]
    shares = [tail(flow, delay) for delay in delays]
    assert shares == sorted(shares, reverse=True)


@given(st.floats(1e-9, 1e9))
def test_ticks_are_few_and_within(most: float) -> None:
    found = ticks(most)
    assert 2 <= len(found) <= 12
    assert found[-1] <= most * (1 + 1e-6)


def test_an_empty_plan_has_a_page_too() -> None:
    plan = with_links(replace(small_plan(), flows={}))
    assert "Everything that was asked for" in read(report_html(plan)).words


def test_the_verb_writes_the_page(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    save_plan(small_plan(), tmp_path / "plan.json")
    words = ["report", str(tmp_path / "plan.json"), "--out"]
    with pytest.raises(SystemExit) as ended:
        main([*words, str(tmp_path / "plan.html"), "--runs", "1"])
    assert not ended.value.code
    assert (tmp_path / "plan.html").read_text().startswith("<!DOCTYPE html>")
    for name, said in (("plan.txt", "ends in .html"), ("no/where.html", "cannot be written")):
        with pytest.raises(SystemExit):
            main([*words, str(tmp_path / name)])
        assert said in capsys.readouterr().err
    with pytest.raises(InputError, match="cannot be written"):
        write_report(small_plan(), tmp_path / "absent" / "x.html")
