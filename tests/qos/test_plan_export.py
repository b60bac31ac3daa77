"""Exports: each host file is one that attach reads, addresses meet, routes follow the planned paths."""

from __future__ import annotations

import ipaddress
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from made_plans import small_plan, with_links

from linux_qdisc.hostfile import read_host_file
from qos.cli.root import main
from qos.engine import plan as make_plan
from qos.errors import InputError, ValueRefusedError
from qos.plan_export import export
from qos.plan_export.documents import containerlab_files, host_files, netplan_files
from qos.plan_export.wiring import wiring
from qos.plan_files import save_plan
from qos.planning import Plan
from qos.scenarios import load


@pytest.fixture(scope="module")
def campus() -> Plan:
    return make_plan(load("campus"))


def test_every_host_file_is_one_that_attach_reads(campus: Plan, tmp_path: Path) -> None:
    written = export(campus, "hosts", tmp_path / "out")
    assert {path.parts[-4] for path in written} == {link.sender for link in campus.links}
    for path in written:
        found = read_host_file(path)
        assert found["rate"] == "auto" or re.fullmatch(r"[0-9.]+[kmg]?bit", str(found["rate"]))
    server = tmp_path / "out" / "server" / "etc" / "qos" / "eth0.yaml"
    assert "does not name" not in server.read_text()
    assert read_host_file(server) == {"rate": "9.8gbit", "policy": "lfq:latency"}
    desk = tmp_path / "out" / "desk" / "etc" / "qos" / "eth0.yaml"
    assert "# The topology does not name eth0: rename as on this host." in desk.read_text()


def test_the_two_ends_of_a_link_are_in_one_subnet(campus: Plan) -> None:
    found = wiring(campus)
    ends: dict[str, list[tuple[str, str]]] = {}
    for ports in found.ports.values():
        for port in ports:
            ends.setdefault(port.setting.link, []).append((port.address, port.peer))
    for (one, its_peer), (other, other_peer) in ends.values():
        assert (one, other) == (other_peer, its_peer)
        assert ipaddress.ip_network(f"{one}/31", strict=False) == ipaddress.ip_network(
            f"{other}/31", strict=False
        )
    every = [address for pair in ends.values() for address, _ in pair] + list(found.own.values())
    assert len(set(every)) == len(every)


def follow(plan: Plan, source: str, destination: str) -> list[str]:
    """Walk the routes as packets would."""
    found = wiring(plan)
    owner = {port.address: node for node, ports in found.ports.items() for port in ports}
    path = [source]
    while path[-1] != destination:
        ways = [route for route in found.routes[path[-1]] if route.to == found.own[destination]]
        mine = [route for route in ways if route.source == found.own[source]]
        path.append(owner[(mine or [route for route in ways if not route.source])[0].via])
        assert len(path) < 30
    return path


def test_packets_take_the_planned_paths(campus: Plan) -> None:
    for flow in campus.flows.values():
        assert tuple(follow(campus, flow.source, flow.destination)) == flow.path
    assert follow(campus, "desk", "scooter") == ["desk", "labs", "core", "cell", "scooter"]


def test_flows_to_one_node_may_come_by_different_ways() -> None:
    plan = small_plan()
    film = plan.flows["film"]
    detour = replace(plan.links[0], link="detour", sender="server", receiver="laptop")
    back = replace(detour, sender="laptop", receiver="server")
    from topologies.model import Topology, WiredLink

    topology = plan.scenario.topology
    links = [*topology.links.values(), WiredLink("server", "laptop", 10**6, "detour")]
    wider = Topology(topology.nodes.values(), links, name="office")
    other = replace(
        film, name="direct", source="gw", path=("gw", "server", "laptop"),
        hops=(replace(film.hops[0], sender="gw"), replace(film.hops[1], link="detour", sender="server")),
    )  # fmt: skip
    both = replace(
        with_links(plan, *plan.links, detour, back, replace(plan.links[2], sender="laptop", receiver="gw")),
        scenario=replace(plan.scenario, topology=wider),
        flows={"film": film, "direct": other},
    )
    assert follow(both, "server", "laptop") == ["server", "gw", "laptop"]
    assert wiring(both).routes["server"][-1].table >= 1000
    documents = netplan_files(both)
    rules = yaml.safe_load(documents["server/etc/netplan/60-qos.yaml"])["network"]["ethernets"]
    assert any("routing-policy" in entry for entry in rules.values())


