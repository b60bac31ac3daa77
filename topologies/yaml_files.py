"""YAML text to plain data with line numbers, and back.

Scalars follow the core schema of YAML 1.2: ``no`` and ``010`` are text, not False and 8. The event
stream is judged first (nesting, number of items, aliases), so hostile text costs little.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from topologies.document import Path
from topologies.guards import MAX_DEPTH, MAX_ITEMS, TopologyFileError, too_deep, too_many

_PARSER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
MAX_ALIASED = 100_000
_MERGE = "tag:yaml.org,2002:merge"
_CORE = (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)", "-+0123456789"),
    (
        "float",
        r"[-+]?(?:(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|\.inf|\.Inf|\.INF)|\.nan|\.NaN|\.NAN",
        "-+0123456789.",
    ),
    ("merge", r"<<", "<"),
)


class _Loader(_PARSER):  # type: ignore[misc]
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012


for _tag, _pattern, _first in _CORE:
    for _character in _first:
        _Loader.yaml_implicit_resolvers.setdefault(_character.strip("\0"), []).append(
            (f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern})\Z"))
        )


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark is not None else 1


def _judge_events(text: str, source: str) -> int:
    depth = items = 0
    for items, event in enumerate(yaml.parse(text, Loader=_PARSER)):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise TopologyFileError(source, [too_deep(_line(event))])
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if items > MAX_ITEMS:
            raise TopologyFileError(source, [too_many(_line(event))])
    return items


class _Walk:
    """Turns the node graph into data; aliases are followed within a budget and never in a circle."""

    def __init__(self, source: str, budget: int) -> None:
        self.source = source
        self.lines: dict[Path, int] = {}
        self._open: set[int] = set()
        self._left = budget

    def fail(self, node: yaml.Node, problem: str) -> TopologyFileError:
        return TopologyFileError(self.source, [f"line {node.start_mark.line + 1}: {problem}"])

    def value(self, node: yaml.Node, path: Path) -> Any:
        self._left -= 1
        if self._left < 0:
            raise self.fail(node, f"aliases repeat more than {MAX_ALIASED} items")
        if id(node) in self._open:
            raise self.fail(node, "an anchor that contains an alias of itself")
        if len(self._open) > MAX_DEPTH:
            raise self.fail(node, f"aliases nest this more than {MAX_DEPTH} levels deep")
        self.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        if node.tag not in ("tag:yaml.org,2002:seq", "tag:yaml.org,2002:map"):
            raise self.fail(node, f"the tag {node.tag[:60]!r} is not allowed; expected plain data")
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self.value(child, (*path, index)) for index, child in enumerate(node.value)]
            return self._mapping(node, path)
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: yaml.Node, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                many = isinstance(value_node, yaml.SequenceNode)
                for one in value_node.value if many else [value_node]:
                    inner = self.value(one, path)
                    if not isinstance(inner, dict):
                        raise self.fail(one, "expected a mapping after '<<'")
                    merged = {**inner, **merged}
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                raise self.fail(key_node, "expected text as a key")
            key = key_node.value
            if key in found:
                raise self.fail(key_node, f"the key {key[:60]!r} occurs twice")
            # The line of a key, not of its value: where the eye looks for it.
            self.lines[(*path, key)] = key_node.start_mark.line + 1
            found[key] = self.value(value_node, (*path, key))
        return {**merged, **found}

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        kind, text = node.tag.removeprefix("tag:yaml.org,2002:"), node.value
        try:
            match kind:
                case "str" | "merge":
                    return text
                case "int":
                    return int(text)
                case "float":
                    return float(re.sub(r"\.(inf|nan)", r"\1", text.lower()))
                case "bool":
                    return {"true": True, "false": False}[text.lower()]
                case "null":
                    return None
        except (ValueError, KeyError):
            raise self.fail(node, f"{text[:60]!r} is not a valid {kind}") from None
        raise self.fail(node, f"the tag {node.tag[:60]!r} is not allowed; expected plain data")


def parse(text: str, source: str) -> tuple[Any, dict[Path, int]]:
    """Turn YAML text into plain data and the line of each key path.

    Raises
    ------
    TopologyFileError
        If it is no YAML, nested too deeply, too large, has recursive or exploding aliases, a
        duplicate key or a tag that is not plain data.
    """
    try:
        items = _judge_events(text, source)
        root = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        # libyaml puts the end of the text on a line that is not there.
        number = min(mark.line, text.count(chr(10))) + 1 if mark is not None else 0
        if "nesting depth" in (error.problem or ""):  # libyaml reads ahead of the events judged above
            raise TopologyFileError(source, [too_deep(number)]) from None
        line = f"line {number}: " if number else ""
        reason = " ".join(part for part in (error.context, error.problem) if part)
        raise TopologyFileError(source, [f"{line}expected YAML: {reason[:200]}"]) from None
    except (yaml.YAMLError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise TopologyFileError(source, [f"expected YAML: {reason}"]) from None
    if root is None:
        raise TopologyFileError(source, ["the file is empty; expected the keys schema, nodes and links"])
    walk = _Walk(source, items + MAX_ALIASED)
    return walk.value(root, ()), walk.lines


class _Dumper(_DUMPER):  # type: ignore[misc]
    # What YAML 1.1 or 1.2 would read as something else than text is put in quotes.
    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [
            *_DUMPER.yaml_implicit_resolvers.get(first, []),
            *_Loader.yaml_implicit_resolvers.get(first, []),
        ]
        for first in {*_DUMPER.yaml_implicit_resolvers, *_Loader.yaml_implicit_resolvers}
    }

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002
        return True


def dump(document: dict[str, Any]) -> str:
    """Write a document, one node or link a line."""
    options: dict[str, Any] = {"sort_keys": False, "allow_unicode": True, "width": 10_000}
    parts = []
    for key, value in document.items():
        if isinstance(value, list) and value:
            entries = (yaml.dump(one, Dumper=_Dumper, default_flow_style=True, **options) for one in value)
            parts.append(f"{key}:\n" + "".join(f"- {entry}" for entry in entries))
        else:
            parts.append(yaml.dump({key: value}, Dumper=_Dumper, default_flow_style=False, **options))
    return "".join(parts)
