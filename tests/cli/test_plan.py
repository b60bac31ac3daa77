"""`qos plan`: tables, JSON, files, changes, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from qos.cli.root import main
from qos.plan_files import KEYS, load_plan

NETWORK = """
schema: 1
name: ring
nodes:
- {id: a}
- {id: b}
- {id: c, kind: router}
- {id: d, kind: router}
links:
- {kind: wired, ends: [a, c], rate: 10mbit, delay: 1ms}
- {kind: wired, ends: [c, b], rate: 10mbit, delay: 1ms}
- {kind: wired, ends: [a, d], rate: 10mbit, delay: 3ms}
- {kind: wired, ends: [d, b], rate: 10mbit, delay: 3ms}
demands:
- {name: call, profile: voice, ends: [a, b], rate: 64kbit}
- {name: copy, ends: [a, b], rate: 7mbit}
- {name: flood, ends: [a, b], rate: 30mbit}
"""


@pytest.fixture
def network(tmp_path: Path) -> Path:
    path = tmp_path / "ring.yaml"
    path.write_text(NETWORK)
    return path


def call(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["plan", *map(str, arguments)])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def document(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    assert call(*arguments, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert isinstance(found, dict)
    return found


def test_the_table_says_who_is_served_who_is_not_and_what_would_do(
    network: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(network) == 0
    shown = capsys.readouterr().out
    assert "ring: 2 of 3 demands admitted (2 flows, 0 entanglement); optimal" in shown
    assert "a - c - b" in shown
    (row,) = (line for line in shown.splitlines() if line.startswith("flood"))
    assert "the demand needs 302.8% (30mbit)" in row
    assert "a rate of " in row
    assert "a > c" in shown


def test_the_document_has_the_keys_of_a_plan_and_one_schema(
    network: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = document(capsys, network)
    assert set(found) == set(KEYS)
    assert found["schema"] == 1
    assert {flow["name"] for flow in found["flows"]} == {"call", "copy"}
    for flow in found["flows"]:
        assert {"path", "rate_bps", "delay_bound_s", "delay_predicted_s", "loss_predicted"} <= set(flow)
    for one in found["rejected"]:
        assert one["reason"]
        assert one["smallest_change"]["field"] == "rate_bps"


def test_a_plan_is_written_once_and_replaced_only_by_force(
    network: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "plan.json"
    assert call(network, "--out", out) == 0
    assert set(load_plan(out).flows) == {"call", "copy"}
    assert call(network, "--out", out) == 1
    assert "exists already; --force replaces it" in capsys.readouterr().err
    assert call(network, "--out", out, "--force") == 0


def test_a_failure_moves_what_was_on_the_link(
    network: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "plan.json"
    assert call(network, "--out", out) == 0
    capsys.readouterr()
    assert call("--previous", out, "--fail", "a:c") == 0
    shown = capsys.readouterr().out
    assert "call: moved from a - c - b to a - d - b" in shown
    found = document(capsys, "--previous", out, "--fail", "a:c")
    assert "call" in found["changes"]["moved"]


def test_a_changed_figure_and_other_demands_are_planned_on_the_old_network(
    network: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, more = tmp_path / "plan.json", tmp_path / "more.yaml"
    assert call(network, "--out", out) == 0
    capsys.readouterr()
    found = document(capsys, "--previous", out, "--set", "a:c.rate=100mbit", "--set", "c:b.rate=100mbit")
    assert found["rejected"] == []
    more.write_text("[{name: other, profile: gaming, ends: [b, a]}]")
    found = document(capsys, "--previous", out, "--demands", more)
    assert [flow["name"] for flow in found["flows"]] == ["other"]


def test_the_campus_is_planned_by_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, "campus")
    assert found["schedule"]["controller"] == "q-hub"
    assert {one["name"] for one in found["entanglement"]} == {"key-alice-bob", "key-bob-carol"}


def test_a_plan_is_drawn(network: Path, tmp_path: Path) -> None:
    assert call(network, "--plot", tmp_path / "plan.png", "--no-why", "-q") == 0
    assert (tmp_path / "plan.png").stat().st_size > 5000


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        ((), 2, "name a FILE"),
        (("nothing.yaml",), 1, "nothing.yaml: cannot be read"),
        (("campsu",), 1, "did you mean campus"),
        (("{network}", "--fail", "a:z"), 2, "--fail a:z: there is no such link"),
        (("{network}", "--set", "a:c"), 2, "write LINK.FIGURE=VALUE"),
        (("{network}", "--set", "a:z.rate=1mbit"), 2, "there is no such link"),
        (("{network}", "--set", "a:c.rate=fast"), 2, "rate 'fast' is not a number"),
        (("{network}", "--set", "a:c.snr_db=3"), 2, "a wired link has no figure 'snr_db'"),
        (("{network}", "--set", "a:c.loss_probability=2"), 2, "loss_probability must be"),
        (("{network}", "--demands", "none.yaml"), 1, "none.yaml: cannot be read"),
        (("{network}", "--previous", "none.json"), 1, "none.json: cannot be read"),
        (("{network}", "--previous", "{network}"), 1, "expected JSON"),
        (("{network}", "--time-limit", "0"), 2, "time-limit"),
        (("{network}", "--time-limit", "nan"), 2, "time-limit"),
        (("{network}", "--usable", "1.5"), 2, "usable"),
        (("{network}", "--policy", "lfqq"), 2, "did you mean 'lfq'"),
        (("{network}", "--plot", "x.txt"), 2, "needs one of the suffixes"),
        (("{network}", "--out", "/none/plan.json"), 1, "cannot be written"),
    ],
)
def test_bad_input_is_refused_in_one_line(
    arguments: tuple[str, ...],
    code: int,
    problem: str,
    network: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call(*(text.format(network=network) for text in arguments)) == code
    refused = capsys.readouterr().err
    assert problem in refused
    assert refused.startswith("qos: ")
    assert refused.count("\n") == 1
