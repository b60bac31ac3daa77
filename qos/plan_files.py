"""Plans as JSON documents: written, read back, and every wrong key named."""

from __future__ import annotations

import json
import math
import os
import types
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from qos.demands import FlowDemand
from qos.errors import InputError, ValueRefusedError
from qos.planning import (
    SCHEMA,
    EntanglementRequest,
    EntanglementSchedule,
    LinkSetting,
    Plan,
    PlannedEntanglement,
    PlannedFlow,
    PlanOptions,
    Rejection,
    Scenario,
    SearchReport,
)
from qos.whole_files import write_whole
from topologies.document import build, describe
from topologies.guards import TopologyFileError, read_text

KEYS = ("schema", "scenario", "flows", "entanglement", "links", "schedule", "rejected", "seconds")
"""Top-level keys of a plan; the options and the report of the search stand in `scenario`."""
_T = TypeVar("_T")


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    return value


def scenario_to_json(scenario: Scenario) -> dict[str, Any]:
    """Give the document of a scenario."""
    return {
        "source": scenario.source,
        "seed": scenario.seed,
        "digest": scenario.digest,
        "topology": describe(scenario.topology),
        "flows": [asdict(each) for each in scenario.flows],
        "entanglement": [_plain(each) for each in scenario.entanglement],
    }


def plan_to_json(plan: Plan) -> dict[str, Any]:
    """Give the document of a plan, of numbers, text, lists and objects only."""
    how = {"options": _plain(plan.options), "search": _plain(plan.search)}
    return {
        "schema": SCHEMA,
        "scenario": scenario_to_json(plan.scenario) | how,
        "flows": [_plain(each) for each in plan.flows.values()],
        "entanglement": [_plain(each) for each in plan.entanglement.values()],
        "links": [_plain(each) for each in plan.links],
        "schedule": _plain(plan.schedule),
        "rejected": [_plain(each) for each in plan.rejected],
        "seconds": plan.seconds,
    }


class _Reader:
    """Turns plain data into our types, with the file and key of what is wrong."""

    def __init__(self, source: str) -> None:
        self.source = source

    def refuse(self, where: str, problem: str) -> InputError:
        return InputError(f"{self.source}: {where or 'document'}: {problem}")

    def keys(self, raw: object, where: str, needed: tuple[str, ...], more: tuple[str, ...] = ()) -> Any:
        if not isinstance(raw, dict):
            raise self.refuse(where, f"expected an object, got {type(raw).__name__}")
        dot = f"{where}." if where else ""
        for key in raw:
            if key not in needed and key not in more:
                raise self.refuse(f"{dot}{str(key)[:60]}", "unknown key; was the file made by this version?")
        for key in needed:
            if key not in raw:
                raise self.refuse(f"{dot}{key}", "this key is required")
        return raw

    def make(self, kind: type[_T], raw: object, where: str) -> _T:
        hints = get_type_hints(kind)
        names = tuple(field.name for field in fields(kind))  # type: ignore[arg-type]
        found = self.keys(raw, where, names)
        values = {name: self.value(hints[name], found[name], f"{where}.{name}") for name in names}
        try:
            return kind(**values)
        except ValueRefusedError as error:
            raise self.refuse(where, str(error)) from None

    def value(self, kind: Any, raw: Any, where: str) -> Any:
        origin, parts = get_origin(kind), get_args(kind)
        if origin in (Union, types.UnionType):
            if raw is None and type(None) in parts:
                return None
            return self.value(next(part for part in parts if part is not type(None)), raw, where)
        if origin is tuple:
            return self._tuple(parts, raw, where)
        if origin is not None and issubclass(origin, Mapping):
            if not isinstance(raw, dict):
                raise self.refuse(where, f"expected an object, got {type(raw).__name__}")
            return {key: self.value(parts[1], each, f"{where}.{key}") for key, each in raw.items()}
        if is_dataclass(kind):
            return self.make(kind, raw, where)  # type: ignore[arg-type]
        return self._scalar(kind, raw, where)

    def _tuple(self, parts: tuple[Any, ...], raw: Any, where: str) -> tuple[Any, ...]:
        if not isinstance(raw, list):
            raise self.refuse(where, f"expected a list, got {type(raw).__name__}")
        if len(parts) == 2 and parts[1] is Ellipsis:
            kinds: list[Any] = [parts[0]] * len(raw)
        elif len(parts) == len(raw):
            kinds = list(parts)
        else:
            raise self.refuse(where, f"expected a list of {len(parts)}, got {len(raw)}")
        pairs = enumerate(zip(kinds, raw, strict=True))
        return tuple(self.value(one, each, f"{where}[{n}]") for n, (one, each) in pairs)

    def _scalar(self, kind: Any, raw: Any, where: str) -> Any:
        if kind is float and isinstance(raw, int) and not isinstance(raw, bool):
            return float(raw)
        good = isinstance(raw, kind) and not (isinstance(raw, bool) and kind is not bool)
        if not good or (kind is float and not math.isfinite(raw)):
            wanted = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}[kind]
            raise self.refuse(where, f"expected {wanted}, got {str(raw)[:60]!r}")
        return raw


