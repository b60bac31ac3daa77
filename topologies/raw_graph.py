"""Graphs with loose attributes, as GraphML and GML carry them, to topologies and back.

A file that we wrote carries ``qos_schema`` and every field under its model name (``rate_bps``,
``delay_s``). Any other file is read as the Internet Topology Zoo writes them:

* the node's id names it, its ``label`` (which need not be unique) is kept as the label;
* ``Latitude`` and ``Longitude`` are taken where both are there and possible;
* ``LinkSpeedRaw`` (bit/s) is the rate, or else ``LinkSpeed`` with ``LinkSpeedUnits`` (K, M, G, T
  bit/s), or else `DEFAULT_RATE_BPS`;
* the delay is the great-circle distance at two thirds of the speed of light, where both ends have
  coordinates; 0 elsewhere. Real fibre is longer, so this is a lower bound;
* parallel edges stay; an edge from a node to itself is left out.
"""

from __future__ import annotations

import json
import math
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from qos.errors import ValueRefusedError
from qos.units import format_rate
from topologies.checks import MAX_TEXT
from topologies.document import KEYS, Path, build, describe_item
from topologies.guards import TopologyFileError
from topologies.links import MAX_RATE_BPS
from topologies.model import Link, Node, Topology, WiredLink

DEFAULT_RATE_BPS = 1_000_000_000
FIBRE_SPEED_M_PER_S = 299_792_458 * 2 / 3
EARTH_RADIUS_M = 6_371_008.8
_UNITS = {"": 1.0, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}


@dataclass
class RawNode:
    """A node as the file has it: its id, its attributes, the line where it begins."""

    id: str
    attributes: dict[str, Any]
    line: int


@dataclass
class RawEdge:
    """An edge as the file has it."""

    source: str
    target: str
    attributes: dict[str, Any]
    line: int


@dataclass
class RawGraph:
    """A graph as the file has it."""

    attributes: dict[str, Any] = field(default_factory=dict)
    nodes: list[RawNode] = field(default_factory=list)
    edges: list[RawEdge] = field(default_factory=list)


def from_topology(topology: Topology) -> RawGraph:
    """Give the loose graph that carries every field of a topology."""
    head = {"qos_schema": 1, "name": topology.name, "description": topology.description}
    graph = RawGraph({key: value for key, value in head.items() if value != ""})
    if topology.quantum is not None:
        graph.attributes["guard_time_s"] = topology.quantum.guard_time_s
        graph.attributes["controller"] = topology.quantum.controller
    for node in topology.nodes.values():
        graph.nodes.append(RawNode(node.id, _loosen(node), 0))
    for link in topology.links.values():
        graph.edges.append(RawEdge(link.source, link.target, _loosen(link), 0))
    return graph


def _loosen(item: Node | Link) -> dict[str, Any]:
    entry = describe_item(item, plain=True)
    entry.pop("ends", None)
    if isinstance(item, Node):
        entry.pop("id")
    return {key: json.dumps(value) if isinstance(value, list) else value for key, value in entry.items()}


def to_topology(graph: RawGraph, source: str) -> tuple[Topology, list[str]]:
    """Make the topology of a loose graph, ours or the Topology Zoo's.

    Returns
    -------
    tuple
        The topology, and notes on what had to be assumed or left out.

    Raises
    ------
    TopologyFileError
        If nodes are missing or double, or a field of ours is wrong.
    """
    problems = []
    first: dict[str, RawNode] = {}
    for node in graph.nodes:
        if (earlier := first.setdefault(node.id, node)) is not node:
            problems.append(f"line {node.line}: node {node.id!r:.60} is there already on line {earlier.line}")
    for edge in graph.edges:
        problems += [
            f"line {edge.line}: the edge ends at node {end!r:.60}, which does not exist"
            for end in (edge.source, edge.target)
            if end not in first
        ]
    if problems:
        raise TopologyFileError(source, problems)
    if "qos_schema" in graph.attributes:
        return _ours(graph, source), []
    return _foreign(graph, source)


