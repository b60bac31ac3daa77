"""`qos demo`: without root, interrupted, and the delay of its path."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from linux_qdisc.lab.compare import RECEIVER, Path3, Scenario, jain_index, running
from schedulers.packet.limits import DEFAULT_POLICY

pytestmark = pytest.mark.netns
NOBODY = 65_534
SHORT = ["--rate", "10mbit", "--flow", "cubic:2", "--duration", "2s", "--rtt", "10ms"]
COLUMNS = {"queue", "throughput_bps", "utilisation", "jain", "delay_mean_s", "delay_p99_s", "drops"}


class Run:
    """One demo in a folder of its own, whose processes are known by a mark in their environment."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="qos-test-demo-"))
        self.folder.chmod(0o777)
        self.scratch = self.folder / "tmp"
        self.scratch.mkdir()
        self.scratch.chmod(0o777)
        self.mark = f"QOS_TEST_MARK={uuid.uuid4().hex}".encode()
        name, _, value = self.mark.decode().partition("=")
        self.environment = environment | {
            name: value,
            "TMPDIR": str(self.scratch),
            "HOME": str(self.folder),
            "MPLCONFIGDIR": str(self.folder / "mpl"),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self.interfaces = sorted(os.listdir("/sys/class/net"))

    def start(
        self, *words: str, prefix: tuple[str, ...] = (), python: str = sys.executable
    ) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*prefix, python, "-m", "qos", "demo", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
            cwd=self.folder,
        )

    def processes(self) -> list[int]:
        found = []
        for entry in os.listdir("/proc"):
            try:
                if entry.isdigit() and self.mark in Path("/proc", entry, "environ").read_bytes():
                    found.append(int(entry))
            except OSError:
                continue
        return found

    def left_behind(self) -> tuple[list[int], list[str], list[str]]:
        """Processes, interfaces and files that should be gone."""
        deadline = time.monotonic() + 3.0
        while self.processes() and time.monotonic() < deadline:
            time.sleep(0.05)
        new = [name for name in sorted(os.listdir("/sys/class/net")) if name not in self.interfaces]
        return self.processes(), new, sorted(path.name for path in self.scratch.iterdir())

    def close(self) -> None:
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.folder)


@pytest.fixture
def run(installed_environment: dict[str, str]) -> Iterator[Run]:
    made = Run(installed_environment)
    yield made
    made.close()


def interpreters() -> tuple[str, ...]:
    return sys.executable, f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"


def may_start(run: Run, user: tuple[str, ...], python: str) -> bool:
    """Whether another user can start this Python from a program of theirs, and import the package."""
    words = [*user, "sh", "-c", 'exec "$0" -c "import qos.cli.demo, numpy"', python]
    return subprocess.run(words, env=run.environment, capture_output=True, check=False).returncode == 0


def test_it_runs_without_root_and_says_what_the_issue_promises(run: Run) -> None:
    """As nobody, in a user namespace of its own: classic BPF, no /dev/net/tun, no /run."""
    if shutil.which("setpriv") is None:
        pytest.skip("needs setpriv")
    nobody = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
    run.environment["PYTHONPATH"] = os.pathsep.join([run.environment["PYTHONPATH"], *sys.path[1:]])
    python = next((path for path in interpreters() if may_start(run, nobody, path)), None)
    if python is None:
        pytest.skip("another user may not run this Python or read the package under test")
    allowed = [*nobody, "unshare", "--user", "--net", "true"]
    may = subprocess.run(allowed, capture_output=True, check=False).returncode == 0
    process = run.start(*SHORT, "--json", "--plot", "demo.png", prefix=nobody, python=python)
    said, complaint = process.communicate(timeout=90)
    if not may:
        assert process.returncode == 5
        assert complaint.count("\n") == 1
        assert "user namespaces" in complaint
        pytest.skip(complaint.strip())
    assert process.returncode == 0, complaint
    document = json.loads(said)
    rows = document["rows"]
    assert document["schema"] == 1
    assert all(row.keys() == COLUMNS for row in rows)
    assert "one BDP" in rows[0]["queue"]
    assert "FIFO" in rows[0]["queue"]
    assert "1000 packets" in rows[1]["queue"]
    assert DEFAULT_POLICY in rows[-1]["queue"]
    for row in rows:
        assert 0.5 <= row["utilisation"] <= 1.03
        assert 0.5e7 <= row["throughput_bps"] <= 1e7
        assert 0.5 <= row["jain"] <= 1.0
        assert 0 <= row["delay_mean_s"] <= row["delay_p99_s"] < 2.0
        assert row["drops"] >= 0
    assert (run.folder / "demo.png").read_bytes().startswith(b"\x89PNG")
    assert run.left_behind() == ([], [], [])


