"""Packet demands from a traffic matrix: CSV as a list or a square, and SNDlib's native XML.

A CSV *list* has a header with `source` and `destination` and at least one of `rate` and `profile`; further
columns are the keys of a demand (`min_rate`, `delay`, `jitter`, `loss`, `priority`, `name` ...). A CSV
*matrix* has the destinations in its first row and a source before each further one; an empty or zero
cell asks for nothing. A rate without a unit is in the unit given, bit/s unless said otherwise.

SNDlib's XML (Orlowski, Wessäly, Pióro, Tomaszewski: "SNDlib 1.0 - Survivable Network Design Library",
Networks 55(3), 2010) holds `<demand>` with `<source>`, `<target>`, `<demandValue>` and `<routingUnit>`, the
capacity that one unit of the demand takes. Its dynamic matrices name their unit in `<meta>`; the others
do not, and megabit per second is taken there, as in the library's own traffic files.
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.parsers import expat

from qos.demands import DemandRefusedError, FlowDemand
from qos.errors import InputError, ValueRefusedError
from qos.units import parse_rate
from topologies.guards import MAX_DEPTH, MAX_ITEMS, TopologyFileError, read_bytes, read_text

SUFFIXES = (".csv", ".xml")
MAX_DEMANDS = 200_000
SNDLIB_UNITS = {"BITPERSEC": 1.0, "KBITPERSEC": 1e3, "MBITPERSEC": 1e6, "GBITPERSEC": 1e9}
"""Units that `<meta><unit>` names in SNDlib's dynamic traffic matrices, in bit/s."""
_ALIASES = {
    "src": "source",
    "from": "source",
    "dst": "destination",
    "to": "destination",
    "target": "destination",
}
_NUMBERS = {"loss": float, "violation_probability": float, "priority": int, "packet_bytes": int}
_SHOWN = 5


class TrafficFileError(InputError):
    """A traffic matrix cannot be used.

    Parameters
    ----------
    source
        The file's name.
    problems
        Every problem, each with its line: ``line 3: rate: ...``.
    """

    def __init__(self, source: str, problems: list[str]) -> None:
        self.source = source
        self.problems = tuple(problems)
        more = len(problems) - _SHOWN
        rest = f"; and {more} more" if more > 0 else ""
        super().__init__(f"{source}: {'; '.join(problems[:_SHOWN])}{rest}")


def read_traffic(
    path: str | os.PathLike[str],
    *,
    nodes: Collection[str] | None = None,
    profile: str = "",
    unit_bps: float | None = None,
) -> tuple[FlowDemand, ...]:
    """Read the packet demands of a traffic matrix.

    Parameters
    ----------
    path
        A file with one of `SUFFIXES`.
    nodes
        Ids that demands may name; None: any.
    profile
        Profile of the demands that name none: its delay, loss and class at the matrix's rate.
    unit_bps
        What a rate without a unit counts, in bit/s, more than 0; None: 1 in CSV, and in XML what the file
        says or else 10^6.

    Raises
    ------
    TrafficFileError
        With every bad row and its line.
    ValueRefusedError
        If the profile is unknown or the unit out of range.
    """
    if profile:
        FlowDemand.from_profile(profile, "a", "b")
    if unit_bps is not None and not (math.isfinite(unit_bps) and unit_bps > 0):
        raise ValueRefusedError(f"unit_bps must be a finite number of bit/s, more than 0, not {unit_bps!r}")
    place = Path(path)
    suffix = place.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(f"{place}: expected a traffic matrix, {' or '.join(SUFFIXES)}, not {suffix!r}")
    try:
        if suffix == ".csv":
            rows = _csv_rows(read_text(place), unit_bps or 1.0)
        else:
            rows = _sndlib_rows(read_bytes(place), unit_bps)
        return _demands(rows, str(place), nodes, profile)
    except TopologyFileError as error:
        raise TrafficFileError(str(place), list(error.problems)) from None


class _Row(Exception):  # noqa: N818 - carries one problem out of a parser
    """A row that cannot be used."""


_Entry = tuple[int, Mapping[str, Any] | str]
"""The line of a row, and its figures or what is wrong with it."""


