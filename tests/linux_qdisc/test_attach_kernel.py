"""`qos attach`, `status` and `detach` on the real kernel, in a namespace of the test's own."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(shutil.which("tc") is None, reason="needs iproute2 to look at the kernel"),
]


class Lab:
    """A namespace with one veth pair, and the command inside it."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.name = f"qos-test-{uuid.uuid4().hex[:8]}"
        self.environment = environment | {"QOS_STATE_DIR": str(folder / "state")}
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        # No neighbour discovery or multicast reports among the packets that are counted.
        self.run("sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6")
        self.ip("link", "add", "v0", "type", "veth", "peer", "name", "v1")
        for device in ("lo", "v0", "v1"):
            self.ip("link", "set", device, "up")

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = ["ip", "netns", "exec", self.name, *words]
        return subprocess.run(command, capture_output=True, text=True, env=self.environment, check=False)

    def ip(self, *words: str) -> str:
        done = self.run("ip", *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def tc(self, *words: str) -> str:
        done = self.run("tc", *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def qos(self, *words: str, code: int = 0) -> str:
        done = self.run(sys.executable, "-m", "qos", *words)
        assert done.returncode == code, (done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        return done.stderr if code else done.stdout

    def controller(self) -> int:
        return int(json.loads(self.qos("status", "--json"))["interfaces"][0]["pid"])

    def close(self) -> None:
        self.run(sys.executable, "-m", "qos", "detach", "v0")
        subprocess.run(["ip", "netns", "del", self.name], check=True)


@pytest.fixture
def lab(tmp_path: Path, installed_environment: dict[str, str]) -> Iterator[Lab]:
    made = Lab(tmp_path, installed_environment)
    yield made
    made.close()


def send_flows(lab: Lab, count: int, packets: int) -> None:
    """Send UDP packets of `count` flows, half of them IPv6, out of v0."""
    script = "\n".join(
        (
            "from scapy.all import *",
            "s = conf.L2socket('v0')",
            "e = Ether(src='02:00:00:00:00:01', dst='02:00:00:00:00:02')",
            "v4, v6 = IP(src='10.0.0.1', dst='10.0.0.2'), IPv6(src='fd00::1', dst='fd00::2')",
            f"for i in [*range({count})] * {packets}:",
            "    s.send(e / (v4 if i % 2 else v6) / UDP(sport=3000 + i, dport=9) / bytes(100))",
        )
    )
    done = lab.run(sys.executable, "-W", "ignore", "-c", script)
    assert done.returncode == 0, done.stderr


def used_classes(lab: Lab) -> dict[str, int]:
    text = lab.tc("-s", "class", "show", "dev", "v0")
    rows = re.findall(r"class htb 71:(\w+) parent 71:1.*?\n Sent \d+ bytes (\d+) pkt", text)
    return {minor: int(packets) for minor, packets in rows if int(packets) and minor != "f"}


def test_attach_builds_the_tree_and_detach_restores_the_default(lab: Lab) -> None:
    before = lab.tc("qdisc", "show", "dev", "v0")
    lab.qos("attach", "v0", "--rate", "10mbit", "--flows", "64")
    assert "htb 71:" in lab.tc("qdisc", "show", "dev", "v0")
    assert lab.tc("class", "show", "dev", "v0").count("leaf") == 65
    lab.qos("detach", "v0")
    assert lab.tc("qdisc", "show", "dev", "v0") == before


def test_512_flows_of_both_ip_versions_each_get_one_queue_of_their_own(lab: Lab) -> None:
    lab.qos("attach", "v0", "--rate", "1gbit")
    send_flows(lab, 512, 2)
    assert sorted(used_classes(lab).values()) == [2] * 512


def test_a_foreign_root_is_refused_and_with_force_comes_back(lab: Lab) -> None:
    lab.tc(
        "qdisc",
        "add",
        "dev",
        "v0",
        "root",
        "handle",
        "5:",
        "tbf",
        "rate",
        "5mbit",
        "burst",
        "5k",
        "limit",
        "9k",
    )
    before = lab.tc("qdisc", "show", "dev", "v0")
    assert "--force" in lab.qos("attach", "v0", "--rate", "10mbit", code=1)
    assert lab.tc("qdisc", "show", "dev", "v0") == before
    lab.qos("attach", "v0", "--rate", "10mbit", "--flows", "16", "--force")
    lab.qos("detach", "v0")
    assert lab.tc("qdisc", "show", "dev", "v0") == before


def test_a_foreign_tree_of_classes_and_filters_comes_back(lab: Lab) -> None:
    lab.tc("qdisc", "add", "dev", "v0", "root", "handle", "1:", "htb", "default", "20")
    lab.tc("class", "add", "dev", "v0", "parent", "1:", "classid", "1:1", "htb", "rate", "9mbit")
    lab.tc(
        "class",
        "add",
        "dev",
        "v0",
        "parent",
        "1:1",
        "classid",
        "1:20",
        "htb",
        "rate",
        "1mbit",
        "ceil",
        "9mbit",
    )
    lab.tc("qdisc", "add", "dev", "v0", "parent", "1:20", "handle", "20:", "bfifo", "limit", "30000")

    def shown() -> list[str]:
        return sorted(
            (lab.tc("qdisc", "show", "dev", "v0") + lab.tc("class", "show", "dev", "v0")).splitlines()
        )

    before = shown()
    lab.qos("attach", "v0", "--rate", "10mbit", "--flows", "16", "--force")
    lab.qos("detach", "v0")
    assert shown() == before


def test_a_reload_changes_the_tree_in_place_and_keeps_the_counters(lab: Lab) -> None:
    lab.qos("attach", "v0", "--rate", "1gbit", "--flows", "64", "--policy", "fixed:80kb")
    send_flows(lab, 8, 5)
    before = used_classes(lab)
    pid = lab.controller()
    lab.qos("attach", "v0", "--rate", "500mbit", "--flows", "64", "--policy", "fixed:90kb")
    assert "limit 90Kb" in lab.tc("qdisc", "show", "dev", "v0")
    assert "ceil 500Mbit" in lab.tc("class", "show", "dev", "v0")
    assert (used_classes(lab), lab.controller()) == (before, pid)


def test_queued_packets_survive_a_reload_and_a_smaller_limit(lab: Lab) -> None:
    lab.qos("attach", "v0", "--rate", "64kbit", "--flows", "16", "--policy", "fixed:100kb")
    send_flows(lab, 1, 60)
    lab.qos("attach", "v0", "--rate", "10mbit", "--flows", "16", "--policy", "fixed:70kb")
    deadline = time.monotonic() + 10
    while sum(used_classes(lab).values()) < 60 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert sum(used_classes(lab).values()) == 60


def test_kill_9_leaves_the_tree_and_the_next_attach_and_detach_recover(lab: Lab) -> None:
    before = lab.tc("qdisc", "show", "dev", "v0")
    lab.qos("attach", "v0", "--rate", "10mbit", "--flows", "64")
    os.kill(lab.controller(), signal.SIGKILL)
    assert "htb 71:" in lab.tc("qdisc", "show", "dev", "v0")
    lab.qos("attach", "v0", "--rate", "20mbit", "--flows", "64")
    assert "ceil 20Mbit" in lab.tc("class", "show", "dev", "v0")
    os.kill(lab.controller(), signal.SIGKILL)
    lab.qos("detach", "v0")
    assert lab.tc("qdisc", "show", "dev", "v0") == before


def test_ingress_goes_through_a_tree_of_its_own_and_is_removed(lab: Lab) -> None:
    before = (lab.tc("qdisc", "show", "dev", "v0"), lab.ip("-o", "link").count("\n"))
    lab.qos("attach", "v0", "--rate", "10mbit", "--ingress", "5mbit", "--flows", "16")
    ifb = next(name for name in lab.ip("-o", "link").split() if name.startswith("qosifb")).rstrip(":")
    lab.ip("address", "add", "10.9.9.1/24", "dev", "v1")
    lab.run("ping", "-c", "1", "-W", "1", "10.9.9.2")
    assert "ceil 5Mbit" in lab.tc("class", "show", "dev", ifb)
    lab.qos("detach", "v0")
    assert (lab.tc("qdisc", "show", "dev", "v0"), lab.ip("-o", "link").count("\n")) == before


def test_a_second_foreground_controller_is_refused(lab: Lab) -> None:
    lab.qos("attach", "v0", "--rate", "10mbit", "--flows", "16")
    assert "controlled" in lab.qos("attach", "v0", "--rate", "9mbit", "--foreground", code=1)


def test_the_controller_ends_with_a_message_when_the_interface_disappears(lab: Lab) -> None:
    command = ["ip", "netns", "exec", lab.name, sys.executable, "-m", "qos", "attach", "v0"]
    command += ["--rate", "10mbit", "--flows", "16", "--foreground"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=lab.environment) as process:
        deadline = time.monotonic() + 10
        while "htb 71:" not in lab.tc("qdisc", "show", "dev", "v0") and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.3)
        lab.ip("link", "del", "v0")
        _, said = process.communicate(timeout=10)
    lab.ip("link", "add", "v0", "type", "veth", "peer", "name", "v1")
    assert process.returncode == 1
    assert "v0 has disappeared" in said


def test_the_dry_run_can_be_replayed_by_a_shell(lab: Lab) -> None:
    lines = lab.qos("attach", "v0", "--rate", "10mbit", "--flows", "4", "--dry-run").splitlines()
    assert "noqueue" in lab.tc("qdisc", "show", "dev", "v0")
    for line in lines:
        done = lab.run("sh", "-c", line)
        assert done.returncode == 0, (line, done.stderr)
    assert lab.tc("class", "show", "dev", "v0").count("leaf") == 5


BAD = [
    (["nosuch", "--rate", "1mbit"], 2, "nosuch"),
    (["v0", "--rate", "0"], 2, "rate"),
    (["v0", "--rate", "-5mbit"], 2, "rate"),
    (["v0", "--rate", "9999tbit"], 2, "rate"),
    (["v0", "--rate", "fast"], 2, "rate"),
    (["v0", "--rate", "1mbit", "--flows", "1000"], 2, "power of two"),
    (["v0", "--rate", "1mbit", "--flows", "65536"], 2, "power of two"),
    (["v0", "--rate", "1mbit", "--policy", "sawtoot"], 2, "sawtooth"),
    (["v0", "--rate", "1mbit", "--policy", "fixed:"], 2, "size"),
    (["v0", "--rate", "1mbit", "--interval", "5"], 2, "unit"),
    (["v0", "--rate", "1mbit", "--linklayer", "token-ring"], 2, "linklayer"),
    (["v0", "--rate", "1mbit", "--overhead", "5"], 2, "overhead"),
]


@pytest.mark.parametrize(("words", "code", "said"), BAD)
def test_bad_input_is_refused_in_one_line_and_changes_nothing(
    lab: Lab, words: list[str], code: int, said: str
) -> None:
    before = lab.tc("qdisc", "show", "dev", "v0")
    message = lab.qos("attach", *words, code=code)
    assert said in message
    assert message.count("\n") == 1
    assert lab.tc("qdisc", "show", "dev", "v0") == before


def test_without_cap_net_admin_nothing_changes_and_the_exit_code_is_5(lab: Lab) -> None:
    if shutil.which("setpriv") is None:
        pytest.skip("needs setpriv")
    words = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", sys.executable, "-m", "qos"]
    done = lab.run(*words, "attach", "v0", "--rate", "1mbit")
    assert (done.returncode, "CAP_NET_ADMIN" in done.stderr) == (5, True)
    assert "noqueue" in lab.tc("qdisc", "show", "dev", "v0")


def test_a_host_file_gives_the_flags_and_the_line_wins(lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "v0.yaml"
    path.write_text("rate: 10mbit\nflows: 16\npolicy: fixed:80kb\n")
    lab.qos("attach", "v0", "--config", str(path), "--rate", "20mbit")
    assert "ceil 20Mbit" in lab.tc("class", "show", "dev", "v0")
    assert lab.tc("class", "show", "dev", "v0").count("leaf") == 17


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"rate: [", "YAML"),
        (b"rat: 1mbit", "unknown key"),
        (b"\xff\x00", "YAML"),
        (b"- 1", "keys and values"),
        (b"gro_off: v0", "list"),
        (b"rate: {a: 1}", "rate: {'a': 1}"),
    ],
)
def test_a_malformed_host_file_is_refused(lab: Lab, tmp_path: Path, text: bytes, said: str) -> None:
    path = tmp_path / "v0.yaml"
    path.write_bytes(text)
    message = lab.qos("attach", "v0", "--config", str(path), code=1)
    assert str(path) in message
    assert said in message


def test_metrics_are_served_on_loopback(lab: Lab) -> None:
    lab.qos("attach", "v0", "--rate", "10mbit", "--flows", "16", "--metrics", ":9420")
    script = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:9420').read().decode())"
    assert 'qos_backlog_bytes{device="v0"}' in lab.run(sys.executable, "-c", script).stdout