@pytest.mark.parametrize("after_s", [0.15, 0.7, 2.5])
@pytest.mark.parametrize("number", [signal.SIGINT])
def test_ctrl_c_at_any_moment_leaves_nothing_behind(run: Run, number: int, after_s: float) -> None:
    process = run.start(*SHORT, "--json", "--no-plot")
    time.sleep(after_s)
    process.send_signal(number)
    said, complaint = process.communicate(timeout=20)
    assert run.left_behind() == ([], [], [])
    assert said == ""
    assert process.returncode in (130, -number)
    assert "Traceback" not in complaint or after_s < 0.5, complaint  # Python itself may not be up yet


def test_sigterm_leaves_nothing_behind(run: Run) -> None:
    process = run.start(*SHORT, "--json", "--no-plot")
    time.sleep(1.5)
    process.send_signal(signal.SIGTERM)
    _said, complaint = process.communicate(timeout=20)
    assert "Traceback" not in complaint
    assert run.left_behind() == ([], [], [])


@pytest.mark.parametrize("rtt_s", [0.02, 0.08])
def test_the_path_has_the_delay_that_it_was_asked_for(rtt_s: float) -> None:
    echo = (
        "import socket\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 7)); print('ready', flush=True)\n"
        "while True: s.sendto(*s.recvfrom(2048))"
    )
    probe = (
        "import json, socket, time\n"
        f"s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(('{RECEIVER}', 7))\n"
        "s.settimeout(2)\n"
        "found = []\n"
        "for _ in range(12):\n"
        "    start = time.monotonic(); s.send(bytes(56)); s.recv(2048)\n"
        "    found.append(time.monotonic() - start)\n"
        "print(json.dumps(found))"
    )
    scenario = Scenario(10_000_000, rtt_s, ("cubic",), 2.0, 0.5)
    with (
        Path3(scenario) as path,
        running(path.receiver, [sys.executable, "-c", echo], "ready"),
        running(path.sender, [sys.executable, "-c", probe]) as sender,
    ):
        said, _ = sender.communicate(timeout=20)
    # The first probe waits for addresses to be resolved.
    times = json.loads(said)[1:]
    print("round trips in ms", np.percentile(times, (0, 50, 100)) * 1e3)
    assert np.median(times) == pytest.approx(rtt_s, rel=0.1)


def test_jains_index_is_what_its_paper_says() -> None:
    """Jain, Chiu and Hawe 1984: equal shares 1, one of n flows takes all 1/n, k of n share k/n."""
    assert jain_index([5.0] * 8) == pytest.approx(1.0)
    assert jain_index([1.0, 0.0, 0.0, 0.0]) == pytest.approx(0.25)
    assert jain_index([3.0, 3.0, 0.0]) == pytest.approx(2 / 3)
    assert jain_index([0.0, 0.0]) == 0.0


def test_nothing_with_threads_is_imported_before_the_user_namespace(run: Run) -> None:
    """unshare(CLONE_NEWUSER) is refused to a process with threads, and numpy starts some."""
    script = "import linux_qdisc.lab.namespaces, qos.cli.demo, sys; sys.exit('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], env=run.environment, check=False)
    assert done.returncode == 0
