"""GML to a loose graph and back (Himsolt's Graph Modelling Language, as networkx and the Zoo use it)."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import Any, NoReturn

from topologies.guards import MAX_DEPTH, MAX_ITEMS, TopologyFileError, too_deep, too_many
from topologies.raw_graph import RawEdge, RawGraph, RawNode

_TOKEN = re.compile(
    r"""(?P<key>[A-Za-z_][A-Za-z0-9_]*) | (?P<real>[+-]?(?:\d+\.\d*|\.\d+|\d+(?=[eE]))(?:[eE][+-]?\d+)?)
    | (?P<int>[+-]?\d+) | (?P<text>"[^"]*+") | (?P<open>\[) | (?P<close>\]) | (?P<skip>\s+ | \#[^\n]*+)""",
    re.VERBOSE | re.ASCII,
)
_Record = list[tuple[str, Any, int]]


def _tokens(text: str, source: str) -> Iterator[tuple[str, str, int]]:
    position, line = 0, 1
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            shown = text[position : position + 20].split("\n")[0]
            raise TopologyFileError(source, [f"line {line}: expected GML, found {shown!r}"])
        kind = match.lastgroup or ""
        if kind != "skip":
            yield kind, match[0], line
        line += match[0].count("\n")
        position = match.end()


def _records(text: str, source: str) -> _Record:
    """Parse the nested key-value lists; iterative, so nesting costs no stack."""
    stack: list[_Record] = [[]]
    key: tuple[str, int] | None = None
    items = line = 0

    def fail(problem: str) -> NoReturn:
        raise TopologyFileError(source, [f"line {line}: {problem}"])

    for kind, word, line in _tokens(text, source):
        items += 1
        if items > MAX_ITEMS or len(stack) > MAX_DEPTH:
            raise TopologyFileError(source, [too_deep(line) if len(stack) > MAX_DEPTH else too_many(line)])
        if key is None:
            if kind == "key":
                key = (word, line)
            elif kind == "close" and len(stack) > 1:
                stack.pop()
            else:
                fail(f"expected a key, found {word[:40]!r}")
            continue
        if kind == "open":
            stack[-1].append((key[0], [], key[1]))
            stack.append(stack[-1][-1][1])
        elif kind in ("text", "int", "real"):
            stack[-1].append((key[0], _value(kind, word, fail), key[1]))
        else:
            fail(f"expected a value after {key[0][:40]!r}, found {word[:40]!r}")
        key = None
    if key is not None or len(stack) > 1:
        fail("the file ends in the middle of a list")
    return stack[0]


def _value(kind: str, word: str, fail: Any) -> Any:
    if kind == "text":
        return html.unescape(word[1:-1])
    if len(word) > 400:
        fail("a number of more than 400 digits")
    return int(word) if kind == "int" else float(word)


def _attributes(record: _Record) -> dict[str, Any]:
    # Lists (graphics [...]) mean nothing here; of a key that is repeated the first counts.
    found: dict[str, Any] = {}
    for key, value, _ in record:
        if not isinstance(value, list):
            found.setdefault(key, value)
    return found


def parse(text: str, source: str) -> RawGraph:
    """Turn GML text into a loose graph; nodes are named by their id, or by label in files of ours.

    Raises
    ------
    TopologyFileError
        If it is no GML, or a node or an edge lacks its ids.
    """
    graphs = [(value, line) for key, value, line in _records(text, source) if key == "graph"]
    if len(graphs) != 1 or not isinstance(graphs[0][0], list):
        raise TopologyFileError(source, [f"expected one 'graph [ ... ]', found {len(graphs)}"])
    record: _Record = graphs[0][0]
    graph = RawGraph(_attributes(record))
    ours = "qos_schema" in graph.attributes
    for name in ("directed", "multigraph") if ours else ():
        graph.attributes.pop(name, None)
    names: dict[str, str] = {}
    for key, value, line in record:
        if key in ("node", "edge") and not isinstance(value, list):
            raise TopologyFileError(source, [f"line {line}: expected '{key} [ ... ]'"])
        if key == "node":
            node = _node(value, line, source, ours=ours)
            if names.setdefault(*node[:2]) != node[1]:
                raise TopologyFileError(source, [f"line {line}: the node id {node[0]:.60} occurs twice"])
            graph.nodes.append(RawNode(node[1], node[2], line))
    for key, value, line in record:
        if key == "edge":
            graph.edges.append(_edge(value, line, source, names, ours=ours))
    return graph


def _need(attributes: dict[str, Any], key: str, what: str, line: int, source: str) -> str:
    if key not in attributes:
        raise TopologyFileError(source, [f"line {line}: the {what} needs the key {key!r}"])
    return str(attributes.pop(key))


def _node(record: _Record, line: int, source: str, *, ours: bool) -> tuple[str, str, dict[str, Any]]:
    attributes = _attributes(record)
    number = _need(attributes, "id", "node", line, source)
    if not ours:
        return number, number, attributes
    name = _need(attributes, "label", "node", line, source)
    if "name" in attributes:
        attributes["label"] = attributes.pop("name")
    return number, name, attributes


def _edge(record: _Record, line: int, source: str, names: dict[str, str], *, ours: bool) -> RawEdge:
    attributes = _attributes(record)
    ends = [_need(attributes, key, "edge", line, source) for key in ("source", "target")]
    if ours and "key" in attributes:
        attributes["id"] = attributes.pop("key")
    return RawEdge(names.get(ends[0], ends[0]), names.get(ends[1], ends[1]), attributes, line)


def _spell(value: Any) -> str:
    if isinstance(value, str):
        escaped = value.replace("&", "&amp;").replace('"', "&#34;")
        return '"' + "".join(c if ord(c) < 127 else f"&#{ord(c)};" for c in escaped) + '"'
    # Integers of GML have 32 bits; a real carries up to 2^53 exactly.
    return repr(float(value)) if isinstance(value, int) and abs(value) >= 2**31 else repr(value)


def dump(graph: RawGraph) -> str:
    """Write a loose graph as GML that networkx reads too (labels name the nodes, keys the edges)."""
    out = ["graph ["]
    if len({frozenset((edge.source, edge.target)) for edge in graph.edges}) < len(graph.edges):
        out.append("  multigraph 1")
    out += [f"  {key} {_spell(value)}" for key, value in graph.attributes.items()]
    numbers = {node.id: number for number, node in enumerate(graph.nodes)}
    for node in graph.nodes:
        rest = {"name" if key == "label" else key: value for key, value in node.attributes.items()}
        fields = {"id": numbers[node.id], "label": node.id, **rest}
        out += ["  node [", *(f"    {key} {_spell(value)}" for key, value in fields.items()), "  ]"]
    for edge in graph.edges:
        rest = {"key" if key == "id" else key: value for key, value in edge.attributes.items()}
        fields = {"source": numbers[edge.source], "target": numbers[edge.target], **rest}
        out += ["  edge [", *(f"    {key} {_spell(value)}" for key, value in fields.items()), "  ]"]
    return "\n".join([*out, "]"]) + "\n"