def _demands(
    rows: Iterator[_Entry], source: str, nodes: Collection[str] | None, profile: str
) -> tuple[FlowDemand, ...]:
    problems: list[str] = []
    found: list[FlowDemand] = []
    known = None if nodes is None else frozenset(nodes)
    for line, entry in rows:
        if len(found) + len(problems) >= MAX_DEMANDS:
            problems.append(f"line {line}: more than {MAX_DEMANDS} demands")
            break
        if isinstance(entry, str):
            problems.append(f"line {line}: {entry}")
            continue
        strange = [
            f"line {line}: {key}: the topology has no node {str(entry[key])[:60]!r}"
            for key in ("source", "destination")
            if known is not None and key in entry and entry[key] not in known
        ]
        try:
            items = dict(entry) if entry.get("profile") or not profile else {**entry, "profile": profile}
            found.append(FlowDemand.from_mapping(items, f"line {line}"))
        except DemandRefusedError as error:
            problems += error.problems
        except (ValueRefusedError, TypeError) as error:
            problems.append(f"line {line}: {error}")
        problems += strange
    if not found and not problems:
        problems.append("holds no demand")
    if problems:
        raise TrafficFileError(source, problems)
    return tuple(found)


def _rate_bps(text: str, unit_bps: float) -> float:
    """Read a rate with or without a unit, in bit/s."""
    try:
        value = float(text) * unit_bps
    except ValueError:
        return float(parse_rate(text))
    if not (math.isfinite(value) and value >= 0):
        raise ValueRefusedError(f"must be a finite number, at least 0, not {text!r}")
    return value


def _csv_rows(text: str, unit_bps: float) -> Iterator[_Entry]:
    reader = csv.reader(text.splitlines(keepends=True), strict=True)

    def rows() -> Iterator[tuple[int, list[str]]]:
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise TopologyFileError("", [f"line {reader.line_num}: expected CSV: {error}"]) from None
            cells = [cell.strip() for cell in cells]
            if any(cells) and not cells[0].startswith("#"):
                yield reader.line_num, cells

    every = rows()
    line, header = next(every, (1, []))
    names = [_ALIASES.get(cell.lower(), cell.lower()) for cell in header]
    if {"source", "destination"} <= set(names):
        return _list_rows(line, names, every, unit_bps)
    if len(header) < 2:
        raise TopologyFileError(
            "", [f"line {line}: expected a header: source,destination,rate, or the destinations of a matrix"]
        )
    return _square_rows(line, header, every, unit_bps)


def _list_rows(
    line: int, names: list[str], rows: Iterator[tuple[int, list[str]]], unit_bps: float
) -> Iterator[_Entry]:
    double = sorted({name for name in names if names.count(name) > 1})
    if double:
        raise TopologyFileError("", [f"line {line}: the column {double[0]!r} occurs twice"])
    if not {"rate", "profile"} & set(names):
        raise TopologyFileError("", [f"line {line}: expected a column rate, or profile"])
    for number, cells in rows:
        if len(cells) != len(names):
            yield number, f"expected {len(names)} columns as in the header, got {len(cells)}"
            continue
        items: dict[str, Any] = {name: cell for name, cell in zip(names, cells, strict=True) if cell}
        try:
            for key in ("rate", "min_rate"):
                if key in items:
                    items[f"{key}_bps"] = _read(key, items.pop(key), lambda cell: _rate_bps(cell, unit_bps))
            for key, kind in _NUMBERS.items():
                if key in items:
                    items[key] = _read(key, items[key], kind)
            yield number, items
        except _Row as problem:
            yield number, str(problem)


def _read(key: str, cell: str, kind: Callable[[str], Any]) -> Any:
    try:
        return kind(cell)
    except ValueRefusedError as error:
        raise _Row(f"{key}: {error}") from None
    except ValueError:
        what = "a whole number" if kind is int else "a number"
        raise _Row(f"{key}: expected {what}, got {cell[:60]!r}") from None


