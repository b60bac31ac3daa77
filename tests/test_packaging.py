"""What a newcomer and CI rely on: the README's two commands, the man page, the unit, the examples."""

from __future__ import annotations

import configparser
import doctest
import importlib
import os
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from docs import make_man

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = {
    "tests": "python3 -m venv .venv && .venv/bin/pip install -q tox && .venv/bin/tox run",
    "demo": "python3 -m venv .venv && .venv/bin/pip install -q . && .venv/bin/qos demo",
}
EXAMPLES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for package in ("qos", "schedulers", "topologies", "linux_qdisc")
    for path in (ROOT / package).rglob("*.py")
    if ">>> " in path.read_text()
)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_readme_has_the_command(name: str) -> None:
    blocks = re.findall(rf"<!-- {name} -->\n```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert [block.strip() for block in blocks] == [COMMANDS[name]]


def test_ci_runs_what_the_readme_says(tmp_path: Path) -> None:
    script = tmp_path / ".ci" / "run"
    script.parent.mkdir()
    script.write_text((ROOT / ".ci" / "run").read_text())
    readme = (ROOT / "README.md").read_text()
    (tmp_path / "README.md").write_text(readme.replace(COMMANDS["tests"], "echo ran in $PWD"))
    done = subprocess.run(["bash", script], capture_output=True, text=True, check=True, cwd="/", timeout=60)
    assert done.stdout == f"ran in {tmp_path}\n"
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_ci_fails_where_the_readme_has_no_command(tmp_path: Path) -> None:
    script = tmp_path / ".ci" / "run"
    script.parent.mkdir()
    script.write_text((ROOT / ".ci" / "run").read_text())
    (tmp_path / "README.md").write_text("# Nothing here\n")
    done = subprocess.run(["bash", script], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1


def test_the_man_page_is_what_the_parser_says() -> None:
    assert make_man.PAGE.read_text() == make_man.page(), "run: python -m docs.make_man --write"


def test_the_wheel_holds_the_packages_the_man_page_and_the_unit() -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert set(wheel["packages"]) == {"qos", "schedulers", "topologies", "linux_qdisc"}
    assert all((ROOT / source).is_file() for source in wheel["shared-data"])
    assert all((ROOT / package / "py.typed").is_file() for package in wheel["packages"])


def test_the_unit_attaches_by_the_name_and_waits_by_the_escaped_name() -> None:
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(ROOT / "systemd" / "qos@.service")
    assert unit["Service"]["ExecStart"] == "qos attach %I --config /etc/qos/%I.yaml --foreground"
    assert unit["Unit"]["BindsTo"] == "sys-subsystem-net-devices-%i.device"
    assert unit["Service"]["RuntimeDirectoryPreserve"] == "yes"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd")
def test_systemd_takes_every_line_of_the_unit(tmp_path: Path) -> None:
    text = (ROOT / "systemd" / "qos@.service").read_text()
    # What systemd looks for must be there: a program for qos, and no manual page.
    text = re.sub(r"(=|exec )qos ", r"\1/bin/true ", text).replace("Documentation=", "#")
    unit = tmp_path / "qos@eth0.service"
    unit.write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("result", "detaches"), [("success", True), ("signal", False), ("exit-code", False)])
def test_the_unit_gives_the_interface_back_only_when_it_was_asked_to_stop(
    result: str, detaches: bool, tmp_path: Path
) -> None:
    lines = (ROOT / "systemd" / "qos@.service").read_text().splitlines()
    line = next(line for line in lines if line.startswith("ExecStopPost="))
    # What systemd makes of the line: the instance put in, "$$" for "$"; then words as a shell splits them.
    words = shlex.split(line.removeprefix("ExecStopPost=-").replace("%I", "br-lan").replace("$$", "$"))
    command = tmp_path / "qos"
    command.write_text('#!/bin/sh\necho "$@"\n')
    command.chmod(0o755)
    environment = os.environ | {"SERVICE_RESULT": result, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=environment, timeout=60)
    assert done.stdout == ("detach br-lan\n" if detaches else "")


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_in_docstrings_are_true(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0
