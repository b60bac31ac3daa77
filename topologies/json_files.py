"""JSON text to plain data, with its nesting, size and duplicate keys judged."""

from __future__ import annotations

import json
import re
from typing import Any

from topologies.document import Path
from topologies.guards import MAX_DEPTH, MAX_ITEMS, TopologyFileError, too_deep, too_many

# Possessive: text with an unclosed quote is scanned once, not once per quote.
_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\Z)|[\[\]{},]', re.DOTALL)


def _judge_nesting(text: str, source: str) -> None:
    depth = 0
    for tokens, match in enumerate(_TOKEN.finditer(text)):
        first = text[match.start()]
        if first in "[{":
            depth += 1
        elif first in "]}":
            depth -= 1
        if depth > MAX_DEPTH or tokens > 4 * MAX_ITEMS:
            line = text.count("\n", 0, match.start()) + 1
            raise TopologyFileError(source, [too_deep(line) if depth > MAX_DEPTH else too_many(line)])


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key[:60]!r} occurs twice")
        found[key] = value
    return found


def _constant(name: str) -> float:
    raise ValueError(f"{name} is no number in JSON; expected a finite number")


def parse(text: str, source: str) -> tuple[Any, dict[Path, int]]:
    """Turn JSON text into plain data; no line numbers are known beyond syntax errors.

    Raises
    ------
    TopologyFileError
        If it is no JSON, nested too deeply, has a duplicate key, NaN or an infinity.
    """
    _judge_nesting(text, source)
    try:
        return json.loads(text, object_pairs_hook=_pairs, parse_constant=_constant), {}
    except json.JSONDecodeError as error:
        raise TopologyFileError(source, [f"line {error.lineno}: expected JSON: {error.msg}"]) from None
    except ValueError as error:
        raise TopologyFileError(source, [str(error)[:200]]) from None


def dump(document: dict[str, Any]) -> str:
    """Write a document, indented."""
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
