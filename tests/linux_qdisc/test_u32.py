"""The classifier as tables of cls_u32, read back by a model of the kernel's search."""

from __future__ import annotations

import shlex

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment
from scapy.packet import Packet

from linux_qdisc import u32
from linux_qdisc.operations import SetClassifier
from linux_qdisc.tree import ClassifierSpec


def word(packet: bytes, place: int) -> int | None:
    data = packet[place : place + 4]
    return int.from_bytes(data, "big") if len(data) == 4 else None


def queue_of(packet: Packet, flows: int, isolate: str = "flow") -> int | None:
    """Search as u32_classify() does: by the filters of a bucket in turn, on by links."""
    version = "ip" if isinstance(packet, IP) else "ipv6"
    data = bytes(packet)
    rows = [*u32.leaf_filters(flows), *u32.path_filters(version, flows, isolate)]
    buckets = {table.number: table.buckets for table in u32.tables(flows, isolate)}
    table, bucket = 0, 0
    while True:
        here = [row for row in rows if (row.table, row.bucket) == (table, bucket)]
        for row in sorted(here, key=lambda row: row.node):
            found = [(word(data, match.field.place), match) for match in row.matches]
            if all(value is not None and value & m.field.mask == m.value for value, m in found):
                break
        else:
            return None
        if row.queue is not None:
            return row.queue
        assert row.link is not None
        assert row.hashed is not None
        value = word(data, row.hashed.place)
        if value is None:
            return None
        shift = (row.hashed.mask & -row.hashed.mask).bit_length() - 1
        table, bucket = row.link, (value & row.hashed.mask) >> shift & buckets[row.link] - 1


HEADERS = {"ip": IP(src="10.0.0.1", dst="10.0.0.2"), "ipv6": IPv6(src="fd00::1", dst="fd00::2")}


@pytest.mark.parametrize("version", ["ip", "ipv6"])
@pytest.mark.parametrize("transport", [TCP, UDP])
@pytest.mark.parametrize("flows", [2, 64, 256, 1024, 32_768])
def test_clients_on_consecutive_ports_get_queues_of_their_own(
    version: str, transport: type[Packet], flows: int
) -> None:
    many = min(flows, 40)
    up = [queue_of(HEADERS[version] / transport(sport=40_000 + k, dport=443), flows) for k in range(many)]
    down = [queue_of(HEADERS[version] / transport(sport=443, dport=40_000 + k), flows) for k in range(many)]
    assert len(set(up)) == many
    assert up == down  # told by the client's port in both directions
    assert all(queue is not None and 0 <= queue < flows for queue in up)


def test_what_has_no_ports_goes_by_addresses_and_no_flow_is_split() -> None:
    v4, v6 = HEADERS["ip"], HEADERS["ipv6"]
    first = v4.copy() / UDP(sport=7, dport=9)
    first.flags = "MF"
    later = v4.copy()
    later.frag, later.proto = 100, 17
    parts = {queue_of(first / bytes(64), 1024), queue_of(later / bytes(64), 1024)}
    option = IP(src="10.0.0.1", dst="10.0.0.2", options=[IPOption(b"\x94\x04\x00\x00")]) / UDP(dport=5)
    parts |= {queue_of(v4 / ICMP(), 1024), queue_of(option, 1024)}
    assert parts == {0x102}  # last bytes of destination (2) and source (1)
    assert queue_of(v6 / IPv6ExtHdrFragment(offset=3, m=1) / UDP(), 1024) == 0x102


@pytest.mark.parametrize(("isolate", "changed"), [("source-host", "src"), ("destination-host", "dst")])
@pytest.mark.parametrize("flows", [256, 4096])
def test_hosts_are_told_by_their_address_alone(isolate: str, changed: str, flows: int) -> None:
    hosts = [IP(**{"src": "10.9.0.1", "dst": "10.9.0.2", changed: f"10.0.3.{host}"}) for host in range(40)]
    found = [
        {queue_of(host / UDP(sport=port), flows, isolate) for port in (1, 500, 60_000)} for host in hosts
    ]
    assert all(len(queues) == 1 for queues in found)
    assert len(set.union(*found)) == 40


@pytest.mark.parametrize("isolate", ["flow", "source-host"])
@pytest.mark.parametrize("flows", [16, 1024])
def test_the_dry_run_fills_each_table_before_anything_leads_there(flows: int, isolate: str) -> None:
    change = SetClassifier("v0", flows, ClassifierSpec(isolate, True, "u32"), create=False)
    lines = [shlex.split(line) for line in change.commands()]
    assert [words[2] for words in lines[:3]] == ["del", "del", "add"]
    filled: dict[str, int] = {}
    for words in lines[2:]:
        if "ht" in words:
            table = words[words.index("ht") + 1].split(":")[0]
            filled[table] = filled.get(table, 0) + 1
        if "link" in words:
            assert filled[words[words.index("link") + 1].rstrip(":")] in (min(flows, 256), flows // 256)
    assert sum("classid" in words for words in lines) == flows
