"""What a controller takes over, replaces, leads back and leaves behind, on the real kernel."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from test_attach_kernel import Lab, pytestmark, send_flows, used_classes  # noqa: F401

from linux_qdisc import encode, ethtool, namespace, state, wire
from linux_qdisc.device import device_facts
from linux_qdisc.kernel import Kernel
from linux_qdisc.lab.namespaces import Namespace, join
from linux_qdisc.operations import AddIfb, AddRedirect, Operation
from linux_qdisc.rtnetlink import NetlinkSocket
from linux_qdisc.session import Session
from linux_qdisc.settings import QueueSettings
from linux_qdisc.snapshot import ingress_snapshot, snapshot
from qos.errors import InputError, KernelError, MissingPieceError


@pytest.fixture
def lab(tmp_path: Path, installed_environment: dict[str, str]) -> Iterator[Lab]:
    made = Lab(tmp_path, installed_environment)
    yield made
    made.close()


def eventually(lab: Lab, said: str, *words: str) -> None:
    deadline = time.monotonic() + 10
    while said not in (shown := lab.run(*words).stdout):
        assert time.monotonic() < deadline, shown
        time.sleep(0.05)


# Somebody else's ingress side


def ingress(lab: Lab) -> tuple[str, str]:
    """The ingress side without what only counts."""
    qdisc = [row for row in lab.tc("qdisc", "show", "dev", "v0").splitlines() if "ffff:" in row]
    filters = lab.tc("filter", "show", "dev", "v0", "ingress")
    return re.sub(r" refcnt \d+", "", "".join(qdisc)), re.sub(r"installed \d+ sec.*", "", filters)


FOREIGN = {
    "sqm's redirect": [
        "link add theirs type ifb",
        "qdisc add dev v0 handle ffff: ingress",
        "filter add dev v0 parent ffff: protocol all prio 10 u32 match u32 0 0 flowid 1:1 "
        "action mirred egress redirect dev theirs",
    ],
    "clsact": [
        "qdisc add dev v0 clsact",
        "filter add dev v0 ingress protocol ip prio 3 u32 match ip src 10.1.2.3/32 "
        "action mirred egress mirror dev v1",
        "filter add dev v0 egress protocol ip prio 4 u32 match ip dst 10.1.2.4/32 "
        "action mirred egress redirect dev v1",
    ],
    "empty": ["qdisc add dev v0 handle ffff: ingress"],
}


@pytest.mark.parametrize("lines", FOREIGN.values(), ids=FOREIGN.keys())
def test_a_foreign_ingress_is_refused_and_with_force_comes_back(lab: Lab, lines: list[str]) -> None:
    for line in lines:
        done = lab.run("ip" if line.startswith("link") else "tc", *line.split())
        if done.returncode:
            pytest.skip(f"this kernel has no such filter: {done.stderr.strip()}")
    before = ingress(lab)
    egress = lab.tc("filter", "show", "dev", "v0", "egress")
    words = ("attach", "v0", "--rate", "10mbit", "--ingress", "5mbit", "--flows", "16")
    assert "ingress qdisc" in lab.qos(*words, code=1)
    assert ingress(lab) == before
    assert "noqueue" in lab.tc("qdisc", "show", "dev", "v0")
    lab.qos(*words, "--force")
    assert "qosifb" in ingress(lab)[1]
    lab.qos("detach", "v0")
    assert ingress(lab) == before
    assert lab.tc("filter", "show", "dev", "v0", "egress") == egress


def received(device: str) -> int:
    words = ["ip", "-j", "-s", "link", "show", device]
    shown = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return int(json.loads(shown)[0]["stats64"]["rx"]["packets"])


@pytest.mark.parametrize("kind", ["bpf", "matchall", "u32", "flower"])
def test_incoming_packets_are_redirected_by_the_filter_that_there_is(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    def only_one(*words: Any) -> list[encode.Request]:
        return [request for request in every(*words) if wire.text(kind) in request[2]]

    every = encode.redirects
    monkeypatch.setattr(encode, "redirects", only_one)
    with closing(Namespace("near")) as near, closing(Namespace("far")) as far:
        for each in (near, far):  # no neighbour discovery among the packets that are counted
            each.sysctl("ipv6/conf/default/disable_ipv6", "1")
        join(near, "v0", far, "v1")
        with near.entered(), NetlinkSocket() as netlink:
            try:
                Kernel(netlink).apply([AddIfb("qosifb2"), AddRedirect("v0", "qosifb2")])
            except MissingPieceError as missing:
                pytest.skip(str(missing))
            found = ingress_snapshot(netlink, device_facts("v0").ifindex)
            assert found is not None
            assert [row.kind for row in found.filters] == [kind]
            assert found.is_ours
            with far.entered(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender:
                sender.bind(("v1", 0))
                sender.send(bytes(12) + b"\x08\x00" + bytes(46))
            assert received("qosifb2") == 1


def test_without_ingress_a_foreign_ingress_is_left_alone(lab: Lab) -> None:
    lab.tc("qdisc", "add", "dev", "v0", "handle", "ffff:", "ingress")
    before = ingress(lab)
    lab.qos("attach", "v0", "--rate", "10mbit", "--flows", "16")
    assert ingress(lab) == before
    lab.qos("detach", "v0")
    assert ingress(lab) == before


def test_a_reload_takes_a_foreign_ingress_with_force_and_another_gives_it_back(lab: Lab) -> None:
    lab.tc("qdisc", "add", "dev", "v0", "clsact")
    before = ingress(lab)
    plain = ("attach", "v0", "--rate", "10mbit", "--flows", "16")
    lab.qos(*plain)
    assert "clsact" in lab.qos(*plain, "--ingress", "5mbit", code=1)
    lab.qos(*plain, "--ingress", "5mbit", "--force")
    assert "qosifb" in ingress(lab)[1]
    lab.qos(*plain)
    assert ingress(lab) == before
    assert "qosifb" not in lab.ip("-o", "link")


# Offloads


def test_the_dry_run_prints_the_switching_of_offloads_and_does_not_do_it(lab: Lab) -> None:
    words = ("attach", "v0", "--rate", "10mbit", "--flows", "4", "--offloads", "off", "--gro-off", "v1")
    lines = lab.qos(*words, "--dry-run").splitlines()
    assert [line for line in lines if line.startswith("ethtool")] == [
        "ethtool -K v0 gso off",
        "ethtool -K v0 tso off",
    ] + ["ethtool -K v1 gro off"] * ("ethtool -K v1 gro off" in lines)
    again = lab.qos(*words, "--dry-run").splitlines()
    assert again == lines
    lab.qos(*words)
    assert lab.qos(*words, "--dry-run") == ""
    back = lab.qos("attach", "v0", "--rate", "10mbit", "--flows", "4", "--dry-run").splitlines()
    assert back[:2] == ["ethtool -K v0 gso on", "ethtool -K v0 tso on"]
    lab.qos("detach", "v0")
    assert lab.qos(*words, "--dry-run").splitlines() == lines


def offloads(lab: Lab, device: str) -> dict[str, bool | None]:
    script = f"import json; from linux_qdisc import ethtool; print(json.dumps(ethtool.read('{device}')))"
    done = lab.run(sys.executable, "-c", script)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_nothing_that_comes_in_is_merged_where_offloads_are_off(lab: Lab) -> None:
    for device in ("v0", "v1"):
        script = f"from linux_qdisc import ethtool; ethtool.switch('{device}', 'gro', on=True)"
        assert lab.run(sys.executable, "-c", script).returncode == 0
    before = offloads(lab, "v0")
    if not before["gro"]:
        pytest.skip("this kernel's veth has no GRO")
    words = ("attach", "v0", "--rate", "10mbit", "--flows", "4", "--offloads", "off")
    told = lab.run(sys.executable, "-m", "qos", *words, "--ingress", "5mbit").stderr
    assert told == ""  # nothing is forwarded here
    assert not any(offloads(lab, "v0").values())
    assert lab.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward").returncode == 0
    told = lab.run(sys.executable, "-m", "qos", *words).stderr
    assert "--gro-off v1" in told
    assert "qosifb" not in told
    assert offloads(lab, "v0")["gro"]
    assert lab.run(sys.executable, "-m", "qos", *words, "--gro-off", "v1").stderr == ""
    assert not offloads(lab, "v1")["gro"]
    lab.qos("detach", "v0")
    assert offloads(lab, "v0") == before
    assert offloads(lab, "v1")["gro"]


def test_an_unknown_gro_interface_is_refused_before_anything_changes(lab: Lab) -> None:
    message = lab.qos("attach", "v0", "--rate", "10mbit", "--gro-off", "nosuch", code=2)
    assert "nosuch" in message
    assert "noqueue" in lab.tc("qdisc", "show", "dev", "v0")


# Taking over after a crash


def test_the_next_controller_goes_on_with_the_same_classifier(lab: Lab) -> None:
    words = ("attach", "v0", "--rate", "10mbit", "--ingress", "5mbit", "--flows", "16")
    lab.qos(*words)
    filters = lab.tc("filter", "show", "dev", "v0")
    send_flows(lab, 4, 3)
    used = used_classes(lab)
    os.kill(lab.controller(), signal.SIGKILL)
    lab.qos(*words)
    assert lab.tc("filter", "show", "dev", "v0") == filters
    send_flows(lab, 8, 3)
    both = used_classes(lab)
    if " id " in filters:  # with classic BPF flows may meet
        assert len(used) == 4
        assert set(both.values()) <= {3, 6}
        assert sum(both.values()) == 12 * 3


def test_an_interface_that_disappears_takes_its_ifb_along(lab: Lab) -> None:
    lab.qos("attach", "v0", "--rate", "10mbit", "--ingress", "5mbit", "--flows", "16")
    assert "qosifb" in lab.ip("-o", "link")
    lab.ip("link", "del", "v0")
    deadline = time.monotonic() + 10
    while "qosifb" in lab.ip("-o", "link"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    lab.ip("link", "add", "v0", "type", "veth", "peer", "name", "v1")


def test_a_renamed_interface_gets_its_offloads_back_and_no_other_one(lab: Lab) -> None:
    before = offloads(lab, "v0")
    assert before["gso"]
    lab.qos("attach", "v0", "--rate", "10mbit", "--flows", "16", "--offloads", "off")
    assert not offloads(lab, "v0")["gso"]
    lab.ip("link", "set", "v0", "down")
    lab.ip("link", "set", "v0", "name", "w0")
    eventually(lab, "w0", sys.executable, "-m", "qos", "status")
    eventually(lab, "none", sys.executable, "-m", "qos", "status")
    told = lab.run(sys.executable, "-m", "qos", "status").stderr
    assert "the controller of w0 ended: v0 was renamed to w0" in told
    lab.ip("link", "set", "v1", "name", "v0")  # somebody else has the name now
    others = offloads(lab, "v0")
    done = lab.run(sys.executable, "-m", "qos", "detach", "w0")
    assert (done.returncode, done.stderr) == (0, "")
    assert (offloads(lab, "w0"), offloads(lab, "v0")) == (before, others)


def test_the_tree_follows_the_size_of_packets(lab: Lab) -> None:
    lab.qos(
        "attach", "v0", "--rate", "10mbit", "--flows", "16", "--offloads", "off", "--policy", "fixed:4001b"
    )
    assert "limit 4001b" in lab.tc("qdisc", "show", "dev", "v0")
    lab.ip("link", "set", "v0", "mtu", "9000")
    eventually(lab, "limit 9014b", "tc", "qdisc", "show", "dev", "v0")  # a frame with its header
    assert "limit 4001b" not in lab.tc("qdisc", "show", "dev", "v0")
    lab.ip("link", "set", "v0", "mtu", "1500")
    eventually(lab, "limit 4001b", "tc", "qdisc", "show", "dev", "v0")


def test_a_tree_without_a_file_is_built_anew(lab: Lab, tmp_path: Path) -> None:
    words = ("attach", "v0", "--rate", "10mbit", "--ingress", "5mbit", "--flows", "16")
    lab.qos(*words)
    os.kill(lab.controller(), signal.SIGKILL)
    for path in (tmp_path / "state").iterdir():
        path.unlink()
    lab.qos(*words)
    lab.qos("detach", "v0")
    assert "noqueue" in lab.tc("qdisc", "show", "dev", "v0")
    assert ingress(lab) == ("", "")
    assert "qosifb" not in lab.ip("-o", "link")


def test_a_file_of_a_namespace_that_is_no_more_says_nothing(lab: Lab, tmp_path: Path) -> None:
    lab.qos("attach", "v0", "--rate", "10mbit", "--flows", "16")
    os.kill(lab.controller(), signal.SIGKILL)
    lab.tc("qdisc", "del", "dev", "v0", "root")
    path = next((tmp_path / "state").glob("*.json"))
    path.write_text(json.dumps(json.loads(path.read_text()) | {"namespace": "another boot:1"}))
    assert json.loads(lab.qos("status", "--json"))["interfaces"] == []
    assert "no queue of ours" in lab.qos("detach", "v0", code=1)


# Reloads that fail, in this process


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This thread in a namespace with a veth pair that has its offloads on."""
    monkeypatch.setenv("QOS_STATE_DIR", str(tmp_path / "state"))
    with closing(Namespace("near")) as near, closing(Namespace("far")) as far:
        join(near, "v0", far, "v1")
        with near.entered():
            ethtool.switch("v0", "gso", on=True)
            yield


