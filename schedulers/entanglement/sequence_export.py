"""The network as SeQUeNCe reads it (`sequence.topology.router_net_topo.RouterNetTopo`, version 0.8).

Communication and storage qubits become one array of memories, since SeQUeNCe knows one kind; a link
becomes a connection with a heralding station halfway. Working points of links are not its notion: it derives
rates from fibre, memories and detectors.
"""

from __future__ import annotations

from topologies.links import QuantumLink
from topologies.model import Topology

LIGHT_IN_FIBRE_M_PER_S = 2.0e8
PICOSECONDS = 10**12


def network_document(topology: Topology, seed: int = 0) -> dict[str, object]:
    """Describe the quantum part of a topology for SeQUeNCe.

    Parameters
    ----------
    topology
        Nodes with qubits become quantum routers.
    seed
        Of the first node; the others follow.
    """
    routers = [
        node for node in topology.nodes.values() if node.communication_qubits + node.storage_qubits > 0
    ]
    names = {node.id for node in routers}
    pairs: dict[tuple[str, str], QuantumLink] = {}
    for link in topology.links.values():
        if isinstance(link, QuantumLink) and {link.source, link.target} <= names:
            ends = (min(link.source, link.target), max(link.source, link.target))
            if ends not in pairs or link.length_m < pairs[ends].length_m:
                pairs[ends] = link
    classical = [
        {"node1": a, "node2": b, "delay": round(link.length_m / LIGHT_IN_FIBRE_M_PER_S * PICOSECONDS)}
        for (a, b), link in pairs.items()
    ]
    return {
        "is_parallel": False,
        "nodes": [
            {
                "name": node.id,
                "type": "QuantumRouter",
                "seed": seed + number,
                "memo_size": node.communication_qubits + node.storage_qubits,
            }
            for number, node in enumerate(routers)
        ],
        "qconnections": [
            {
                "node1": a,
                "node2": b,
                "attenuation": link.attenuation_db_per_km / 1000,
                "distance": round(link.length_m),
                "type": "meet_in_the_middle",
                "seed": seed + len(routers) + number,
            }
            for number, ((a, b), link) in enumerate(pairs.items())
        ],
        "cconnections": classical,
    }