def _ours(graph: RawGraph, source: str) -> Topology:
    lines: dict[Path, int] = {}
    document: dict[str, Any] = {"nodes": [], "links": []}
    control = {"guard_time_s": "guard_time", "controller": "controller"}
    for key, value in graph.attributes.items():
        if key in control:
            number = float(value) if isinstance(value, int) else value
            document.setdefault("quantum", {})[control[key]] = number
        else:
            document["schema" if key == "qos_schema" else key] = value
    for index, node in enumerate(graph.nodes):
        lines["nodes", index] = node.line
        document["nodes"].append({"id": node.id, **_tighten(node.attributes)})
    for index, edge in enumerate(graph.edges):
        lines["links", index] = edge.line
        document["links"].append({"ends": [edge.source, edge.target], **_tighten(edge.attributes)})
    return build(document, source, lines)[0]


def _tighten(attributes: dict[str, Any]) -> dict[str, Any]:
    entry: dict[str, Any] = {}
    for key, value in attributes.items():
        if key in ("capabilities", "interfaces") and isinstance(value, str):
            # What is no list stays text, which the schema then refuses with its line.
            with suppress(ValueError):
                value = json.loads(value) if len(value) < 10**6 and value.count("[") < 100 else value
        elif isinstance(value, float) and value.is_integer() and key.endswith(("_bps", "_qubits")):
            value = int(value)
        entry[KEYS.get(key, key)] = value
    return entry


def _foreign(graph: RawGraph, source: str) -> tuple[Topology, list[str]]:
    nodes = {raw.id: _foreign_node(raw, source) for raw in graph.nodes}
    links: list[Link] = []
    assumed = loops = 0
    for edge in graph.edges:
        if edge.source == edge.target:
            loops += 1
            continue
        rate_bps = _speed_bps(edge.attributes)
        assumed += rate_bps is None
        delay_s = _distance_m(nodes[edge.source], nodes[edge.target]) / FIBRE_SPEED_M_PER_S
        links.append(WiredLink(edge.source, edge.target, rate_bps or DEFAULT_RATE_BPS, delay_s=delay_s))
    name = _words(
        graph.attributes.get("Network") or graph.attributes.get("label") or graph.attributes.get("name")
    )
    notes = []
    if assumed:
        notes.append(
            f"{assumed} of {len(links)} links name no speed: {format_rate(DEFAULT_RATE_BPS)} assumed"
        )
    if loops:
        notes.append(f"{loops} edges from a node to itself left out")
    try:
        return Topology(nodes.values(), links, name=name), notes
    except ValueRefusedError as error:
        raise TopologyFileError(source, [str(error)]) from None


def _words(value: object) -> str:
    """Make printable text of whatever a foreign file says."""
    text = "" if value is None else str(value)[:MAX_TEXT]
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _number(value: object) -> float | None:
    try:
        number = float(value) if isinstance(value, int | float | str) else math.nan
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _foreign_node(raw: RawNode, source: str) -> Node:
    latitude, longitude = _number(raw.attributes.get("Latitude")), _number(raw.attributes.get("Longitude"))
    if latitude is None or longitude is None or abs(latitude) > 90 or abs(longitude) > 180:
        latitude = longitude = None
    label = _words(raw.attributes.get("label"))
    label = "" if label == raw.id else label
    try:
        return Node(raw.id, "router", label, latitude=latitude, longitude=longitude)
    except ValueRefusedError as error:
        raise TopologyFileError(source, [f"line {raw.line}: {error}"]) from None


def _speed_bps(attributes: dict[str, Any]) -> int | None:
    speed = _number(attributes.get("LinkSpeedRaw"))
    if speed is None:
        unit = _words(attributes.get("LinkSpeedUnits")).upper()[:1]
        number = _number(attributes.get("LinkSpeed"))
        speed = number * _UNITS[unit] if number is not None and unit in _UNITS else None
    return round(speed) if speed is not None and 1 <= speed <= MAX_RATE_BPS else None


def _distance_m(one: Node, other: Node) -> float:
    """Great-circle distance (haversine) in metres; 0 where a coordinate is unknown."""
    if None in (one.latitude, one.longitude, other.latitude, other.longitude):
        return 0.0
    assert one.latitude is not None
    assert other.latitude is not None
    assert one.longitude is not None
    assert other.longitude is not None
    lat1, lat2 = math.radians(one.latitude), math.radians(other.latitude)
    across = math.radians(other.longitude - one.longitude)
    half = math.sin((lat2 - lat1) / 2) ** 2 + math.cos(lat1) * math.cos(lat2) * math.sin(across / 2) ** 2
    return 2 * EARTH_RADIUS_M * math.asin(min(1.0, math.sqrt(half)))