def _scenario(reader: _Reader, raw: object) -> Scenario:
    keys = ("source", "seed", "digest", "topology", "flows", "entanglement")
    found = reader.keys(raw, "scenario", keys, ("options", "search"))
    try:
        topology, _ = build(found["topology"], f"{reader.source}: scenario.topology", {})
    except TopologyFileError as error:
        raise InputError(str(error)) from None
    flows = reader.value(tuple[FlowDemand, ...], found["flows"], "scenario.flows")
    asked = []
    if not isinstance(found["entanglement"], list):
        raise reader.refuse("scenario.entanglement", "expected a list")
    for number, one in enumerate(found["entanglement"]):
        asked.append(_request(reader, one, f"scenario.entanglement[{number}]"))
    seed = reader.value(int, found["seed"], "scenario.seed")
    source = reader.value(str, found["source"], "scenario.source")
    try:
        scenario = Scenario(topology, flows, tuple(asked), seed, source)
    except ValueRefusedError as error:
        raise reader.refuse("scenario", str(error)) from None
    if found["digest"] != scenario.digest:
        raise reader.refuse(
            "scenario.digest", f"{found['digest']!r} is not that of its topology, {scenario.digest!r}"
        )
    return scenario


def _request(reader: _Reader, raw: object, where: str) -> EntanglementRequest:
    return reader.make(EntanglementRequest, raw, where)


def plan_from_json(raw: object, source: str = "plan") -> Plan:
    """Make the plan of a document.

    Parameters
    ----------
    raw
        What `Plan.to_json` gave.
    source
        The file, for errors.

    Raises
    ------
    InputError
        If a key is missing, unknown or of the wrong kind; names file and key.
    """
    reader = _Reader(source)
    found = reader.keys(raw, "", KEYS)
    if found["schema"] != SCHEMA:
        raise reader.refuse("schema", f"expected {SCHEMA}, got {str(found['schema'])[:20]!r}")
    flows = reader.value(tuple[PlannedFlow, ...], found["flows"], "flows")
    pairs = reader.value(tuple[PlannedEntanglement, ...], found["entanglement"], "entanglement")
    scenario = _scenario(reader, found["scenario"])
    options = found["scenario"].get("options")
    search = found["scenario"].get("search")
    empty = SearchReport("feasible", 0.0, 0.0, "greedy")
    return Plan(
        scenario=scenario,
        options=PlanOptions() if options is None else reader.make(PlanOptions, options, "scenario.options"),
        flows={each.name: each for each in flows},
        entanglement={each.name: each for each in pairs},
        links=reader.value(tuple[LinkSetting, ...], found["links"], "links"),
        schedule=reader.value(EntanglementSchedule | None, found["schedule"], "schedule"),
        rejected=reader.value(tuple[Rejection, ...], found["rejected"], "rejected"),
        search=empty if search is None else reader.make(SearchReport, search, "scenario.search"),
        seconds=reader.value(float, found["seconds"], "seconds"),
    )


def load_plan(path: str | os.PathLike[str]) -> Plan:
    """Read a plan from a file that `save_plan` or `qos plan --out` wrote.

    Raises
    ------
    InputError
        If the file cannot be read or is no plan; names file and key.
    """
    from topologies import json_files

    source = os.fspath(path)
    return plan_from_json(json_files.parse(read_text(Path(source)), source)[0], source)


def save_plan(plan: Plan, path: str | os.PathLike[str]) -> None:
    """Write a plan; the file appears whole or not at all.

    Raises
    ------
    InputError
        If it cannot be written.
    """
    write_whole(path, json.dumps(plan_to_json(plan), indent=2, allow_nan=False) + "\n")
