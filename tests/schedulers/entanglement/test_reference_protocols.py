"""Protocols and mappings against the task sets that the published code made (reference data)."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import networkx as nx
import pytest

from schedulers.entanglement.mapping import MappedProtocol, kind_of, map_to_qubits, node_of
from schedulers.entanglement.operations_graph import operation_graph
from schedulers.entanglement.protocol import Chain, ProtocolSearch, SearchOptions
from schedulers.entanglement.steps import relabel
from topologies.links import LinkCapability

SEARCHES = {variant: ProtocolSearch(SearchOptions(variant)) for variant in ("paper", "complete")}


def path_of(task: dict[str, Any], source: str, destination: str) -> list[str]:
    """The nodes between which the task makes links, in order."""
    links = [tuple({node_of(q) for q in s["resources"]}) for s in task["subtasks"] if s["kind"] == "link"]
    path: list[str] = nx.shortest_path(nx.Graph(links), source, destination)
    return path


def by_group(occupancy: Any) -> dict[tuple[str, str], list[tuple[tuple[int, int], ...]]]:
    """Busy intervals by node and kind of qubit: the names of a node's qubits do not matter."""
    groups = defaultdict(list)
    for qubit, intervals in occupancy.items():
        groups[node_of(qubit), kind_of(qubit)].append(tuple(tuple(interval) for interval in intervals))
    return {group: sorted(found) for group, found in groups.items()}


def cases(shared_data: Path) -> list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]]:
    found = []
    for file in sorted((shared_data / "entanglement" / "tasksets").glob("*.json")):
        document = json.loads(file.read_text())
        tasks = {task["id"]: task for task in document["tasks"]}
        found += [(file.stem, document, demand, tasks[demand["task"]]) for demand in document["demands"]]
    if not found:
        pytest.skip("no reference task sets")
    return found


def ours(variant: str, document: dict[str, Any], path: list[str], target: float) -> MappedProtocol | None:
    nodes = document["topology"]["nodes"]
    points = {
        frozenset((edge["u"], edge["v"])): tuple(LinkCapability(*point) for point in edge["capabilities"])
        for edge in document["topology"]["edges"]
    }
    counts = {name: (len(nodes[name]["comm_qubits"]), len(nodes[name]["storage_qubits"])) for name in path}
    chain = Chain(
        tuple(points[frozenset(pair)] for pair in pairwise(path)),
        tuple(counts[name][0] for name in path),
        tuple(counts[name][1] for name in path),
    )
    found = SEARCHES[variant].find(chain, target)
    if found is None:
        return None
    return map_to_qubits(
        operation_graph(relabel(found, dict(enumerate(path))), document["slot_seconds"]), counts
    )


def test_the_paper_variant_makes_the_same_tasks(shared_data: Path) -> None:
    differ = []
    for name, document, demand, task in cases(shared_data):
        path = path_of(task, demand["src"], demand["dst"])
        mapped = ours("paper", document, path, demand["f_min"])
        assert mapped is not None
        same = (
            mapped.exec_slots == task["exec_time"]
            and Counter((s["kind"], s["duration"]) for s in task["subtasks"])
            == Counter((operation.kind, operation.duration_slots) for operation in mapped.operations)
            and by_group(mapped.occupancy) == by_group(task["occupancy"])
        )
        differ += [] if same else [(name, task["id"], path)]
    assert differ == []


def test_the_complete_variant_is_nowhere_longer(shared_data: Path) -> None:
    shorter = 0
    for _, document, demand, task in cases(shared_data):
        mapped = ours("complete", document, path_of(task, demand["src"], demand["dst"]), demand["f_min"])
        assert mapped is not None
        assert mapped.exec_slots <= task["exec_time"]
        shorter += mapped.exec_slots < task["exec_time"]
    assert shorter > 0