def _square_rows(
    line: int, header: list[str], rows: Iterator[tuple[int, list[str]]], unit_bps: float
) -> Iterator[_Entry]:
    destinations = header[1:]
    if len(set(destinations)) < len(destinations) or "" in destinations:
        raise TopologyFileError("", [f"line {line}: expected the destinations, each once, after the corner"])
    seen: dict[str, int] = {}
    for number, cells in rows:
        if len(cells) != len(header):
            yield number, f"expected {len(header)} cells as in the first row, got {len(cells)}"
            continue
        if seen.setdefault(cells[0], number) != number:
            yield number, f"the source {cells[0][:60]!r} is there already on line {seen[cells[0]]}"
            continue
        for destination, cell in zip(destinations, cells[1:], strict=True):
            try:
                rate_bps = (
                    _read(f"to {destination}", cell, lambda text: _rate_bps(text, unit_bps)) if cell else 0.0
                )
            except _Row as problem:
                yield number, str(problem)
                continue
            if rate_bps > 0:
                yield number, {"source": cells[0], "destination": destination, "rate_bps": rate_bps}


class _SndlibReader:
    """Handlers of one document; a DOCTYPE is refused, so there are no entities to expand."""

    def __init__(self) -> None:
        self.found: list[tuple[int, dict[str, str]]] = []
        self.unit = ""
        self._path: list[str] = []
        self._items = 0
        self._text: list[str] | None = None
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._parser.buffer_text = True

    def read(self, data: bytes) -> None:
        try:
            self._parser.Parse(data, True)
        except expat.ExpatError as error:
            reason = expat.ErrorString(error.code)
            raise TopologyFileError("", [f"line {error.lineno}: expected XML: {reason}"]) from None
        except (LookupError, ValueError) as error:  # of the name in the XML declaration
            raise TopologyFileError("", [f"line 1: expected XML in UTF-8: {error}"]) from None

    def _fail(self, problem: str) -> None:
        raise TopologyFileError("", [f"line {self._parser.CurrentLineNumber}: {problem}"])

    def _doctype(self, *_: object) -> None:
        self._fail("a DOCTYPE is not allowed in a traffic matrix")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        tag = name.rpartition(" ")[2]
        self._path.append(tag)
        self._items += 1 + len(attributes)
        if len(self._path) > MAX_DEPTH or self._items > MAX_ITEMS:
            self._fail(f"nested more than {MAX_DEPTH} levels deep, or more than {MAX_ITEMS} items")
        if len(self._path) == 1 and tag != "network":
            self._fail(f"expected SNDlib's <network>, found <{tag[:40]}>")
        if self._path[1:] == ["demands", "demand"]:
            self.found.append((self._parser.CurrentLineNumber, {"id": attributes.get("id", "")}))
        self._text = []

    def _characters(self, text: str) -> None:
        if self._text is not None:
            self._text.append(text)

    def _end(self, _name: str) -> None:
        text = "".join(self._text or ()).strip()
        if self._path[1:-1] == ["demands", "demand"]:
            figures = self.found[-1][1]
            if self._path[-1] in figures:
                self._fail(f"<{self._path[-1][:40]}> occurs twice in a demand")
            figures[self._path[-1]] = text
        elif self._path[1:] == ["meta", "unit"]:
            self.unit = text.upper()
        self._text = None
        self._path.pop()


def _sndlib_rows(data: bytes, unit_bps: float | None) -> Iterator[_Entry]:
    reader = _SndlibReader()
    reader.read(data)
    if unit_bps is None and reader.unit and reader.unit not in SNDLIB_UNITS:
        known = ", ".join(SNDLIB_UNITS)
        raise TopologyFileError("", [f"meta.unit: {reader.unit[:40]!r} is unknown; use one of {known}"])
    scale = unit_bps or SNDLIB_UNITS[reader.unit or "MBITPERSEC"]
    for line, figures in reader.found:
        missing = [tag for tag in ("source", "target", "demandValue") if not figures.get(tag)]
        if missing:
            yield line, f"demand {figures['id'][:60]!r}: <{missing[0]}> is missing"
            continue
        try:
            value = _read("demandValue", figures["demandValue"], float)
            unit = _read("routingUnit", figures.get("routingUnit") or "1", float)
        except _Row as problem:
            yield line, str(problem)
            continue
        if value == 0:
            continue
        yield (
            line,
            {
                "source": figures["source"],
                "destination": figures["target"],
                "rate_bps": value * unit * scale,
                "name": figures["id"],
            },
        )
