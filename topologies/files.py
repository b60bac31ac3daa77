"""Topologies in files: `load` and `save`, the format chosen by the suffix.

========================  =======================================================
``.yaml``, ``.yml``       our schema (`docs/topologies.md`), errors with line and key
``.json``                 the same schema
``.graphml``, ``.gml``    ours with every field as an attribute, or Topology Zoo files
========================  =======================================================

Every format carries every field, so what is saved loads as an equal topology.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.resources import files as package_files
from pathlib import Path

from qos.errors import InputError, ValueRefusedError
from qos.whole_files import write_whole
from topologies.guards import TopologyFileError, read_text
from topologies.model import Topology

SUFFIXES = (".yaml", ".yml", ".json", ".graphml", ".gml")


@dataclass(frozen=True)
class Loaded:
    """A topology and what else its file said.

    Attributes
    ----------
    topology
        The topology.
    demands
        The ``demands`` section as it stood, or None; a topology does not hold it.
    notes
        What had to be assumed or left out, for people.
    """

    topology: Topology
    demands: object = None
    notes: tuple[str, ...] = ()


def library_names() -> list[str]:
    """Name the topologies of the library, sorted."""
    folder = package_files("topologies") / "library"
    return sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml"))


def parse(text: str, suffix: str, source: str) -> Loaded:
    """Parse the text of a topology file.

    Parameters
    ----------
    text
        The content.
    suffix
        One of `SUFFIXES`.
    source
        Name of the file, for errors.

    Raises
    ------
    TopologyFileError
        With every problem found.
    """
    if suffix in (".graphml", ".gml"):
        from topologies import gml_files, graphml_files
        from topologies.raw_graph import to_topology

        graph = (graphml_files if suffix == ".graphml" else gml_files).parse(text, source)
        topology, notes = to_topology(graph, source)
        return Loaded(topology, notes=tuple(notes))
    from topologies import json_files, yaml_files
    from topologies.document import build

    raw, lines = (json_files if suffix == ".json" else yaml_files).parse(text, source)
    return Loaded(*build(raw, source, lines))


def read(name: str | os.PathLike[str]) -> Loaded:
    """Read a topology file, or a topology of the library, with what else it says.

    Parameters
    ----------
    name
        A path with one of `SUFFIXES`, or a name of `library_names`.

    Raises
    ------
    TopologyFileError
        If the file cannot be read or used; carries every problem.
    InputError
        If there is neither such a file nor such a name.
    """
    text = os.fspath(name)
    path = Path(text)
    if text in library_names():
        inside = package_files("topologies") / "library" / f"{text}.yaml"
        return parse(inside.read_text(encoding="utf-8"), ".yaml", text)
    if path.suffix.lower() in SUFFIXES:
        return parse(read_text(path), path.suffix.lower(), text)
    if "/" in text or path.suffix or path.exists():
        raise InputError(f"{text}: unknown suffix {path.suffix!r}; expected one of {', '.join(SUFFIXES)}")
    near = get_close_matches(text, library_names(), n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there is {', '.join(library_names())}"
    raise InputError(f"no topology {text[:100]!r} in the library; {hint}")


def load(name: str | os.PathLike[str]) -> Topology:
    """Load a topology from a file or from the library.

    Parameters
    ----------
    name
        A path with one of `SUFFIXES`, or a name of `library_names`.

    Raises
    ------
    InputError
        If there is no such file or name, or the file cannot be used (`TopologyFileError`).

    Examples
    --------
    >>> load("star").links["3--0"].kind
    'quantum'
    """
    return read(name).topology


def dumps(topology: Topology, suffix: str) -> str:
    """Write a topology as text in the format of a suffix.

    Raises
    ------
    ValueRefusedError
        If the suffix is none of `SUFFIXES`.
    """
    from topologies import gml_files, graphml_files, json_files, yaml_files
    from topologies.document import describe
    from topologies.raw_graph import from_topology

    match suffix:
        case ".graphml":
            return graphml_files.dump(from_topology(topology))
        case ".gml":
            return gml_files.dump(from_topology(topology))
        case ".json":
            return json_files.dump(describe(topology))
        case ".yaml" | ".yml":
            return yaml_files.dump(describe(topology))
    raise ValueRefusedError(f"unknown suffix {suffix!r}; expected one of {', '.join(SUFFIXES)}")


def save(topology: Topology, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Save a topology; the file appears whole or not at all.

    Parameters
    ----------
    topology
        What to save.
    path
        Where; the suffix chooses the format.
    overwrite
        True replaces a file that exists.

    Raises
    ------
    ValueRefusedError
        If the suffix is unknown.
    InputError
        If the file exists and may not be replaced, or cannot be written.
    """
    write_whole(path, dumps(topology, Path(path).suffix.lower()), overwrite=overwrite)


__all__ = [
    "SUFFIXES",
    "Loaded",
    "TopologyFileError",
    "dumps",
    "library_names",
    "load",
    "parse",
    "read",
    "save",
]
