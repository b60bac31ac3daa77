"""Bad input of `qos doctor`, `demo`, `watch`, `status` and `detach`; what doctor says for machines."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from qos.cli.root import main


def refusal(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[object, str]:
    with pytest.raises(SystemExit) as leaving:
        main(words)
    return leaving.value.code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["demo", "--rate", "0"], 2, "rate"),
        (["demo", "--flow", "cubik"], 2, "cubic"),
        (["demo", "--flow", "cubic:0"], 2, "count"),
        (["demo", "--duration", "1s"], 2, "duration"),
        (["demo", "--plot", "/nosuch/x.png"], 2, "/nosuch"),
        (["demo", "--plot", "picture.txt"], 2, ".png, .svg, .pdf"),
        (["doctor", "nosuch0"], 2, "nosuch0"),
        (["watch", "lo"], 1, "no queue of ours"),
        (["status", "lo"], 1, "no queue of ours"),
        (["detach", "lo"], 1, "no queue of ours"),
    ],
)
def test_bad_input_is_one_line_with_its_exit_code(
    words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given, message = refusal(words, capsys)
    assert given == code
    assert said in message
    assert message.count("\n") == 1


@pytest.mark.netns
def test_doctor_finds_what_attach_needs(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        main(["doctor", "lo", "--json"])
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == 1
    assert leaving.value.code == (0 if document["ready"] else 5)
    assert {"htb", "bfifo", "cls_bpf", "lo: offloads"} <= {row["name"] for row in document["checks"]}


def test_a_picture_that_could_not_be_written_is_refused_before_anything_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "access", lambda path, _mode: path != tmp_path)
    code, said = refusal(["demo", "--plot", str(tmp_path / "x.png")], capsys)
    assert code == 1
    assert "--no-plot" in said
