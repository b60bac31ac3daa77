"""`qos watch` and `qos status` on the real kernel: both directions, flows by name."""

from __future__ import annotations

import ipaddress
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_attach_kernel import Lab, pytestmark  # noqa: F401

from linux_qdisc.bpf.flowmap import FlowKey
from linux_qdisc.monitor import flow_text

A4, B4 = ipaddress.ip_address("10.0.0.1"), ipaddress.ip_address("10.0.0.2")
A6, B6 = ipaddress.ip_address("fd00::1"), ipaddress.ip_address("fd00::2")


@pytest.fixture
def lab(tmp_path: Path, installed_environment: dict[str, str]) -> Iterator[Lab]:
    made = Lab(tmp_path, installed_environment)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("key", "isolate", "text"),
    [
        (FlowKey(A4, B4, 5000, 443, 6), "flow", "tcp 10.0.0.1:5000 > 10.0.0.2:443"),
        (FlowKey(A6, B6, 5000, 53, 17), "flow", "udp [fd00::1]:5000 > [fd00::2]:53"),
        (FlowKey(A4, B4, 0, 0, 1), "flow", "icmp 10.0.0.1 > 10.0.0.2"),
        (FlowKey(A4, B4, 0, 0, 47), "flow", "proto 47 10.0.0.1 > 10.0.0.2"),
        (FlowKey(A6, B6, 0, 0, 0), "flow", "ip fd00::1 > fd00::2"),
        (FlowKey(A4, B4, 0, 0, 0), "source-host", "10.0.0.1"),
        (FlowKey(A6, B6, 0, 0, 0), "destination-host", "fd00::2"),
    ],
)
def test_a_flow_is_named_as_people_write_it(key: FlowKey, isolate: str, text: str) -> None:
    assert flow_text(key, isolate) == text


def sender(lab: Lab, device: str, source: str, destination: str) -> subprocess.Popen[bytes]:
    """Send UDP of two flows from `device` until it is killed."""
    script = (
        "import time\nfrom scapy.all import *\n"
        f"s = conf.L2socket({device!r})\n"
        "e = Ether(src='02:00:00:00:00:01', dst='02:00:00:00:00:02')\n"
        f"p = [e / IP(src={source!r}, dst={destination!r}) / UDP(sport=3000 + i, dport=9) / bytes(900)"
        " for i in range(2)]\n"
        "while True: [s.send(x) for x in p]; time.sleep(0.004)"
    )
    words = ["ip", "netns", "exec", lab.name, sys.executable, "-W", "ignore", "-c", script]
    return subprocess.Popen(words, env=lab.environment)


def watched(lab: Lab, *wanted: str) -> dict[tuple[str, str], dict[str, Any]]:
    """Watch until each wanted flow was seen; rows by direction and name."""
    seen: dict[tuple[str, str], dict[str, Any]] = {}
    for _ in range(40):
        for row in json.loads(lab.qos("watch", "v0", "--json", "--interval", "200ms"))["flows"]:
            seen |= {(row["direction"], name): row for name in row["flows"]}
        if {name for _, name in seen} >= set(wanted):
            return seen
    raise AssertionError((wanted, seen))


def test_watch_names_the_flows_of_both_directions_and_status_counts_them(lab: Lab) -> None:
    lab.qos("attach", "v0", "--rate", "2mbit", "--ingress", "1mbit", "--flows", "16")
    with (
        sender(lab, "v0", "10.0.0.1", "10.0.0.2") as going,
        sender(lab, "v1", "10.0.0.2", "10.0.0.1") as coming,
    ):
        try:
            out = [f"udp 10.0.0.1:{3000 + i} > 10.0.0.2:9" for i in range(2)]
            back = [f"udp 10.0.0.2:{3000 + i} > 10.0.0.1:9" for i in range(2)]
            rows = watched(lab, *out, *back)
            assert set(rows) == {("egress", name) for name in out} | {("ingress", name) for name in back}
            table = lab.qos("watch", "v0", "--count", "1", "--interval", "200ms", "--no-color")
            row = json.loads(lab.qos("status", "v0", "--json"))["interfaces"][0]
        finally:
            going.kill()
            coming.kill()
    assert [title in table for title in ("queue", "flow", "out", "in")] == [True] * 4
    assert row["standing"]
    assert row["ingress"]["standing"]
    assert row["sent_bytes"] > 0
    assert row["ingress"]["sent_bytes"] > 0
    assert lab.qos("status", "v0").count(" lfq ") == 2


def test_hosts_are_named_where_they_are_isolated(lab: Lab) -> None:
    lab.qos("attach", "v0", "--rate", "2mbit", "--flows", "16", "--isolate", "destination-host")
    with sender(lab, "v0", "10.0.0.1", "10.0.0.2") as going:
        try:
            assert set(watched(lab, "10.0.0.2")) == {("egress", "10.0.0.2")}
        finally:
            going.kill()


def test_status_says_when_controller_or_tree_are_gone(lab: Lab) -> None:
    lab.qos("attach", "v0", "--rate", "2mbit", "--flows", "16")
    os.kill(lab.controller(), signal.SIGKILL)
    row = json.loads(lab.qos("status", "v0", "--json"))["interfaces"][0]
    assert (row["controlled"], row["standing"]) == (False, True)
    lab.tc("qdisc", "del", "dev", "v0", "root")
    assert not json.loads(lab.qos("status", "v0", "--json"))["interfaces"][0]["standing"]
    assert "removed" in lab.qos("status")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["watch", "nosuch"], 2, "nosuch"),
        (["watch", "v0"], 1, "no queue of ours"),
        (["watch", "v0", "--interval", "fast"], 2, "interval"),
        (["watch", "v0", "--flows", "0"], 2, "flows"),
        (["watch", "v0", "--count", "0"], 2, "count"),
        (["watch"], 2, "DEV"),
        (["status", "nosuch"], 2, "nosuch"),
        (["status", "v0"], 1, "no queue of ours"),
        (["detach", "nosuch"], 2, "nosuch"),
        (["detach", "v0"], 1, "no queue of ours"),
        (["detach"], 2, "DEV"),
        (["doctor", "nosuch"], 2, "nosuch"),
    ],
)
def test_bad_input_of_the_other_verbs_is_one_line(lab: Lab, words: list[str], code: int, said: str) -> None:
    message = lab.qos(*words, code=code)
    assert said in message
    assert message.count("\n") == 1
