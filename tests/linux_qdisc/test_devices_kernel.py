"""Devices other than a plain one: many transmit queues, VLAN, tunnels; the dry run as what it stands for."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_attach_kernel import Lab, send_flows, used_classes
from test_bpf_classic import program_for
from test_bpf_classic import run as interpret

pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(shutil.which("tc") is None, reason="needs iproute2 to look at the kernel"),
]


@pytest.fixture
def lab(tmp_path: Path, installed_environment: dict[str, str]) -> Iterator[Lab]:
    made = Lab(tmp_path, installed_environment)
    yield made
    made.close()


def has_device(lab: Lab, name: str, *words: str) -> None:
    done = lab.run("ip", "link", "add", *words)
    if done.returncode:
        pytest.skip(f"this kernel makes no {name}: {done.stderr.strip()}")


def shown(lab: Lab, device: str) -> tuple[str, ...]:
    """Qdiscs and classes of a device, in an order that does not depend on hashes."""
    text = lab.tc("qdisc", "show", "dev", device) + lab.tc("class", "show", "dev", device)
    text = re.sub(r"direct_packets_stat \d+ |refcnt \d+ ", "", text)
    return tuple(sorted(line.strip().replace(f" dev {device}", "") for line in text.splitlines()))


def without_bursts(line: str) -> str:
    return re.sub(r"burst \w+", "burst", line)


def bursts(lines: tuple[str, ...]) -> list[float]:
    units = {"b": 1.0, "Kb": 1024.0, "Mb": 1024.0**2}
    found = re.findall(r"burst (\d+)(\w+)", "\n".join(lines))
    return [int(number) * units[unit] for number, unit in found]


@pytest.mark.parametrize(
    "words",
    [
        ("--rate", "3333333bit", "--policy", "fixed:77kb"),
        ("--rate", "40gbit", "--offloads", "off"),
        ("--rate", "10mbit", "--overhead", "44", "--mpu", "64", "--linklayer", "atm"),
    ],
    ids=["fixed", "fast", "atm"],
)
def test_the_replayed_dry_run_gives_the_tree_that_attach_makes(lab: Lab, words: tuple[str, ...]) -> None:
    lines = lab.qos("attach", "v0", "--flows", "4", *words, "--dry-run").splitlines()
    replay = "set -e\n" + "\n".join(line for line in lines if not line.startswith("ethtool"))
    done = lab.run("sh", "-c", replay)
    assert done.returncode == 0, done.stderr
    replayed = shown(lab, "v0")
    lab.tc("qdisc", "del", "dev", "v0", "root")
    lab.qos("attach", "v0", "--flows", "4", *words)
    attached = shown(lab, "v0")
    assert [without_bursts(line) for line in attached] == [without_bursts(line) for line in replayed]
    # tc counts a burst in whole microseconds.
    assert bursts(attached) == pytest.approx(bursts(replayed), rel=2e-3)


def test_the_replayed_dry_run_of_a_reload_does_what_the_reload_does(lab: Lab) -> None:
    lab.qos("attach", "v0", "--flows", "4", "--rate", "10mbit")
    wish = ("--flows", "8", "--rate", "20mbit", "--policy", "fixed:90kb")
    lines = lab.qos("attach", "v0", *wish, "--dry-run").splitlines()
    lab.qos("attach", "v0", *wish)
    reloaded = shown(lab, "v0")
    lab.qos("detach", "v0")
    lab.qos("attach", "v0", "--flows", "4", "--rate", "10mbit")
    done = lab.run("sh", "-c", "set -e\n" + "\n".join(lines))
    assert done.returncode == 0, done.stderr
    assert shown(lab, "v0") == reloaded


def test_the_classic_classifier_sorts_in_the_kernel_as_it_does_here(lab: Lab) -> None:
    from scapy.layers.inet import IP, UDP
    from scapy.layers.inet6 import IPv6
    from scapy.layers.l2 import Ether

    lines = lab.qos("attach", "v0", "--rate", "1gbit", "--flows", "64", "--dry-run").splitlines()
    assert lab.run("sh", "-c", "set -e\n" + "\n".join(lines)).returncode == 0
    send_flows(lab, 40, 1)
    program, expected = program_for(flows=64), dict.fromkeys(range(0), 0)
    for number in range(40):
        header = IP(src="10.0.0.1", dst="10.0.0.2") if number % 2 else IPv6(src="fd00::1", dst="fd00::2")
        packet = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / header
        minor = interpret(program, bytes(packet / UDP(sport=3000 + number, dport=9))) & 0xFFFF
        expected[minor] = expected.get(minor, 0) + 1
    assert {int(minor, 16): packets for minor, packets in used_classes(lab).items()} == expected


def filters(lab: Lab) -> list[str]:
    return sorted(re.sub(r" fh \S+", "", line) for line in lab.tc("filter", "show", "dev", "v0").splitlines())


@pytest.mark.parametrize("flows", ["64", "512"])
def test_the_tables_of_u32_sort_and_are_exchanged_and_replayed(lab: Lab, tmp_path: Path, flows: str) -> None:
    words = ("attach", "v0", "--rate", "1gbit", "--flows", flows, "--classifier", "u32")
    batch = tmp_path / "batch"
    batch.write_text(re.sub(r"(?m)^tc ", "", lab.qos(*words, "--dry-run")))
    done = lab.run("tc", "-batch", str(batch))
    if "not found" in done.stderr:
        pytest.skip(f"this kernel has no cls_u32: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    replayed = filters(lab)
    lab.tc("qdisc", "del", "dev", "v0", "root")
    lab.qos(*words)
    assert filters(lab) == replayed
    send_flows(lab, 40, 3)
    assert sorted(used_classes(lab).values()) == [3] * 40
    lab.qos(*words[:-2], "--isolate", "source-host")
    assert "u32" not in lab.tc("filter", "show", "dev", "v0")
    lab.qos(*words)
    assert filters(lab) == replayed
    lab.qos("detach", "v0")


def test_the_kernels_own_hash_sorts_and_is_replayed(lab: Lab) -> None:
    words = ("attach", "v0", "--rate", "1gbit", "--flows", "64", "--classifier", "flow")
    lines = lab.qos(*words, "--dry-run").splitlines()
    done = lab.run("sh", "-c", "set -e\n" + "\n".join(lines))
    if "not found" in done.stderr:
        pytest.skip(f"this kernel has no cls_flow: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    replayed = filters(lab)
    lab.tc("qdisc", "del", "dev", "v0", "root")
    lab.qos(*words)
    assert filters(lab) == replayed
    send_flows(lab, 40, 3)
    used = used_classes(lab)
    assert sum(used.values()) == 120
    assert all(packets % 3 == 0 for packets in used.values())  # no flow is split
    assert len(used) >= 15
    lab.qos("detach", "v0")


@pytest.mark.parametrize("isolate", ["source-host", "destination-host"])
def test_hosts_share_a_queue_each_when_hosts_are_isolated(lab: Lab, isolate: str) -> None:
    lab.qos("attach", "v0", "--rate", "1gbit", "--flows", "64", "--isolate", isolate)
    send_flows(lab, 40, 1)
    assert sorted(used_classes(lab).values()) == [20, 20]
    assert "name qos_flows" in lab.tc("filter", "show", "dev", "v0")  # eBPF, not the fallback


def test_a_device_with_many_queues_gets_one_tree_and_its_mq_back(lab: Lab) -> None:
    lab.ip("link", "del", "v0")
    lab.ip("link", "add", "v0", "numtxqueues", "4", "type", "veth", "peer", "name", "v1")
    for device in ("v0", "v1"):
        lab.ip("link", "set", device, "up")
    if lab.run("tc", "qdisc", "add", "dev", "v0", "root", "handle", "5:", "mq").returncode:
        pytest.skip("this kernel has no mq")
    before = shown(lab, "v0")
    assert "--force" in lab.qos("attach", "v0", "--rate", "1gbit", "--flows", "64", code=1)
    lab.qos("attach", "v0", "--rate", "1gbit", "--flows", "64", "--force")
    send_flows(lab, 64, 2)
    assert sorted(used_classes(lab).values()) == [2] * 64
    lab.qos("detach", "v0")
    assert shown(lab, "v0") == before


def test_a_vlan_device_gets_a_tree_and_gives_it_back(lab: Lab) -> None:
    has_device(lab, "vlan", "link", "v0", "name", "v0.5", "type", "vlan", "id", "5")
    lab.ip("link", "set", "v0.5", "up")
    before = shown(lab, "v0.5")
    lab.qos("attach", "v0.5", "--rate", "10mbit", "--flows", "16")
    lab.ip("address", "add", "10.8.0.1/24", "dev", "v0.5")
    lab.ip("neigh", "add", "10.8.0.2", "lladdr", "02:00:00:00:00:02", "dev", "v0.5")
    script = (
        "import socket\n"
        "for port in range(5000, 5008):\n"
        "    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', port))\n"
        "    s.sendto(bytes(9), ('10.8.0.2', 9))"
    )
    assert lab.run(sys.executable, "-c", script).returncode == 0
    text = lab.tc("-s", "class", "show", "dev", "v0.5")
    assert len(re.findall(r"class htb 71:1\w parent 71:1.*?\n Sent \d+ bytes 1 pkt", text)) == 8
    lab.qos("detach", "v0.5")
    assert shown(lab, "v0.5") == before


def test_the_flows_inside_a_tunnel_device_are_seen(lab: Lab) -> None:
    done = lab.run("ip", "tuntap", "add", "t0", "mode", "tun")
    if done.returncode:
        pytest.skip(f"no tun here: {done.stderr.strip()}")
    lab.ip("address", "add", "10.8.0.1/24", "dev", "t0")
    lab.ip("link", "set", "t0", "up")
    lab.qos("attach", "t0", "--rate", "10mbit", "--flows", "16")
    script = (
        "import fcntl, os, socket, struct, time\n"
        "tun = os.open('/dev/net/tun', os.O_RDWR)\n"
        "fcntl.ioctl(tun, 0x400454ca, struct.pack('16sH14x', b't0', 0x1001))\n"
        # The kernel puts the qdisc to work a moment after the carrier came.
        "while open('/sys/class/net/t0/operstate').read().strip() == 'down': time.sleep(0.01)\n"
        "time.sleep(0.1)\n"
        "for port in [*range(5000, 5008)] * 3:\n"
        "    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', port))\n"
        "    s.sendto(bytes(9), ('10.8.0.2', 9)); s.close()\n"
        "time.sleep(0.1)\n"
    )
    done = lab.run("timeout", "20", sys.executable, "-c", script)
    assert done.returncode == 0, done.stderr
    text = lab.tc("-s", "class", "show", "dev", "t0")
    assert len(re.findall(r"class htb 71:1\w parent 71:1.*?\n Sent \d+ bytes 3 pkt", text)) == 8
    lab.qos("detach", "t0")
