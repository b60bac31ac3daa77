from __future__ import annotations

import json
from pathlib import Path

import pytest

from qos.cli.root import main
from topologies.files import load

ZOO = Path(__file__).parents[1] / "topologies" / "data" / "zoo_oddities.gml"


def call(*words: str) -> int:
    with pytest.raises(SystemExit) as left:
        main(["topology", *words])
    return int(left.value.code or 0)


def test_list_names_the_library(capsys: pytest.CaptureFixture[str]):
    assert call("list") == 0
    out = capsys.readouterr().out
    assert "surfnet" in out
    assert "108" in out


def test_list_as_json_counts_nodes_and_links(capsys: pytest.CaptureFixture[str]):
    assert call("list", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == 1
    surfnet = next(one for one in document["topologies"] if one["name"] == "surfnet")
    assert (surfnet["nodes"], surfnet["links"], surfnet["kinds"]) == (108, 118, ["quantum"])


def test_show_prints_columns_that_align(capsys: pytest.CaptureFixture[str]):
    assert call("show", "campus") == 0
    lines = capsys.readouterr().out.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("link "))
    column = lines[start].index("properties")
    rows = lines[start + 2 : start + 2 + len(load("campus").links)]
    assert all(row[column - 1] == " " != row[column] for row in rows)


def test_show_as_json_has_si_numbers(capsys: pytest.CaptureFixture[str]):
    assert call("show", "dumbbell", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    slow = next(link for link in document["links"] if link["id"] == "left--right")
    assert (slow["rate_bps"], slow["delay_s"], slow["ends"]) == (10_000_000, 0.02, ["left", "right"])


def test_show_host_lists_interfaces_and_routes(capsys: pytest.CaptureFixture[str]):
    assert call("show", "host", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert "lo" in [interface["name"] for interface in document["interfaces"]]
    assert isinstance(document["routes"], list)
    assert call("show", "host") == 0
    assert "qdiscs" in capsys.readouterr().out


@pytest.mark.parametrize(("suffix", "magic"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")])
def test_plot_writes_a_drawing(tmp_path: Path, suffix: str, magic: bytes):
    for name in ("campus", "star"):
        assert call("show", name, "--plot", str(tmp_path / f"x{suffix}")) == 0
        assert (tmp_path / f"x{suffix}").read_bytes().startswith(magic)
    assert [path.name for path in tmp_path.iterdir()] == [f"x{suffix}"]


def test_check_accepts_good_files_and_names(capsys: pytest.CaptureFixture[str]):
    assert call("check", "star", str(ZOO)) == 0
    captured = capsys.readouterr()
    assert "star: ok, 4 nodes, 3 links" in captured.out
    assert "1 of 3 links name no speed" in captured.err


def test_check_lists_every_problem_and_checks_all_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    bad = tmp_path / "bad.yaml"
    bad.write_text("schema: 1\nnodes:\n" + "- {id: a, kind: x}\n" * 9)
    assert call("check", str(bad), "star") == 1
    captured = capsys.readouterr()
    assert captured.err.count("line ") == 9
    assert "star: ok" in captured.out
    assert call("check", "--json", str(bad), "star") == 1
    files = json.loads(capsys.readouterr().out)["files"]
    assert [one["ok"] for one in files] == [False, True]
    assert len(files[0]["problems"]) == 9


@pytest.mark.parametrize("suffix", [".yaml", ".yml", ".json", ".graphml", ".gml"])
def test_convert_goes_there_and_back(tmp_path: Path, suffix: str):
    there, back = str(tmp_path / f"x{suffix}"), str(tmp_path / "back.yaml")
    assert call("convert", "campus", there) == 0
    assert call("convert", there, back) == 0
    assert load(back) == load("campus")


def test_convert_says_that_demands_stay_behind(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "in.yaml").write_text("schema: 1\nnodes: [{id: a}]\ndemands: []\n")
    assert call("convert", str(tmp_path / "in.yaml"), str(tmp_path / "out.json"), "--json") == 0
    captured = capsys.readouterr()
    assert "demands is no part of a topology" in captured.err
    assert json.loads(captured.out)["nodes"] == 1


def test_convert_replaces_a_file_only_with_force(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    target = tmp_path / "x.yaml"
    target.write_text("mine")
    assert call("convert", "star", str(target)) == 1
    assert "--force" in capsys.readouterr().err
    assert target.read_text() == "mine"
    assert call("convert", "star", str(target), "--force") == 0
    assert load(target) == load("star")


BAD = {
    "binary.yaml": b"\x00\xff\xfe\x80garbage",
    "binary.graphml": b"\x00\xff\xfe\x80garbage",
    "binary.json": bytes(range(256)),
    "binary.gml": bytes(range(128)),
    "empty.yaml": b"",
    "cycle.yaml": b"a: &a [*a]",
    "twice.yaml": b"schema: 1\nnodes: [{id: a}, {id: a}]",
    "nan.yaml": b"schema: 1\nnodes: [{id: a, latitude: .nan, longitude: .inf}]",
    "nan.json": b'{"schema": NaN}',
    "deep.json": b"[" * 1_000_000,
    "deep.yaml": b"[" * 1_000_000,
    "laughs.graphml": b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><graphml>&b;</graphml>',
    "twice.graphml": b"<graphml><graph><node id='a'/><node id='a'/></graph></graphml>",
    "open.gml": b"graph [ node [ id 1 ",
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("verb", ["show", "check", "convert"])
def test_bad_files_end_with_one_line_and_code_1_and_change_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, verb: str
):
    path = tmp_path / name
    path.write_bytes(BAD[name])
    extra = [str(tmp_path / "out.yaml")] if verb == "convert" else []
    assert call(verb, str(path), *extra) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert all(line.startswith(f"qos: {path}: ") and len(line) < 600 for line in lines)
    assert len(lines) == 1 or verb == "check"
    assert [one.name for one in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        ([], 2, "Missing command"),
        (["frobnicate"], 2, "No such command"),
        (["show"], 2, "Missing argument"),
        (["show", "surfnte"], 1, "did you mean surfnet"),
        (["show", "star", "--plot", "x.doc"], 2, ".png, .svg, .pdf"),
        (["show", "star", "--plot", "/nowhere/x.png"], 1, "cannot be written"),
        (["show", "star", "--bogus"], 2, "No such option"),
        (["check"], 2, "Missing argument"),
        (["check", "none.yaml"], 1, "No such file"),
        (["convert", "star", "x.toml"], 2, "unknown suffix '.toml'"),
        (["convert", "star", "/nowhere/x.yaml"], 1, "cannot be written"),
        (["convert", "zzzz", "x.yaml"], 1, "no topology 'zzzz'"),
        (["show", "a\x00b.yaml"], 1, "cannot be read"),
    ],
)
def test_wrong_words_are_refused_with_the_right_code(
    words: list[str],
    code: int,
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.chdir(tmp_path)
    assert call(*words) == code
    error = capsys.readouterr().err
    assert expected in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
