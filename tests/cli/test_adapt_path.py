"""`qos adapt TOPOLOGY --path A:B`: routes, budgets and joint admission on the command line."""

from __future__ import annotations

import json
from typing import Any

import pytest

from qos.cli.root import main


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        main(["adapt", *arguments])
    said = capsys.readouterr()
    return int(left.value.code or 0), said.out, said.err


def test_every_demand_has_its_routes_and_a_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    demands = ("--demand", "voice", "--demand", "rate=80mbit,delay=100ms,loss=0.01")
    code, out, _ = run(capsys, "campus", "--path", "phone:tablet", *demands, "--json")
    document: dict[str, Any] = json.loads(out)
    assert code == 0
    assert (document["schema"], document["source"], document["destination"]) == (1, "phone", "tablet")
    voice, greedy = document["demands"]
    assert voice["admitted"]
    assert voice["rate_bps"] == 100_000
    (route,) = voice["routes"]
    assert voice["route"] == route["nodes"]
    assert [hop["radio"] for hop in route["hops"]] == [True, False, False, False, False, True]
    arrived = 1.0
    for hop in route["hops"]:
        arrived *= 1 - hop["loss"]
    assert route["loss"] == pytest.approx(1 - arrived)
    assert route["loss"] <= voice["loss_bound"]
    assert route["cost_s"] == pytest.approx(sum(hop["channel_time_s"] for hop in route["hops"]))
    assert route["admissible_bps"] == min(hop["admissible_bps"] for hop in route["hops"])
    assert not greedy["admitted"]
    assert greedy["reason"]
    assert {change["field"] for change in greedy["changes"]} <= {"rate_bps", "delay_bound_s", "loss"}
    assert all(0 <= share <= 0.9 for share in document["reserved"].values())


def test_the_table_marks_the_route_taken(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "campus", "--path", "server:phone", "--demand", "voice")
    assert code == 0
    assert "voice (delay 100 ms, loss 0.01): admitted at 100kbit" in out
    assert "server - core - hall - ap-hall - phone *" in out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("campus", "--path", "phone"), 2, "give two nodes as A:B"),
        (("campus", "--path", "phone:nobody"), 2, "give two nodes as A:B; campus has internet"),
        (("campus", "--path", "phone:phone"), 2, "give two nodes"),
        (("--path", "a:b", "--dev", "lo"), 2, "--path: with a TOPOLOGY, not with --dev"),
        (
            ("campus", "--path", "phone:tablet", "--harq", "chase"),
            2,
            "--harq: only with TOPOLOGY, not with --path",
        ),
        (("campus", "--path", "phone:tablet", "--demand", "rate=1mbit,delay=1us"), 3, "hop 5 needs most"),
        (("campus", "--set-retries"), 2, "--set-retries: only with --dev, not with TOPOLOGY"),
        (("campus", "--radio", "gain=3"), 2, "--radio gain=3: no figure 'gain'; there are noise_figure_db"),
        (("campus", "--radio", "coverage=much"), 2, "coverage needs a number"),
        (("campus", "--radio", "path_loss=magic"), 2, "path loss model 'magic' is unknown"),
        (("campus", "--dev", "lo"), 2, "TOPOLOGY and --dev: each stands alone"),
        (("campus", "--harq", "soft"), 2, "'soft' is not one of"),
    ],
)
def test_bad_input_is_one_line(
    arguments: tuple[str, ...], code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    got, out, err = run(capsys, *arguments)
    assert got == code
    assert not out
    assert words in err
    assert "Traceback" not in err