def standing() -> tuple[object, ...]:
    """All that a reload could change, in the kernel and on file."""
    held = state.read(state.Key.of(2))
    text = [
        subprocess.run(["tc", what, "show", "dev", "v0"], capture_output=True, text=True, check=True).stdout
        for what in ("qdisc", "class", "filter")
    ]
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    names = re.findall(r"^\d+: (\w+)", links, re.MULTILINE)
    return sorted(re.sub(r" id \d+", "", "".join(text)).splitlines()), names, ethtool.read("v0"), held


def fail_at(monkeypatch: pytest.MonkeyPatch, number: int) -> list[Operation]:
    """Let the kernel refuse the operation `number` of the next change; return those that were done."""
    done: list[Operation] = []
    whole = Kernel.apply

    def apply(kernel: Kernel, operations: Sequence[Operation]) -> None:
        for operation in operations:
            if len(done) == number:
                monkeypatch.setattr(Kernel, "apply", whole)
                raise KernelError("what was asked", 12)
            whole(kernel, [operation])
            done.append(operation)

    monkeypatch.setattr(Kernel, "apply", apply)
    return done


BEFORE = QueueSettings("v0", 10_000_000, flows=4, policy="fixed:90kb")
AFTER = QueueSettings("v0", 20_000_000, 5_000_000, flows=8, policy="fixed:100kb", offloads="off")


