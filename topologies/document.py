"""The schema of a topology document, whatever the format it was written in.

`build` turns a parsed document (dicts, lists, text, numbers) into a topology or says everything
that is wrong with it; `describe` is its inverse. pydantic judges shapes and types, the classes of
`topologies.links` and `topologies.model` the ranges.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, TypeAlias

from pydantic import BaseModel, ValidationError

from qos.errors import ValueRefusedError
from qos.units import NANOSECONDS_PER_SECOND, format_duration, format_rate, parse_duration
from topologies.checks import FieldError
from topologies.guards import TopologyFileError
from topologies.links import LINK_TYPES, Link, LinkCapability
from topologies.model import Node, Topology
from topologies.quantum_control import QuantumControl
from topologies.schema import ENTRIES, ControlEntry, Document, NodeEntry

SCHEMA = 1
Path: TypeAlias = tuple[str | int, ...]
Lines: TypeAlias = Mapping[Path, int]

# Model field -> key in a document: in documents the unit stands in the value ("100mbit", "5ms").
KEYS = {"rate_bps": "rate", "reverse_rate_bps": "reverse_rate", "delay_s": "delay"}
FIELDS = {key: field for field, key in KEYS.items()}


class _Judge:
    """Collects every problem of one document, each with its line and key."""

    def __init__(self, lines: Lines) -> None:
        self.lines = lines
        self.problems: list[str] = []

    def add(self, path: Path, text: str) -> None:
        key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
        known = next((path[:n] for n in range(len(path), -1, -1) if path[:n] in self.lines), None)
        line = f"line {self.lines[known]}, " if known is not None else ""
        self.problems.append(f"{line}{key or 'document'}: {text}")

    def add_validation(self, path: Path, error: ValidationError) -> None:
        for one in error.errors(include_url=False):
            value = repr(one["input"])
            got = f", got {value[:57] + '...' if len(value) > 60 else value}"
            message = _WORDS.get(one["type"], one["msg"].removeprefix("Value error, "))
            hide = one["type"] in ("missing", "value_error")
            self.add(path + tuple(one["loc"]), message + ("" if hide else got))

    def entry(self, path: Path, kind: type[BaseModel], raw: Mapping[str, Any]) -> dict[str, Any] | None:
        try:
            checked = kind.model_validate(raw)
        except ValidationError as error:
            self.add_validation(path, error)
            return None
        return {key: getattr(checked, key) for key in checked.model_fields_set}


_WORDS = {
    "missing": "this key is required",
    "extra_forbidden": "unknown key",
    "string_type": "expected text (put it in quotes)",
    "int_type": "expected a whole number",
    "int_from_float": "expected a whole number",
    "float_type": "expected a number",
    "list_type": "expected a list",
    "dict_type": "expected a mapping of keys to values",
    "model_type": "expected a mapping of keys to values",
    "literal_error": "expected 1 (the version of this schema)",
    "too_short": "expected a list of two node ids",
    "too_long": "expected a list of two node ids",
}


def _make_node(judge: _Judge, index: int, raw: Mapping[str, Any]) -> Node | None:
    path: Path = ("nodes", index)
    values = judge.entry(path, NodeEntry, raw)
    if values is None:
        return None
    try:
        return Node(**values)
    except FieldError as error:
        judge.add((*path, error.field), f"expected {error.expected}, got {error.got}")
        return None


def _make_link(judge: _Judge, index: int, raw: Mapping[str, Any]) -> Link | None:
    path: Path = ("links", index)
    kind = raw.get("kind")
    if not isinstance(kind, str) or kind not in ENTRIES:
        judge.add((*path, "kind"), f"expected one of {', '.join(ENTRIES)}, got {kind!r:.60}")
        return None
    values = judge.entry(path, ENTRIES[kind], raw)
    if values is None:
        return None
    del values["kind"]
    source, target = values.pop("ends")
    points: list[LinkCapability] = []
    for number, point in enumerate(values.pop("capabilities", [])):
        try:
            points.append(LinkCapability(point.fidelity, point.rate_per_s))
        except FieldError as error:
            where = (*path, "capabilities", number, error.field)
            judge.add(where, f"expected {error.expected}, got {error.got}")
    arguments = {FIELDS.get(key, key): value for key, value in values.items()}
    if kind == "quantum":
        arguments["capabilities"] = tuple(points)
    try:
        return LINK_TYPES[kind](source=source, target=target, **arguments)
    except FieldError as error:
        key = {"source": "ends", "target": "ends"}.get(error.field, KEYS.get(error.field, error.field))
        judge.add((*path, key), f"expected {error.expected}, got {error.got}")
        return None


def _check_references(judge: _Judge, nodes: Sequence[Node | None], links: Sequence[Link | None]) -> None:
    first: dict[str, int] = {}
    for index, node in enumerate(nodes):
        if node is not None and first.setdefault(node.id, index) != index:
            judge.add(("nodes", index, "id"), f"node {node.id!r} is there already as nodes[{first[node.id]}]")
    seen: dict[str, int] = {}
    for index, link in enumerate(links):
        if link is None:
            continue
        if link.id and seen.setdefault(link.id, index) != index:
            judge.add(("links", index, "id"), f"link {link.id!r} is there already as links[{seen[link.id]}]")
        # A node that was itself refused would make every link to it a second complaint.
        if None not in nodes:
            for end in (link.source, link.target):
                if end not in first:
                    judge.add(("links", index, "ends"), f"expected ids of nodes, there is no node {end!r}")


def _make_control(
    judge: _Judge, entry: ControlEntry | None, nodes: Sequence[Node | None]
) -> QuantumControl | None:
    if entry is None:
        return None
    if None not in nodes and entry.controller not in {node.id for node in nodes if node is not None}:
        problem = f"expected the id of a node, there is no node {entry.controller!r}"
        judge.add(("quantum", "controller"), problem)
    try:
        return QuantumControl(entry.guard_time, entry.controller)
    except FieldError as error:
        key = {"guard_time_s": "guard_time"}.get(error.field, error.field)
        judge.add(("quantum", key), f"expected {error.expected}, got {error.got}")
        return None


def build(raw: object, source: str, lines: Lines) -> tuple[Topology, object]:
    """Make the topology that a parsed document describes.

    Parameters
    ----------
    raw
        Dicts with text keys, lists, text, numbers, booleans and None.
    source
        Name of the file, for the error.
    lines
        Line number of each key path, as far as known.

    Returns
    -------
    tuple
        The topology, and the document's ``demands`` section as it stood (None if there is none).

    Raises
    ------
    TopologyFileError
        With every problem that the document has.
    """
    judge = _Judge(lines)
    if not isinstance(raw, dict):
        expected = "expected a mapping with the keys schema, nodes and links"
        raise TopologyFileError(source, [f"{expected}, got {type(raw).__name__}"])
    try:
        document = Document.model_validate(raw)
    except ValidationError as error:
        judge.add_validation((), error)
        raise TopologyFileError(source, judge.problems) from None
    nodes = [_make_node(judge, index, entry) for index, entry in enumerate(document.nodes)]
    links = [_make_link(judge, index, entry) for index, entry in enumerate(document.links)]
    _check_references(judge, nodes, links)
    control = _make_control(judge, document.quantum, nodes)
    if judge.problems:
        raise TopologyFileError(source, judge.problems)
    try:
        topology = Topology(
            [node for node in nodes if node is not None],
            [link for link in links if link is not None],
            name=document.name,
            description=document.description,
            quantum=control,
        )
    except ValueRefusedError as error:
        raise TopologyFileError(source, [str(error)]) from None
    return topology, document.demands


def _spell(field: str, value: Any) -> Any:
    if field in ("rate_bps", "reverse_rate_bps"):
        return format_rate(value)
    if field in ("delay_s", "guard_time_s"):
        duration_ns = round(value * NANOSECONDS_PER_SECOND) if value < 1e9 else 0
        text = format_duration(duration_ns)
        return text if parse_duration(text) / NANOSECONDS_PER_SECOND == value and len(text) < 60 else value
    if field == "capabilities":
        return [{"fidelity": point.fidelity, "rate_per_s": point.rate_per_s} for point in value]
    return list(value) if isinstance(value, tuple) else value


def describe_item(item: Node | Link, *, plain: bool = False) -> dict[str, Any]:
    """Give the entry of one node or link, without the fields that have their default.

    Parameters
    ----------
    item
        The node or link.
    plain
        True keeps the model's field names and bare SI numbers; False spells units in the values.
    """
    entry: dict[str, Any] = {}
    for field in fields(item):
        value = getattr(item, field.name)
        if field.name in ("source", "target") or value == field.default:
            continue
        if plain and field.name != "capabilities":
            entry[field.name] = list(value) if isinstance(value, tuple) else value
        else:
            entry[KEYS.get(field.name, field.name)] = _spell(field.name, value)
    if isinstance(item, Node):
        return entry
    return {"kind": item.kind, "ends": [item.source, item.target], **entry}


def describe(topology: Topology) -> dict[str, Any]:
    """Give the document that `build` turns back into an equal topology."""
    head = {"name": topology.name, "description": topology.description}
    return {
        "schema": SCHEMA,
        **{key: text for key, text in head.items() if text},
        "nodes": [describe_item(node) for node in topology.nodes.values()],
        "links": [describe_item(link) for link in topology.links.values()],
        **({} if topology.quantum is None else {"quantum": _describe_control(topology.quantum)}),
    }


def _describe_control(control: QuantumControl) -> dict[str, Any]:
    return {
        "guard_time": _spell("guard_time_s", control.guard_time_s),
        "controller": control.controller,
    }
