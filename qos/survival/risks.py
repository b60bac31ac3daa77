"""Shared-risk groups: links that one event takes down together, such as fibres in one duct (RFC 4202)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from qos.errors import InputError
from topologies.guards import read_text
from topologies.model import Topology


@dataclass(frozen=True)
class RiskGroups:
    """Links by the name of the risk that they share.

    Attributes
    ----------
    links
        Ids of links by group.
    """

    links: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def fail_with(self, link_ids: Iterable[str]) -> frozenset[str]:
        """Give the links that share a risk with one of these, these included."""
        wanted = frozenset(link_ids)
        shared = [group for group in self.links.values() if group & wanted]
        return wanted.union(*shared)


def read_risk_groups(path: str | os.PathLike[str], topology: Topology) -> RiskGroups:
    """Read groups from a YAML file: ``duct-7: [core--hall, core--labs]``.

    Raises
    ------
    InputError
        If the file cannot be used; names every wrong entry.
    """
    from topologies import yaml_files

    source = os.fspath(path)
    raw, _ = yaml_files.parse(read_text(Path(source)), source)
    if not isinstance(raw, dict) or not raw:
        raise InputError(f"{source}: expected groups, each with a list of links, as in duct-7: [a--b, a--c]")
    problems = []
    groups: dict[str, frozenset[str]] = {}
    for name, links in raw.items():
        if not isinstance(links, list) or not all(isinstance(each, str) for each in links):
            problems.append(f"{name}: expected a list of ids of links")
            continue
        problems += [
            f"{name}: there is no link {each!r:.60} in the topology"
            for each in links
            if each not in topology.links
        ]
        groups[str(name)] = frozenset(links)
    if problems:
        raise InputError(f"{source}: {'; '.join(problems[:10])}")
    return RiskGroups(groups)
