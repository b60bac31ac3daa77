"""`qos simulate` as its user meets it."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest

from qos.cli.root import main


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["simulate", *words])
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


def test_the_common_case_gives_one_json_document(capsys: pytest.CaptureFixture[str]) -> None:
    words = "dumbbell --rate 15mbit --rtt 15ms --flow newreno --queue fq_codel --duration 5s --json"
    code, out, err = run(capsys, *words.split())
    document = json.loads(out)
    assert (code, err) == (0, "")
    assert document["schema"] == 1
    assert document["flows"][0]["sender"] == "newreno"
    # The LFQ paper's network; ns-3.44 gives 13.66 Mbit/s, a mean of 9.01 and at most 152 packets.
    assert document["flows"][0]["goodput_bps"] == pytest.approx(13.66e6, rel=0.005)
    bottleneck = document["queues"][0]
    assert bottleneck["backlog_mean_packets"] == pytest.approx(9.01, rel=0.01)
    assert bottleneck["backlog_max_packets"] == 152
    for name in ("backlog_mean_bytes", "sojourn_p99_s", "drops"):
        assert bottleneck[name] > 0
    assert document["packets"] == bottleneck["departures"]
    assert 0 < document["cpu_s"] < 5
    assert document["jain"] == 1.0


def test_groups_of_flows_and_limits(capsys: pytest.CaptureFixture[str]) -> None:
    words = "dumbbell --flow cubic:3 --flow bbr --queue fifo --limit 50p --duration 2s --seed 3 --json"
    document = json.loads(run(capsys, *words.split())[1])
    assert [flow["sender"] for flow in document["flows"]] == ["cubic"] * 3 + ["bbr"]
    assert document["queues"][0]["backlog_max_packets"] == 50
    assert document["seed"] == 3


def test_a_stack_of_linux_and_a_parameter_of_the_queue(capsys: pytest.CaptureFixture[str]) -> None:
    words = "dumbbell --stack linux --flow cubic --queue codel --set target=2ms --duration 2s --json"
    strict = json.loads(run(capsys, *words.split())[1])
    lax = json.loads(run(capsys, *words.replace("2ms", "40ms").split())[1])
    assert strict["queues"][0]["sojourn_p50_s"] < lax["queues"][0]["sojourn_p50_s"]
    assert strict["flows"][0]["goodput_bps"] > 13e6


def test_a_table_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    words = "dumbbell --duration 1s --flow vegas --queue fq --policy fixed:30kb"
    code, out, _ = run(capsys, *words.split())
    assert code == 0
    assert "vegas" in out
    assert "bottleneck from left" in out
    assert "Jain's index" in out


def test_files_of_results(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = tmp_path / "out"
    words = f"dumbbell --duration 1s --flow cubic --interval 100ms --out {folder} --json".split()
    code, out, _ = run(capsys, *words)
    assert code == 0
    assert len(json.loads(out)["series"]["times_s"]) == 10
    with (folder / "flows.csv").open() as file:
        assert next(csv.DictReader(file))["sender"] == "cubic"
    assert np.load(folder / "series.npz")["backlog_packets"].shape == (10, 1)
    assert (folder / "series.png").stat().st_size > 5000
    distributions = np.load(folder / "distributions.npz")
    assert len(distributions["sojourn_0_edges_s"]) == len(distributions["sojourn_0_counts"]) + 1
    assert (folder / "distributions.png").stat().st_size > 5000
    assert json.loads((folder / "result.json").read_text())["schema"] == 1


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("dumbbell --flow newrno", 2, "did you mean newreno"),
        ("dumbbell --queue fq_codl", 2, "did you mean fq_codel"),
        ("dumbbell --rate 0mbit", 2, "out of range"),
        ("dumbbell --rate -5mbit", 2, "out of range"),
        ("dumbbell --rtt 0", 2, "out of range"),
        ("dumbbell --duration 5", 2, "has no unit"),
        ("dumbbell --limit 0p", 2, "at least 1"),
        ("dumbbell --limit many", 2, "100p"),
        ("dumbbell --flow cubic:0", 2, "from 1 to"),
        ("dumbbell --mss 5", 2, "mss_bytes must be"),
        ("dumbbell --stack linus", 2, "did you mean linux"),
        ("dumbbell --set targt=5ms", 2, "did you mean target_s"),
        ("dumbbell --set target", 2, "name=value"),
        ("dumbbell --set target=[", 2, "is no value"),
        ("dumbbell --set ecn=maybe", 2, "true or false"),
        ("dumbbell --initial-cwnd 0", 2, "initial_cwnd must be"),
        ("dumbbell --seed -1", 2, "seed"),
        ("dumbbell --queue fifo --policy sawtooth", 2, "a part for each flow"),
        ("dumbbell --queue fq --policy sawtoth", 2, "did you mean 'sawtooth'"),
        ("dumbbell --interval 1ns --duration 5s", 2, "points"),
        ("dumbbell --pcap nowhere.pcap", 1, "nowhere.pcap"),
        ("nowhere.yaml", 1, "nowhere.yaml"),
        ("nowhere.yaml --rate 5mbit", 2, "--rate describes a dumbbell"),
        ("dumbbell --out /proc/nothing/here", 1, "--out"),
    ],
)
def test_mistakes_are_one_line(
    capsys: pytest.CaptureFixture[str], words: str, code: int, message: str
) -> None:
    got, out, err = run(capsys, *words.split())
    assert got == code
    assert message in err
    assert err.startswith("qos: ")
    assert err.count(os.linesep) == 1
    assert out == ""
