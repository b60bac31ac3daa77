"""The tutorials' commands print what the tutorials say; their files are those that the pages show."""

from __future__ import annotations

import re
from collections.abc import Iterator
from doctest import ELLIPSIS, NORMALIZE_WHITESPACE, OutputChecker
from pathlib import Path

import pytest

from qos.cli.root import main

DOCS = Path(__file__).resolve().parents[2] / "docs"
FILE = re.compile(r"<!-- file: (\S+) -->\n```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TUTORIALS = sorted(path.name for path in DOCS.glob("tutorial-*.md"))


def commands(page: str) -> Iterator[tuple[list[str], str]]:
    """Give the words of each command that begins with ``$ qos``, and what it prints."""
    for block in CONSOLE.findall(page):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            words = command.partition("#")[0].split()
            assert words[0] == "qos", f"only qos is run here, not {command}"
            yield words[1:], output


def test_there_is_a_tutorial_for_each_user() -> None:
    assert TUTORIALS == ["tutorial-quantum.md", "tutorial-router.md", "tutorial-wireless.md"]


@pytest.mark.parametrize("name", TUTORIALS)
def test_every_command_of_a_tutorial_prints_what_it_says(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (DOCS / name).read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QOS_STATE_DIR", str(tmp_path / "state"))
    for file, text in FILE.findall(page):
        (tmp_path / file).write_text(text, encoding="utf-8")
    ran = 0
    for arguments, wanted in commands(page):
        with pytest.raises(SystemExit):
            main(arguments)
        got = capsys.readouterr()
        flags = ELLIPSIS | NORMALIZE_WHITESPACE
        assert OutputChecker().check_output(wanted, got.out + got.err, flags), (
            f"qos {' '.join(arguments)} printed\n{got.out}{got.err}\nthe page says\n{wanted}"
        )
        ran += 1
    assert ran >= 3
