"""The front door: unknown verbs, help, global flags, exit codes, a reader that leaves."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from qos import __version__
from qos.cli import common, root
from qos.errors import InfeasibleError, InputError, KernelError, PrivilegeError, ValueRefusedError

Run = Callable[..., int]


@pytest.fixture
def run() -> Run:
    """Run `qos WORDS` in this process and return its exit code."""

    def run_words(*words: str) -> int:
        with pytest.raises(SystemExit) as leaving:
            root.main(words)
        assert isinstance(leaving.value.code, int)
        return leaving.value.code

    return run_words


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[common.CommandSettings]:
    """The settings that the made-up verb `probe` was run with."""
    found: list[common.CommandSettings] = []

    def probe(settings: common.CommandSettings) -> None:
        """Note the settings."""
        found.append(settings)

    install(monkeypatch, probe)
    return found


def install(monkeypatch: pytest.MonkeyPatch, function: Callable[[common.CommandSettings], None]) -> None:
    """Put a function behind the command as the verb `probe`."""
    module = type(sys)("qos.cli.probe")
    module.command = common.verb()(function)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "qos.cli.probe", module)
    monkeypatch.setitem(root.VERBS, "probe", "Note the settings.")


def test_an_unknown_verb_is_usage_and_near_names_are_offered(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("atach") == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("qos: unknown command 'atach'; did you mean attach")
    assert said.err.count("\n") == 1


def test_a_verb_like_no_other_is_answered_with_the_way_to_help(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("xyzzy") == 2
    assert "see 'qos --help'" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_names_every_verb_and_the_exit_codes(
    run: Run, capsys: pytest.CaptureFixture[str], flag: str
) -> None:
    assert run(flag) == 0
    said = capsys.readouterr()
    assert all(f"  {verb} " in said.out for verb in root.VERBS)
    assert "Exit codes: 0 ok" in said.out
    assert said.err == ""


def test_no_words_at_all_print_the_help_as_it_is_and_count_as_usage(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run() == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("Usage: qos ")
    assert "\n\n" in said.err


def test_version(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out == f"qos, version {__version__}\n"


@pytest.mark.parametrize(
    "words", [["--nonsense"], ["completion", "--nonsense", "bash"], ["completion", "dos"]]
)
def test_wrong_usage_is_one_line_and_two(
    run: Run, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert run(*words) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_completion_script(
    run: Run, capsys: pytest.CaptureFixture[str], shell: str
) -> None:
    assert run("completion", shell) == 0
    script = capsys.readouterr().out
    assert f"_QOS_COMPLETE={shell}_complete" in script


@pytest.mark.parametrize(
    "words", [["--json", "-vv", "--no-color", "probe"], ["probe", "--json", "-vv", "--no-color"]]
)
def test_global_flags_stand_before_or_after_the_verb(
    run: Run, seen: list[common.CommandSettings], words: list[str]
) -> None:
    assert run(*words) == 0
    assert seen == [common.CommandSettings(as_json=True, verbosity=2, colour=False)]


@pytest.mark.parametrize(
    ("words", "verbosity"),
    [(["-q", "probe", "-v"], 1), (["-v", "probe", "-q"], -1), (["-q", "probe"], -1), (["probe"], 0)],
)
def test_the_later_of_quiet_and_verbose_wins(
    run: Run, seen: list[common.CommandSettings], words: list[str], verbosity: int
) -> None:
    assert run(*words) == 0
    assert [settings.verbosity for settings in seen] == [verbosity]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError("x"), 1),
        (ValueRefusedError("x"), 2),
        (InfeasibleError("x"), 3),
        (KernelError("tc", 1), 4),
        (PrivilegeError("x"), 5),
        (KeyboardInterrupt(), 130),
        (click.UsageError("x"), 2),
        (BrokenPipeError(), 141),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_error_has_its_exit_code(
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
) -> None:
    def fail(settings: common.CommandSettings) -> None:
        raise error

    install(monkeypatch, fail)
    monkeypatch.setattr(sys, "stdout", os.fdopen(os.dup(1), "w"))
    assert run("probe") == code
    sys.stdout.close()


def test_an_error_of_several_lines_is_said_in_one(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(settings: common.CommandSettings) -> None:
        raise InputError("first\n  second")

    install(monkeypatch, fail)
    assert run("probe") == 1
    assert capsys.readouterr().err == "qos: first second\n"


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(settings: common.CommandSettings) -> None:
        raise ZeroDivisionError

    install(monkeypatch, fail)
    with pytest.raises(ZeroDivisionError):
        root.main(["probe"])


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["completion", "bash"]])
def test_a_reader_that_leaves_is_not_an_error_worth_a_word(
    installed_environment: dict[str, str], tmp_path: Path, words: list[str]
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "qos", *words],
            stdout=writing,
            stderr=subprocess.PIPE,
            env=installed_environment,
            cwd=tmp_path,
            check=False,
            timeout=60,
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")
