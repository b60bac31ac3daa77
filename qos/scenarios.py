"""Scenarios from files: a topology with its section ``demands``, or with demands of a second file.

An entry of ``demands`` asks for packets (``profile`` or figures: `qos.demands.FlowDemand`) or for entangled
pairs (``rate_ebit_per_s``, ``min_fidelity``: see `schedulers.entanglement.demand_files`); ``kind: flow`` or
``kind: entanglement`` says which where the keys do not.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any

from qos import traffic_matrix
from qos.demands import DemandRefusedError, EntanglementDemand, FlowDemand
from qos.errors import InputError, QosError, ValueRefusedError
from qos.planning import EntanglementRequest, Scenario
from qos.units import is_count, parse_rate
from topologies.files import SUFFIXES, library_names, read
from topologies.guards import TopologyFileError, read_text
from topologies.model import Topology

MAX_DEMANDS = 100_000
USUAL_PROBABILITY = 0.9
"""Share of periods in which a demand for pairs that does not say wants its pair: links succeed by chance, and
with their mean times alone a plan would promise what it cannot keep [ours]."""
_SHOWN = 40


class ScenarioError(InputError):
    """A scenario cannot be used.

    Parameters
    ----------
    problems
        Every problem found, each with file and key.
    """

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        more = len(self.problems) - _SHOWN
        rest = f"; and {more} more" if more > 0 else ""
        super().__init__("; ".join(self.problems[:_SHOWN]) + rest)


def load(
    path: str | os.PathLike[str], demands: str | os.PathLike[str] | None = None, seed: int = 0
) -> Scenario:
    """Read a scenario.

    Parameters
    ----------
    path
        A topology file, or a name of the library (`topologies.files.library_names`).
    demands
        A second file with the demands, YAML or JSON: a list, or an object with a list under ``demands``; or a
        traffic matrix (`qos.traffic_matrix`), CSV or SNDlib XML; or a generator of `qos.random_flows`:
        ``random:200`` draws so many flows of a mix of profiles, ``gravity:10gbit`` spreads a rate over all
        pairs of ends. It takes the place of the first file's section.
    seed
        Of every random choice of the plan, and of a generator.

    Raises
    ------
    InputError
        If a file cannot be used; `ScenarioError` carries every problem, each with file and key.
    ValueRefusedError
        If a generator is asked for what it cannot do.

    Examples
    --------
    >>> scenario = load("campus")
    >>> scenario.flows[0].name, scenario.entanglement[0].name
    ('alice-call', 'key-alice-bob')
    """
    source = os.fspath(path)
    problems: list[str] = []
    topology: Topology | None = None
    raw: object = None
    try:
        loaded = read(path)
        topology, raw = loaded.topology, loaded.demands
    except TopologyFileError as error:
        problems += [f"{source}: {problem}" for problem in error.problems]
        raw = _section(source) if demands is None else None
    if demands is not None and is_generator(demands):
        if problems or topology is None:
            raise ScenarioError(problems)
        return Scenario(topology, _named(generated(demands, topology, seed), ())[0], (), seed, source)
    if demands is not None and Path(demands).suffix.lower() in traffic_matrix.SUFFIXES:
        return _with_matrix(topology, demands, problems, seed, source)
    listed, where = (
        (raw, source) if demands is None else (_second_file(demands, problems), os.fspath(demands))
    )
    flows, pairs = read_demands(listed, where, topology, problems)
    if problems or topology is None:
        raise ScenarioError(problems)
    return Scenario(topology, flows, pairs, seed, source)


def _with_matrix(
    topology: Topology | None, demands: str | os.PathLike[str], problems: list[str], seed: int, source: str
) -> Scenario:
    flows: tuple[FlowDemand, ...] = ()
    try:
        flows = traffic_matrix.read_traffic(demands, nodes=None if topology is None else topology.nodes)
    except traffic_matrix.TrafficFileError as error:
        problems += [f"{os.fspath(demands)}: {problem}" for problem in error.problems]
    if problems or topology is None:
        raise ScenarioError(problems)
    try:
        return Scenario(topology, _named(flows, ())[0], (), seed, source)
    except ValueRefusedError as error:
        raise ScenarioError([f"{os.fspath(demands)}: {error}"]) from None


def is_generator(text: str | os.PathLike[str]) -> bool:
    """Tell ``random:COUNT`` and ``gravity:RATE`` from the name of a file."""
    return os.fspath(text).partition(":")[0] in ("random", "gravity") and ":" in os.fspath(text)


def generated(text: str | os.PathLike[str], topology: Topology, seed: int) -> tuple[FlowDemand, ...]:
    """Draw the demands of a generator.

    Parameters
    ----------
    text
        ``random:COUNT`` (`qos.random_flows.random_flows`) or ``gravity:RATE`` (`gravity_flows`).
    topology
        Where the ends are.
    seed
        Same seed, same demands.

    Raises
    ------
    ValueRefusedError
        If the count or the rate cannot be.
    """
    from qos.random_flows import gravity_flows, random_flows

    kind, _, amount = os.fspath(text).partition(":")
    if kind == "gravity":
        return gravity_flows(topology, parse_rate(amount), seed=seed)
    if not is_count(amount):
        raise ValueRefusedError(f"{os.fspath(text):.60}: how many flows? write random:200")
    return random_flows(topology, int(amount), seed=seed)


def demands_of_file(
    path: str | os.PathLike[str], topology: Topology, seed: int = 0
) -> tuple[tuple[FlowDemand, ...], tuple[EntanglementRequest, ...]]:
    """Read the demands of a file, or of a generator, for a topology that is there already.

    Raises
    ------
    ScenarioError
        If the file cannot be used; carries every problem.
    ValueRefusedError
        As `generated`.
    """
    problems: list[str] = []
    if is_generator(path):
        return _named(generated(path, topology, seed), ())
    if Path(path).suffix.lower() in traffic_matrix.SUFFIXES:
        found_in = _with_matrix(topology, path, problems, 0, "")
        return found_in.flows, ()
    found = read_demands(_second_file(path, problems), os.fspath(path), topology, problems)
    if problems:
        raise ScenarioError(problems)
    return found


def scenario(
    topology: Topology,
    demands: Sequence[FlowDemand | EntanglementDemand | EntanglementRequest] = (),
    seed: int = 0,
) -> Scenario:
    """Make a scenario of demands in the program; a demand without a name gets one from its ends.

    Raises
    ------
    ValueRefusedError
        If two demands have the same name.
    """
    flows = [each for each in demands if isinstance(each, FlowDemand)]
    pairs = [
        each if isinstance(each, EntanglementRequest) else EntanglementRequest(each.name, each)
        for each in demands
        if not isinstance(each, FlowDemand)
    ]
    named_flows, named_pairs = _named(flows, pairs)
    return Scenario(topology, named_flows, named_pairs, seed, topology.name)


def read_demands(
    raw: object, source: str, topology: Topology | None, problems: list[str]
) -> tuple[tuple[FlowDemand, ...], tuple[EntanglementRequest, ...]]:
    """Make demands of plain data, and note every problem.

    Parameters
    ----------
    raw
        A list of entries, or None for none.
    source
        The file, for the problems.
    topology
        Whose nodes the ends must be; None where that is not known.
    problems
        What is wrong is added to it, each with file and key.
    """
    if raw is None:
        return (), ()
    if not isinstance(raw, list):
        problems.append(f"{source}: demands: expected a list of demands, got {type(raw).__name__}")
        return (), ()
    if len(raw) > MAX_DEMANDS:
        problems.append(f"{source}: demands: {len(raw)} are more than {MAX_DEMANDS}")
        return (), ()
    flows: list[FlowDemand] = []
    pairs: list[EntanglementRequest] = []
    first: dict[str, int] = {}
    for number, entry in enumerate(raw):
        where = f"{source}: demands[{number}]"
        try:
            demand = _demand(entry, where, topology)
        except QosError as error:
            problems += getattr(error, "problems", (str(error),))
            continue
        if demand.name and first.setdefault(demand.name, number) != number:
            problems.append(
                f"{where}.name: {demand.name!r} is there already as demands[{first[demand.name]}]"
            )
        problems += _unknown_ends(demand, where, topology)
        if isinstance(demand, FlowDemand):
            flows.append(demand)
        else:
            pairs.append(demand)
    return _named(flows, pairs)


def _section(source: str) -> object:
    """Give the section ``demands`` of a file whose topology is wrong, so that its errors are told as well."""
    from topologies import json_files, yaml_files

    try:
        if source in library_names():
            text = (package_files("topologies") / "library" / f"{source}.yaml").read_text(encoding="utf-8")
        else:
            text = read_text(Path(source))
        suffix = Path(source).suffix.lower()
        if suffix not in SUFFIXES[:3]:
            return None
        raw, _ = (json_files if suffix == ".json" else yaml_files).parse(text, source)
    except QosError:
        return None
    return raw.get("demands") if isinstance(raw, dict) else None


def _second_file(path: str | os.PathLike[str], problems: list[str]) -> object:
    from topologies import json_files, yaml_files

    source = os.fspath(path)
    try:
        parse = json_files.parse if source.lower().endswith(".json") else yaml_files.parse
        raw, _ = parse(read_text(Path(source)), source)
    except TopologyFileError as error:
        problems += [f"{source}: {problem}" for problem in error.problems]
        return None
    if isinstance(raw, dict):
        for key in raw:
            if key not in ("demands", "schema"):
                problems.append(f"{source}: {key!s:.60}: unknown key; expected demands")
        if "demands" not in raw:
            problems.append(f"{source}: demands: this key is required")
        return raw.get("demands")
    if not isinstance(raw, list):
        problems.append(f"{source}: expected a list of demands, got {type(raw).__name__}")
        return None
    return raw


def _demand(entry: object, where: str, topology: Topology | None) -> FlowDemand | EntanglementRequest:
    from schedulers.entanglement.demand_files import asks_for_pairs

    if not isinstance(entry, Mapping):
        raise InputError(f"{where}: expected an object with the keys of a demand")
    kind = entry.get("kind", "flow")
    if kind not in ("flow", "entanglement"):
        raise InputError(f"{where}.kind: expected flow or entanglement, got {kind!r:.60}")
    if asks_for_pairs(entry):
        return _pairs(entry, where, topology)
    plain = {str(key): value for key, value in entry.items() if key != "kind"}
    for key in ("source", "destination", "name"):
        if key in plain:
            plain[key] = _id(plain[key])
    if isinstance(plain.get("ends"), list):
        plain["ends"] = [_id(each) for each in plain["ends"]]
    if not isinstance(plain.get("name", ""), str):
        raise InputError(f"{where}.name: expected text")
    return FlowDemand.from_mapping(plain, where)


def _id(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _pairs(entry: Mapping[Any, Any], where: str, topology: Topology | None) -> EntanglementRequest:
    from schedulers.entanglement.compile import Compiler, demand_problems
    from schedulers.entanglement.demand_files import read_demand

    plain = dict(entry)
    if isinstance(plain.get("ends"), list) and len(plain["ends"]) == 2:
        plain["source"], plain["destination"] = plain.pop("ends")
    by_key = "key_bit_per_s" in plain and topology is not None
    compiler = Compiler(topology) if by_key and topology is not None else None
    demand, packet = read_demand(plain, where, compiler)
    # A key rate alone gets the fidelity that links of mean times just reach; that leaves no room for chance.
    if "probability" not in plain and not (by_key and not {"min_fidelity", "f_min", "max_qber"} & set(plain)):
        demand = replace(demand, probability=USUAL_PROBABILITY)
    wrong = [f"{where}.{key}: {text}" for key, text in demand_problems(demand, packet)]
    if demand.source == demand.destination:
        wrong.append(f"{where}: destination must be another node than the source {demand.source!r:.60}")
    if wrong:
        raise DemandRefusedError(wrong)
    return EntanglementRequest(demand.name, demand, packet.pairs, packet.window_s)


def _unknown_ends(
    demand: FlowDemand | EntanglementRequest, where: str, topology: Topology | None
) -> list[str]:
    if topology is None:
        return []
    ends = demand if isinstance(demand, FlowDemand) else demand.demand
    return [
        f"{where}.{key}: there is no node {getattr(ends, key)!r} in the topology"
        for key in ("source", "destination")
        if getattr(ends, key) not in topology.nodes
    ]


def _named(
    flows: Sequence[FlowDemand], pairs: Sequence[EntanglementRequest]
) -> tuple[tuple[FlowDemand, ...], tuple[EntanglementRequest, ...]]:
    """Name the nameless by their ends, so that no two names are the same."""
    taken = {one.name for one in flows} | {one.name for one in pairs}

    def fresh(source: str, destination: str) -> str:
        stem, number = f"{source}-{destination}", 1
        while (name := stem if number == 1 else f"{stem}#{number}") in taken:
            number += 1
        taken.add(name)
        return name

    named_flows = tuple(
        one if one.name else replace(one, name=fresh(one.source, one.destination)) for one in flows
    )
    named_pairs = tuple(
        one if one.name else replace(one, name=fresh(one.demand.source, one.demand.destination))
        for one in pairs
    )
    return named_flows, named_pairs
