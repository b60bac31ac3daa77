"""Topologies of a given shape and size.

Every generator takes `Parts`: one end node, one inner node and one link as patterns, which are
repeated with fresh ids. `WIRED` and `QUANTUM` are ready-made. Ids are numbers written as text.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from qos.errors import ValueRefusedError
from topologies.links import Link, QuantumLink, WiredLink
from topologies.model import Node, Topology

MAX_NODES = 100_000
_FIBRE_SPEED_M_PER_S = 299_792_458 * 2 / 3


@dataclass(frozen=True)
class Parts:
    """Patterns that a generator repeats.

    Attributes
    ----------
    end, inner
        Patterns of the nodes at the rim and inside; the id is replaced.
    link
        Pattern of the links; the ends are replaced.
    """

    end: Node
    inner: Node
    link: Link

    def build(
        self, name: str, ends: Iterable[str], inners: Iterable[str], pairs: Iterable[tuple[str, str]]
    ) -> Topology:
        """Make a topology of these parts; nodes in the order of their numbers."""
        nodes = [replace(self.end, id=i) for i in ends] + [replace(self.inner, id=i) for i in inners]
        nodes.sort(key=lambda node: int(node.id))
        return Topology(nodes, [replace(self.link, source=a, target=b) for a, b in pairs], name=name)


WIRED = Parts(Node("0", "host"), Node("1", "router"), WiredLink("0", "1", 1_000_000_000, delay_s=0.001))
QUANTUM = Parts(
    Node("0", "quantum-end", communication_qubits=1, storage_qubits=3),
    Node("1", "quantum-repeater", communication_qubits=1, storage_qubits=3),
    QuantumLink("0", "1", 5000.0, table="nv-delft-2019"),
)


def _count(name: str, value: int, low: int, high: int = MAX_NODES) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueRefusedError(f"{name} must be a whole number from {low} to {high}, not {value!r}")


def _ids(*numbers: int) -> list[str]:
    return [str(number) for number in numbers]


def star(leaves: int, parts: Parts = WIRED) -> Topology:
    """Join `leaves` end nodes (0 to leaves-1) to one inner node (number `leaves`).

    Raises
    ------
    ValueRefusedError
        If there is no leaf, or more than 99 999.
    """
    _count("leaves", leaves, 1, MAX_NODES - 1)
    ends, centre = _ids(*range(leaves)), str(leaves)
    return parts.build("star", ends, [centre], [(centre, end) for end in ends])


def line(count: int, parts: Parts = WIRED) -> Topology:
    """Join `count` end nodes one after the other.

    Raises
    ------
    ValueRefusedError
        If `count` is below 2 or above 100 000.
    """
    _count("count", count, 2)
    ids = _ids(*range(count))
    return parts.build("line", ids, [], pairwise(ids))


def ring(count: int, parts: Parts = WIRED) -> Topology:
    """Join `count` inner nodes in a circle.

    Raises
    ------
    ValueRefusedError
        If `count` is below 3 or above 100 000.
    """
    _count("count", count, 3)
    ids = _ids(*range(count))
    return parts.build("ring", [], ids, zip(ids, [*ids[1:], ids[0]], strict=True))


def grid(rows: int, columns: int, parts: Parts = WIRED) -> Topology:
    """Join rows x columns inner nodes, each with its right and lower neighbour.

    Raises
    ------
    ValueRefusedError
        If a side is below 1 or above 300.
    """
    _count("rows", rows, 1, 300)
    _count("columns", columns, 1, 300)
    across = [(r * columns + c, r * columns + c + 1) for r in range(rows) for c in range(columns - 1)]
    down = [(r * columns + c, (r + 1) * columns + c) for r in range(rows - 1) for c in range(columns)]
    pairs = [(str(a), str(b)) for a, b in sorted(across + down)]
    return parts.build("grid", [], _ids(*range(rows * columns)), pairs)


def h(parts: Parts = QUANTUM) -> Topology:
    """Join two inner nodes (1 and 4) with two end nodes each (0, 2 and 3, 5): the letter H."""
    pairs = [("0", "1"), ("1", "2"), ("1", "4"), ("3", "4"), ("4", "5")]
    return parts.build("h", _ids(0, 2, 3, 5), _ids(1, 4), pairs)


def symmetric(ends: int = 4, parts: Parts = QUANTUM) -> Topology:
    """Join inner nodes completely, and each with one end node (i with i + ends).

    Raises
    ------
    ValueRefusedError
        If `ends` is below 2 or above 300.
    """
    _count("ends", ends, 2, 300)
    pairs = [(str(i), str(i + ends)) for i in range(ends)]
    pairs += [(str(i), str(j)) for i in range(ends, 2 * ends) for j in range(i + 1, 2 * ends)]
    return parts.build("symmetric", _ids(*range(ends)), _ids(*range(ends, 2 * ends)), pairs)


def dumbbell(
    pairs: int,
    bottleneck_bps: int = 10_000_000,
    access_bps: int = 1_000_000_000,
    bottleneck_delay_s: float = 0.02,
    access_delay_s: float = 0.0,
) -> Topology:
    """Make senders ``s0``.. and receivers ``r0``.. on the two sides of one bottleneck link.

    Parameters
    ----------
    pairs
        Number of senders and of receivers, 1 to 10 000.
    bottleneck_bps, access_bps
        Rates in bit/s of the link ``left--right`` and of all others.
    bottleneck_delay_s, access_delay_s
        One-way delays in seconds.

    Raises
    ------
    ValueRefusedError
        If a value is out of its range.
    """
    _count("pairs", pairs, 1, 10_000)
    senders, receivers = ([f"{side}{i}" for i in range(pairs)] for side in "sr")
    nodes = [Node(i) for i in senders] + [Node(i, "router") for i in ("left", "right")]
    nodes += [Node(i) for i in receivers]
    links = [WiredLink(i, "left", access_bps, delay_s=access_delay_s) for i in senders]
    links.append(WiredLink("left", "right", bottleneck_bps, delay_s=bottleneck_delay_s))
    links += [WiredLink("right", i, access_bps, delay_s=access_delay_s) for i in receivers]
    return Topology(nodes, links, name="dumbbell")


def fat_tree(ports: int, rate_bps: int = 1_000_000_000, delay_s: float = 1e-5) -> Topology:
    """Make the fat tree of switches with `ports` ports (Al-Fares et al., SIGCOMM 2008).

    Parameters
    ----------
    ports
        Even, 2 to 32; there are ports^3/4 hosts, in `ports` pods.
    rate_bps, delay_s
        Rate in bit/s and one-way delay in seconds of every link.

    Raises
    ------
    ValueRefusedError
        If `ports` is odd or out of range.
    """
    _count("ports", ports, 2, 32)
    if ports % 2:
        raise ValueRefusedError(f"ports must be even, not {ports}")
    half = ports // 2
    nodes = [Node(f"core{i}", "switch") for i in range(half * half)]
    pairs = []
    for pod in range(ports):
        for i in range(half):
            nodes += [Node(f"agg{pod}-{i}", "switch"), Node(f"edge{pod}-{i}", "switch")]
            pairs += [(f"core{i * half + j}", f"agg{pod}-{i}") for j in range(half)]
            pairs += [(f"agg{pod}-{j}", f"edge{pod}-{i}") for j in range(half)]
            nodes += [Node(f"host{pod}-{i}-{j}") for j in range(half)]
            pairs += [(f"edge{pod}-{i}", f"host{pod}-{i}-{j}") for j in range(half)]
    return Topology(nodes, [WiredLink(a, b, rate_bps, delay_s=delay_s) for a, b in pairs], name="fat-tree")


def waxman(
    count: int,
    seed: int,
    alpha: float = 0.4,
    beta: float = 0.2,
    side_m: float = 1_000_000.0,
    rate_bps: int = 1_000_000_000,
) -> Topology:
    """Make a connected random network (Waxman, IEEE JSAC 6(9), 1988).

    Nodes lie uniformly in a square; two of them are joined with probability
    ``alpha exp(-d / (beta L))``, `L` the diagonal. A part that stays apart is then joined by its
    shortest possible link, so the result is always connected. Delays follow the distance at two
    thirds of the speed of light.

    Parameters
    ----------
    count
        Number of nodes, 2 to 3000.
    seed
        Seed of the random numbers, at least 0; the same seed gives the same network.
    alpha, beta
        Density and reach, more than 0, at most 1.
    side_m
        Side of the square in metres, more than 0.
    rate_bps
        Rate of every link in bit/s.

    Raises
    ------
    ValueRefusedError
        If a value is out of its range.
    """
    _count("count", count, 2, 3000)
    _count("seed", seed, 0, 2**63)
    for name, value, high in (("alpha", alpha, 1.0), ("beta", beta, 1.0), ("side_m", side_m, 1e9)):
        if not 0 < value <= high:
            raise ValueRefusedError(f"{name} must be more than 0 and at most {high:g}, not {value!r}")
    random = np.random.default_rng(seed)
    places = random.uniform(0.0, side_m, (count, 2))
    distance_m = np.hypot(*(places[:, None] - places[None, :]).transpose(2, 0, 1))
    chance = alpha * np.exp(-distance_m / (beta * math.sqrt(2.0) * side_m))
    joined = np.triu(random.uniform(size=(count, count)) < chance, k=1)
    pairs = [(int(a), int(b)) for a, b in np.argwhere(joined)]
    pairs += _bridges(count, pairs, distance_m)
    links = []
    for a, b in sorted(pairs):
        length_m = float(distance_m[a, b])
        delay_s = length_m / _FIBRE_SPEED_M_PER_S
        links.append(WiredLink(str(a), str(b), rate_bps, delay_s=delay_s, length_m=length_m))
    return Topology([Node(str(i), "router") for i in range(count)], links, name="waxman")


def _bridges(
    count: int, pairs: list[tuple[int, int]], distance_m: np.ndarray[tuple[int, ...], np.dtype[np.float64]]
) -> list[tuple[int, int]]:
    """Find the links that join the parts, each the shortest from the part of node 0 to the rest."""
    part = np.arange(count)
    for a, b in pairs:
        part[part == part[b]] = part[a]
    added = []
    while len(outside := np.flatnonzero(part != part[0])):
        inside = np.flatnonzero(part == part[0])
        near = distance_m[np.ix_(inside, outside)]
        i, j = np.unravel_index(int(np.argmin(near)), near.shape)
        a, b = int(inside[i]), int(outside[j])
        part[part == part[b]] = part[0]
        added.append((min(a, b), max(a, b)))
    return added