@pytest.mark.parametrize("number", [0, 1, 2, 4, 9, 20, 30])
def test_a_reload_that_fails_anywhere_leaves_what_was_there(
    inside: None, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    with closing(Session(BEFORE, force=False)) as session:
        before = standing()
        fail_at(monkeypatch, number)
        with pytest.raises(KernelError, match="what was asked"):
            session.reload(AFTER)
        assert session.settings == BEFORE
        for now, then in zip(standing(), before, strict=True):
            assert now == then


@pytest.mark.parametrize("number", [0, 1, 2, 4, 9, 20, 30])
def test_an_attach_that_fails_anywhere_leaves_nothing(
    inside: None, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    before = standing()
    descriptors = len(os.listdir("/proc/self/fd"))
    fail_at(monkeypatch, number)
    with pytest.raises(KernelError, match="what was asked"):
        Session(AFTER, force=False)
    assert standing() == before
    assert not state.is_locked(state.Key.of(2))
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_the_same_settings_again_send_no_message(inside: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(Session(AFTER, force=False)) as session:
        monkeypatch.setattr(Kernel, "apply", lambda *_: pytest.fail("a message"))
        assert session.reload(AFTER) == 0


def test_a_new_policy_or_interval_changes_no_object_of_the_kernel(
    inside: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = QueueSettings("v0", 10_000_000, flows=4)
    with closing(Session(start, force=False)) as session:
        sent: list[Operation] = []
        monkeypatch.setattr(Kernel, "apply", lambda _kernel, rows: sent.extend(rows))
        session.reload(QueueSettings("v0", 10_000_000, flows=4, interval_ns=50_000_000))
        assert sent == []
        assert session.settings.interval_ns == 50_000_000


def test_the_metrics_move_with_a_reload_and_a_taken_address_changes_nothing(inside: None) -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    start = QueueSettings("v0", 10_000_000, flows=4, metrics="127.0.0.1:9420")
    with closing(Session(start, force=False)) as session:
        with socket.create_server(("127.0.0.1", 9421)):
            before = standing()
            with pytest.raises(InputError, match="in use"):
                session.reload(QueueSettings("v0", 20_000_000, flows=4, metrics="127.0.0.1:9421"))
            assert standing() == before
        session.reload(QueueSettings("v0", 10_000_000, flows=4, metrics="127.0.0.1:9422"))
        socket.create_connection(("127.0.0.1", 9422)).close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", 9420))
        session.reload(QueueSettings("v0", 10_000_000, flows=4))
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", 9422))


def test_a_deleted_ifb_is_forgotten(inside: None) -> None:
    with closing(Session(AFTER, force=False)) as session:
        session.reload(BEFORE)
        session.reload(AFTER)
        with NetlinkSocket() as netlink:
            assert snapshot(netlink, 2).is_ours
            found = ingress_snapshot(netlink, 2)
        assert found is not None
        assert found.is_ours


def test_polls_that_fail_of_an_overrun_are_made_again(inside: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(Session(BEFORE, force=False)) as session:
        calls = 0

        class Flaky:
            def tick(self, dt_s: float) -> int:
                nonlocal calls
                calls += 1
                if calls < 5:
                    raise KernelError("tc class show", 105)
                os.kill(os.getpid(), signal.SIGTERM)
                return 0

            def save_learned(self) -> None: ...

        former = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
        monkeypatch.setattr(session, "_controllers", {"v0": Flaky()})
        try:
            session.run(lambda: None)
        finally:
            signal.signal(signal.SIGTERM, former[0])
            signal.signal(signal.SIGINT, former[1])
        assert calls == 5


def test_two_namespaces_have_two_identities(inside: None) -> None:
    here = namespace.identity()
    with closing(Namespace("other")) as other, other.entered():
        assert namespace.identity() != here
    assert namespace.identity() == here


# The host file


def test_every_key_of_the_host_file_is_heeded(lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "v0.yaml"
    path.write_text(
        "rate: 20000000\ningress: 5mbit\nflows: 16\npolicy: fixed:80kb\ninterval: 50ms\noffloads: off\n"
        "gro_off: [v1]\noverhead: 30\nmpu: 64\nlinklayer: atm\nisolate: source-host\n"
        "metrics: ':9420'\nforce: true\n"
    )
    lab.tc("qdisc", "add", "dev", "v0", "root", "handle", "5:", "bfifo", "limit", "9000")
    lab.qos("attach", "v0", "--config", str(path))
    row = json.loads(lab.qos("status", "v0", "--json"))["interfaces"][0]
    assert row["framing"] == {"overhead_bytes": 30, "mpu_bytes": 64, "linklayer": "atm"}
    said = {
        "rate_bps": 20_000_000,
        "ingress_rate_bps": 5_000_000,
        "flows": 16,
        "policy": "fixed:80kb",
        "interval_ns": 50_000_000,
        "offloads": "off",
        "gro_off": ["v1"],
        "isolate": "source-host",
        "metrics": ":9420",
    }
    assert {key: row[key] for key in said} == said
    path.write_text(path.read_text().replace("20000000", "30mbit"))
    lab.qos("attach", "v0", "--config", str(path))
    eventually(lab, "ceil 30Mbit", "tc", "class", "show", "dev", "v0")
    lab.qos("detach", "v0")
    assert "bfifo 5: root" in lab.tc("qdisc", "show", "dev", "v0")


# Learning


def test_what_is_learned_on_an_interface_is_kept_in_a_file(lab: Lab, tmp_path: Path) -> None:
    kept = tmp_path / "learned" / "v0.npz"
    words = ("attach", "v0", "--rate", "10mbit", "--flows", "16", "--learn", "--weights", str(kept))
    lab.qos(*words)
    shown = json.loads(lab.qos("status", "v0", "--json"))["interfaces"][0]
    assert shown["learn"] is True
    assert shown["weights"] == str(kept)
    lab.qos("attach", "v0", "--rate", "20mbit", "--flows", "16", "--learn", "--weights", str(kept))
    assert kept.exists(), "a reload saves what was learned before"
    lab.qos("detach", "v0")
    lab.qos("attach", "v0", "--rate", "10mbit", "--flows", "16", "--weights", str(kept))
    lab.qos("detach", "v0")


def test_weights_that_cannot_be_used_are_refused_before_anything_changes(lab: Lab, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.npz"
    damaged.write_bytes(b"nothing")
    words = ("attach", "v0", "--rate", "10mbit", "--weights", str(damaged))
    assert "damaged.npz: not a .npz of arrays" in lab.qos(*words, code=1)
    assert "damaged.npz: not a .npz of arrays" in lab.qos(*words, "--learn", code=1)
    assert "gone.npz" in lab.qos("attach", "v0", "--rate", "10mbit", "--weights", "gone.npz", code=1)
    refused = lab.qos("attach", "v0", "--rate", "10mbit", "--learn", "--policy", "sawtooth", code=2)
    assert "--learn is for the policy lfq" in refused
    assert "noqueue" in lab.tc("qdisc", "show", "dev", "v0")
