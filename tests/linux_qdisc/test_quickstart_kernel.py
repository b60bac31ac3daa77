"""Every command that the README and the quickstart give a router's administrator, typed in that order."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_attach_kernel import Lab

ROOT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(shutil.which("tc") is None, reason="needs iproute2 to look at the kernel"),
]
NO_RADIO, TIMED_OUT = 5, 124


@pytest.fixture
def lab(tmp_path: Path, installed_environment: dict[str, str]) -> Iterator[Lab]:
    made = Lab(tmp_path, installed_environment)
    made.ip("link", "set", "v0", "name", "eth0")
    made.ip("link", "set", "eth0", "up")
    made.ip("link", "set", "v1", "name", "wlan0")
    made.ip("link", "set", "wlan0", "up")
    yield made
    made.run(sys.executable, "-m", "qos", "detach", "eth0")
    made.close()


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def commands(page: Path) -> list[list[str]]:
    lines = "".join(blocks(page, "sh")).splitlines()
    typed = [re.sub(r"\s+#.*", "", line).removeprefix("sudo ").split() for line in lines]
    return [words for words in typed if words[:1] == ["qos"]]


@pytest.mark.parametrize("page", ["README.md", "docs/quickstart.md"])
def test_the_commands_work_as_they_stand_and_the_interface_comes_back(
    lab: Lab, tmp_path: Path, page: str
) -> None:
    before = lab.tc("qdisc", "show", "dev", "eth0")
    config = tmp_path / "eth0.yaml"
    for text in blocks(ROOT / page, "yaml"):
        config.write_text(text)
    typed = commands(ROOT / page)
    assert {"doctor", "attach", "status", "detach"} <= {words[1] for words in typed}
    for line in typed:
        words = [str(config) if word == "/etc/qos/eth0.yaml" else word for word in line]
        if words[1] == "watch":
            done = lab.run("timeout", "--signal=INT", "3", sys.executable, "-m", *words)
            assert done.returncode == TIMED_OUT, done.stderr  # it goes on until it is interrupted
            assert "Traceback" not in done.stderr
        else:
            done = lab.run(sys.executable, "-m", *words)
            assert done.returncode == (NO_RADIO if "auto" in words else 0), (words, done.stderr)
    lab.run(sys.executable, "-m", "qos", "detach", "eth0")
    assert lab.tc("qdisc", "show", "dev", "eth0") == before
    assert "qosifb" not in lab.ip("-o", "link")
