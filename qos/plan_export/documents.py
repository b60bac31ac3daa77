"""The documents of each format, as file name and text."""

from __future__ import annotations

from typing import Any

import yaml

from qos.plan_export.wiring import Port, Wiring, wiring
from qos.plan_hosts import HostQueue, host_queues
from qos.planning import Plan
from qos.units import format_rate

Documents = dict[str, str]
FIRST_CONTAINER_INTERFACE = 1
"""containerlab keeps eth0 for management."""


def _yaml(document: Any, *comments: str) -> str:
    head = "".join(f"# {line}\n" for line in comments)
    return head + yaml.safe_dump(document, sort_keys=False, default_flow_style=False, width=110)


def _origin(plan: Plan) -> str:
    return f"From the plan of {plan.scenario.topology.name or 'a network'}, version {plan.scenario.digest}."


def _made_up(ports: tuple[Port, ...]) -> tuple[str, ...]:
    names = sorted({port.interface for port in ports if port.made_up})
    return (f"The topology does not name {', '.join(names)}: rename as on this host.",) if names else ()


def host_files(plan: Plan, wires: Wiring | None = None) -> Documents:
    """Give `/etc/qos/IFACE.yaml` of every host, which `qos attach --config` and `qos@IFACE` read."""
    found = wires or wiring(plan)
    documents: Documents = {}
    for node, ports in found.ports.items():
        places = {port.setting.link: port.interface for port in ports}
        for queue in host_queues(plan, node, places):
            keys: dict[str, object] = {"rate": format_rate(queue.rate_bps), "policy": queue.policy}
            is_wifi = queue.is_radio and not _is_cellular(plan, queue)
            if is_wifi:
                keys["rate"] = "auto"
            if queue.isolate != "flow":
                keys["isolate"] = queue.isolate
            links = ", ".join(link.link for link in queue.links)
            mine = tuple(port for port in ports if port.interface == queue.place)
            comments = [_origin(plan), f"Links: {links}.", *_made_up(mine)]
            if is_wifi:
                comments.append(
                    f"The radio's rate is followed; the plan expects {format_rate(queue.rate_bps)}."
                )
            documents[f"{found.names[node]}/etc/qos/{queue.place}.yaml"] = _yaml(keys, *comments)
    return documents


def _is_cellular(plan: Plan, queue: HostQueue) -> bool:
    """Say whether a radio is one whose rate Linux does not tell as it does of Wi-Fi."""
    nodes = plan.scenario.topology.nodes
    return any(
        nodes[end].kind == "base-station" for link in queue.links for end in (link.sender, link.receiver)
    )


def netplan_files(plan: Plan) -> Documents:
    """Give `/etc/netplan/60-qos.yaml` of every host: addresses and the routes of the planned paths."""
    found = wiring(plan)
    documents: Documents = {}
    for node, ports in found.ports.items():
        cables: dict[str, dict[str, Any]] = {"lo": {"addresses": [f"{found.own[node]}/32"]}}
        radios: dict[str, dict[str, Any]] = {}
        for port in ports:
            group = radios if port.setting.kind == "wireless" and not port.made_up else cables
            entry = group.setdefault(port.interface, {"addresses": []})
            entry["addresses"].append(f"{port.address}/31")
            if group is radios:
                entry["access-points"] = {found.names[_cell(plan, port)]: {"mode": _mode(plan, port)}}
        for route in found.routes[node]:
            port = next(port for port in ports if port.peer == route.via)
            entry = (radios if port.interface in radios else cables)[port.interface]
            line: dict[str, object] = {"to": f"{route.to}/32", "via": route.via}
            if route.table:
                line["table"] = route.table
                rule = {"from": f"{route.source}/32", "to": f"{route.to}/32", "table": route.table}
                entry.setdefault("routing-policy", []).append(rule)
            entry.setdefault("routes", []).append(line)
        network: dict[str, Any] = {"version": 2, "renderer": "networkd", "ethernets": cables}
        comments = [_origin(plan), *_made_up(ports)]
        if radios:
            network["wifis"] = radios
            comments.append(
                "Give each access point its password (auth: {key-management: psk, password: ...})."
            )
        documents[f"{found.names[node]}/etc/netplan/60-qos.yaml"] = _yaml({"network": network}, *comments)
    return documents


def _cell(plan: Plan, port: Port) -> str:
    """Name the node that opens the cell of a radio link."""
    nodes = plan.scenario.topology.nodes
    for end in (port.setting.sender, port.setting.receiver):
        if nodes[end].kind in ("access-point", "base-station"):
            return end
    return plan.scenario.topology.links[port.setting.link].source


def _mode(plan: Plan, port: Port) -> str:
    return "ap" if _cell(plan, port) == port.setting.sender else "infrastructure"


def containerlab_files(plan: Plan, image: str) -> Documents:
    """Give a containerlab topology: a container a host, with addresses, routes and fair queues.

    Radio links become cables; delays and losses of links are not made.
    """
    found = wiring(plan, first=FIRST_CONTAINER_INTERFACE, named=False)
    nodes: dict[str, Any] = {}
    for node, ports in found.ports.items():
        lines = ["sysctl -w net.ipv4.ip_forward=1", f"ip address add {found.own[node]}/32 dev lo"]
        lines += [f"ip address add {port.address}/31 dev {port.interface}" for port in ports]
        for route in found.routes[node]:
            table = f" table {route.table}" if route.table else ""
            lines.append(f"ip route replace {route.to}/32 via {route.via} src {found.own[node]}{table}")
            if route.table:
                lines.append(f"ip rule add from {route.source}/32 to {route.to}/32 table {route.table}")
        lines += [_attach(port) for port in ports]
        nodes[found.names[node]] = {"kind": "linux", "image": image, "exec": lines}
    ends: dict[str, list[str]] = {}
    for node, ports in found.ports.items():
        for port in ports:
            ends.setdefault(port.setting.link, []).append(f"{found.names[node]}:{port.interface}")
    links = [{"endpoints": pair} for pair in ends.values() if len(pair) == 2]
    name = "".join(c if c.isalnum() else "-" for c in plan.scenario.topology.name.lower()).strip("-")
    document = {"name": name or "plan", "topology": {"nodes": nodes, "links": links}}
    comments = (
        _origin(plan),
        f"The image {image} must hold iproute2 and qos-engine; containerlab gives it NET_ADMIN.",
        "Radio links are cables here, and delays and losses of links are not made.",
    )
    return {f"{name or 'plan'}.clab.yml": _yaml(document, *comments)}


def _attach(port: Port) -> str:
    setting = port.setting
    policy = setting.policy
    if policy == "lfq" and setting.preference:
        policy = f"lfq:{setting.preference}"
    return (
        f"qos attach {port.interface} --rate {setting.fair_queue_rate_bps} --policy {policy} "
        f"--isolate {setting.isolate}"
    )
