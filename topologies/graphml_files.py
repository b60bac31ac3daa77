"""GraphML to a loose graph and back, by a streaming parser that refuses a DOCTYPE (hence entities)."""

from __future__ import annotations

import re
from typing import Any, NoReturn
from xml.etree import ElementTree
from xml.parsers import expat

from topologies.guards import MAX_DEPTH, MAX_ITEMS, TopologyFileError, too_deep, too_many
from topologies.raw_graph import RawEdge, RawGraph, RawNode

_NAMESPACE = "http://graphml.graphdrawing.org/xmlns"
_NUMBERS = {"int": int, "integer": int, "long": int, "float": float, "double": float}


class _Reader:
    """Handlers of one document; the state is the open node or edge and the text of the open data."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.graph = RawGraph()
        self._keys: dict[str, tuple[str, str, str]] = {}
        self._defaults: dict[str, Any] = {}
        self._depth = self._items = self._graphs = 0
        self._target: dict[str, Any] | None = None
        self._key = ""
        self._text: list[str] | None = None
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._parser.buffer_text = True

    def read(self, text: str) -> RawGraph:
        # The text is UTF-8 by now, whatever its declaration says.
        text = re.sub(r"\A\s*(<\?xml[^>]{0,200}?)\s+encoding=(\"[^\"]*\"|'[^']*')", r"\1", text, count=1)
        try:
            self._parser.Parse(text.encode(), True)
        except expat.ExpatError as error:
            reason = expat.ErrorString(error.code)
            raise TopologyFileError(self.source, [f"line {error.lineno}: expected XML: {reason}"]) from None
        if self._graphs == 0:
            raise TopologyFileError(self.source, ["expected a <graph> element inside <graphml>"])
        for node in self.graph.nodes:
            node.attributes = {**self._default("node"), **node.attributes}
        for edge in self.graph.edges:
            edge.attributes = {**self._default("edge"), **edge.attributes}
        self.graph.attributes = {**self._default("graph"), **self.graph.attributes}
        return self.graph

    def _default(self, domain: str) -> dict[str, Any]:
        return {
            self._keys[key][1]: value
            for key, value in self._defaults.items()
            if self._keys[key][0] in (domain, "all")
        }

    @property
    def _line(self) -> int:
        return self._parser.CurrentLineNumber

    def _fail(self, problem: str) -> NoReturn:
        raise TopologyFileError(self.source, [f"line {self._line}: {problem}"])

    def _doctype(self, *_: object) -> None:
        self._fail("a DOCTYPE is not allowed in GraphML")

    def _need(self, tag: str, attributes: dict[str, str], name: str) -> str:
        if name not in attributes:
            self._fail(f"<{tag}> needs the attribute {name!r}")
        return attributes[name]

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        self._items += 1 + len(attributes)
        if self._depth > MAX_DEPTH or self._items > MAX_ITEMS:
            problem = too_deep(self._line) if self._depth > MAX_DEPTH else too_many(self._line)
            raise TopologyFileError(self.source, [problem])
        tag = name.rpartition(" ")[2]
        if self._depth == 1 and tag != "graphml":
            self._fail(f"expected <graphml>, found <{tag[:40]}>")
        handler = getattr(self, f"_start_{tag}", None) if tag in _HANDLED else None
        if handler is not None:
            handler(attributes)
        elif tag in ("hyperedge", "port"):
            self._fail(f"<{tag}> is not supported; a link joins two nodes")

    def _start_key(self, attributes: dict[str, str]) -> None:
        key = self._need("key", attributes, "id")
        if key in self._keys:
            self._fail(f"the key {key[:60]!r} is declared twice")
        self._keys[key] = (
            attributes.get("for", "all"),
            attributes.get("attr.name", key),
            attributes.get("attr.type", "string"),
        )
        self._key = key

    def _start_default(self, _attributes: dict[str, str]) -> None:
        self._text = []

    def _start_graph(self, _attributes: dict[str, str]) -> None:
        self._graphs += 1
        if self._graphs > 1:
            self._fail("expected one <graph>; nested or further graphs are not supported")
        self._target = self.graph.attributes

    def _start_node(self, attributes: dict[str, str]) -> None:
        node = RawNode(self._need("node", attributes, "id"), {}, self._line)
        self.graph.nodes.append(node)
        self._target = node.attributes

    def _start_edge(self, attributes: dict[str, str]) -> None:
        ends = [self._need("edge", attributes, end) for end in ("source", "target")]
        edge = RawEdge(ends[0], ends[1], {}, self._line)
        if "id" in attributes:
            edge.attributes["id"] = attributes["id"]
        self.graph.edges.append(edge)
        self._target = edge.attributes

    def _start_data(self, attributes: dict[str, str]) -> None:
        self._key = self._need("data", attributes, "key")
        if self._key not in self._keys:
            self._fail(f"the key {self._key[:60]!r} is not declared by a <key>")
        self._text = []

    def _characters(self, text: str) -> None:
        if self._text is not None:
            self._text.append(text)

    def _end(self, name: str) -> None:
        self._depth -= 1
        tag = name.rpartition(" ")[2]
        if tag in ("node", "edge"):
            self._target = self.graph.attributes
        elif tag in ("data", "default") and self._text is not None:
            value = self._value("".join(self._text))
            self._text = None
            if tag == "default":
                self._defaults[self._key] = value
            elif self._target is not None:
                attribute = self._keys[self._key][1]
                if attribute in self._target:
                    self._fail(f"{attribute[:60]!r} occurs twice")
                self._target[attribute] = value

    def _value(self, text: str) -> Any:
        _, attribute, kind = self._keys[self._key]
        if kind not in _NUMBERS:
            return text
        try:
            return _NUMBERS[kind](text)
        except ValueError:
            self._fail(f"{attribute[:60]}: expected a value of type {kind}, got {text[:60]!r}")


_HANDLED = ("key", "default", "graph", "node", "edge", "data")


def parse(text: str, source: str) -> RawGraph:
    """Turn GraphML text into a loose graph.

    Raises
    ------
    TopologyFileError
        If it is no GraphML, has a DOCTYPE, or is nested too deeply.
    """
    return _Reader(source).read(text)


def dump(graph: RawGraph) -> str:
    """Write a loose graph as GraphML; values are text, integers or floats."""
    root = ElementTree.Element("graphml", xmlns=_NAMESPACE)
    keys: dict[tuple[str, str], str] = {}
    body = ElementTree.Element("graph", edgedefault="undirected")

    def add(parent: ElementTree.Element, domain: str, attributes: dict[str, Any]) -> None:
        for name, value in attributes.items():
            if (domain, name) not in keys:
                keys[domain, name] = f"{domain}.{name}"
                kind = "string" if isinstance(value, str) else "long" if isinstance(value, int) else "double"
                declared = {"id": keys[domain, name], "for": domain, "attr.name": name, "attr.type": kind}
                ElementTree.SubElement(root, "key", declared)
            ElementTree.SubElement(parent, "data", key=keys[domain, name]).text = str(value)

    add(body, "graph", graph.attributes)
    for node in graph.nodes:
        add(ElementTree.SubElement(body, "node", id=node.id), "node", node.attributes)
    for edge in graph.edges:
        rest = {key: value for key, value in edge.attributes.items() if key != "id"}
        ends = {"id": edge.attributes["id"], "source": edge.source, "target": edge.target}
        add(ElementTree.SubElement(body, "edge", ends), "edge", rest)
    root.append(body)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"