def test_netplan_files_hold_addresses_and_routes_on_the_right_interface(campus: Plan) -> None:
    for name, text in netplan_files(campus).items():
        network: dict[str, Any] = yaml.safe_load(text)["network"]
        assert (network["version"], name.count("/")) == (2, 3)
        for interface, entry in network["ethernets"].items():
            subnets = [ipaddress.ip_interface(address).network for address in entry["addresses"]]
            for route in entry.get("routes", ()):
                assert interface != "lo"
                assert any(ipaddress.ip_address(route["via"]) in subnet for subnet in subnets)


def test_the_containerlab_topology_joins_what_it_names(campus: Plan) -> None:
    (text,) = containerlab_files(campus, "lab:1").values()
    document = yaml.safe_load(text)
    nodes = document["topology"]["nodes"]
    used: set[str] = set()
    for link in document["topology"]["links"]:
        for end in link["endpoints"]:
            node, interface = end.split(":")
            assert node in nodes
            assert interface != "eth0"  # containerlab's own
            assert end not in used
            used.add(end)
    packet_links = {link.link for link in campus.links}
    assert len(document["topology"]["links"]) == len(packet_links)
    assert {node["image"] for node in nodes.values()} == {"lab:1"}
    assert any(line.startswith("qos attach eth1 --rate ") for line in nodes["server"]["exec"])


def test_odd_names_stay_inside_the_folder(tmp_path: Path) -> None:
    plan = small_plan("../../etc/x")
    topology = plan.scenario.topology
    nodes = {"server": "../server", "gw": "g w", "laptop": "..server"}
    assert wiring(plan).names["server"] == "server"
    from topologies.model import Node, Topology

    odd = Topology(
        [replace(node, id=nodes[node.id]) for node in topology.nodes.values()],
        [
            replace(link, source=nodes[link.source], target=nodes[link.target])
            for link in topology.links.values()
        ],
    )
    assert all(isinstance(node, Node) for node in odd.nodes.values())
    links = [replace(link, sender=nodes[link.sender], receiver=nodes[link.receiver]) for link in plan.links]
    renamed = replace(
        with_links(plan, *links), flows={}, scenario=replace(plan.scenario, topology=odd, flows=())
    )
    for name in host_files(renamed):
        assert ".." not in name
        assert not name.startswith("/")
    for path in export(renamed, "netplan", tmp_path / "out"):
        assert path.resolve().is_relative_to(tmp_path)


def test_a_folder_in_use_and_a_plan_without_hosts_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="is not empty"):
        export(small_plan(), "hosts", tmp_path)
    assert export(small_plan(), "hosts", tmp_path, force=True)
    with pytest.raises(InputError, match="cannot be written"):
        export(small_plan(), "hosts", tmp_path / "file" / "x")
    with pytest.raises(ValueRefusedError, match="no host to export"):
        export(with_links(small_plan()), "hosts", tmp_path / "other")
    with pytest.raises(ValueRefusedError, match="'vhs' is unknown"):
        export(small_plan(), "vhs", tmp_path / "other")


def test_the_verb_names_what_it_wrote(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    save_plan(small_plan(), tmp_path / "plan.json")
    words = ["export", str(tmp_path / "plan.json"), "--format", "hosts", "--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit) as ended:
        main([*words, "--json"])
    assert not ended.value.code
    files = json.loads(capsys.readouterr().out)["files"]
    assert str(tmp_path / "out" / "server" / "etc" / "qos" / "v0.yaml") in files
    assert all(Path(name).is_file() for name in files)
    with pytest.raises(SystemExit) as ended:
        main([*words[:3], "vhs", *words[4:]])
    assert ended.value.code == 2
