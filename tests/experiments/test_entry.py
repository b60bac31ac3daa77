"""What experiments share: a folder holds results of the same settings only."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from experiments import lfq_live, lfq_regret
from experiments.entry import claim, run
from qos.errors import InputError, ValueRefusedError


def test_a_folder_is_made_and_says_what_its_results_have_in_common(tmp_path: Path) -> None:
    card = tmp_path / "new" / "card.json"
    claim(card, {"seed": 3})
    assert json.loads(card.read_text()) == {"schema": 1, "seed": 3}


def test_a_command_that_was_interrupted_goes_on_in_its_folder(tmp_path: Path) -> None:
    claim(tmp_path / "card.json", {"seed": 3, "senders": ("bbr", "cubic")})
    claim(tmp_path / "card.json", {"seed": 3, "senders": ["bbr", "cubic"]})


def test_other_settings_are_refused_and_the_folder_stays_as_it_is(tmp_path: Path) -> None:
    card = tmp_path / "card.json"
    claim(card, {"seed": 3})
    before = card.read_text()
    with pytest.raises(ValueRefusedError, match=r"--out .*card\.json.*name another folder"):
        claim(card, {"seed": 4})
    assert card.read_text() == before


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"--out .*file/folder: cannot write there"):
        claim(tmp_path / "file" / "folder" / "card.json", {"seed": 3})


@pytest.mark.parametrize(
    ("experiment", "first", "then"),
    [
        (lfq_regret, ["--seed", "77"], ["--seed", "78"]),
        (lfq_regret, ["--senders", "bbr"], ["--senders", "cubic"]),
        (lfq_live, ["--seconds", "10"], ["--quick"]),
    ],
)
def test_rows_of_other_settings_are_not_taken_up(
    experiment: ModuleType,
    first: list[str],
    then: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Else a table would mix two seeds, senders or lengths of a run and say nothing."""

    class BegunError(Exception):
        """The experiment went on beyond its claim."""

    def begin(*_: object) -> None:
        raise BegunError

    main = experiment.main
    monkeypatch.setattr(lfq_regret, "prepare", begin)
    monkeypatch.setattr(lfq_live, "measure", begin)
    monkeypatch.setattr(sys, "argv", ["experiment", *first, "--out", str(tmp_path)])
    with pytest.raises(BegunError):
        run(main)
    monkeypatch.setattr(sys, "argv", ["experiment", *then, "--out", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        run(main)
    assert ended.value.code == 2
    assert "name another folder" in capsys.readouterr().err
