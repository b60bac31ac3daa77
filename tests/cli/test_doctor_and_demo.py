"""Bad input of `qos doctor`, `demo`, `watch`, `status` and `detach`; what doctor says for machines."""

from __future__ import annotations

import json

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
