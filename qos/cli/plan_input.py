"""What `qos plan` reads: a scenario, an earlier plan, and changes of the network on the command line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from qos.errors import InputError, QosError, ValueRefusedError
from qos.units import NANOSECONDS_PER_SECOND, parse_duration, parse_rate

if TYPE_CHECKING:
    from qos.planning import Plan, Scenario
    from topologies.links import Link
    from topologies.model import Topology


@dataclass(frozen=True)
class PlanRequest:
    """What the command line asks for; the fields are its flags."""

    source: str | None
    demands: str | None
    previous: str | None
    fail: tuple[str, ...]
    changes: tuple[str, ...]
    seed: int


def read(request: PlanRequest) -> tuple[Scenario, Plan | None]:
    """Read the scenario, changed as asked, and the earlier plan.

    Raises
    ------
    InputError
        If a file cannot be used; names file and key.
    ValueRefusedError
        If a change names nothing that there is.
    """
    previous = None
    if request.previous is not None:
        from qos.plan_files import load_plan

        previous = load_plan(request.previous)
    scenario = _scenario(request, previous)
    topology = scenario.topology
    for text in request.fail:
        topology = failed(topology, text)
    for text in request.changes:
        topology = changed(topology, text)
    if topology is not scenario.topology:
        scenario = replace(scenario, topology=topology)
    return scenario, previous


def _scenario(request: PlanRequest, previous: Plan | None) -> Scenario:
    from qos.scenarios import load

    if request.source is not None:
        return load(request.source, request.demands, request.seed)
    if previous is None:
        raise ValueRefusedError("name a FILE with a topology and demands, or a plan with --previous PLAN")
    if request.demands is None:
        return previous.scenario
    from qos.scenarios import demands_of_file

    flows, pairs = demands_of_file(request.demands, previous.scenario.topology, request.seed)
    return replace(previous.scenario, flows=flows, entanglement=pairs)


def _find(topology: Topology, text: str, flag: str) -> list[str]:
    """Give the ids of the links that ``A:B`` or an id names."""
    if text in topology.links:
        return [text]
    one, colon, other = text.partition(":")
    if colon and one in topology.nodes and other in topology.nodes:
        found = [link.id for link in topology.links_between(one, other)]
        if found:
            return found
    raise ValueRefusedError(f"{flag} {text}: there is no such link in {topology.name or 'the topology'}")


def failed(topology: Topology, text: str) -> Topology:
    """Take a link (``A:B`` or its id) or all links of a node out.

    Raises
    ------
    ValueRefusedError
        If there is no such link or node.
    """
    from topologies.model import Topology as Made

    gone = (
        [link.id for link in topology.links.values() if text in (link.source, link.target)]
        if text in topology.nodes
        else _find(topology, text, "--fail")
    )
    links = [link for link in topology.links.values() if link.id not in gone]
    return Made(
        topology.nodes.values(),
        links,
        name=topology.name,
        description=topology.description,
        quantum=topology.quantum,
    )


def changed(topology: Topology, text: str) -> Topology:
    """Change a figure of a link: ``A:B.rate=10mbit``, ``A:B.delay=5ms``, ``A:B.snr_db=12``.

    Raises
    ------
    ValueRefusedError
        If there is no such link or figure, or the value cannot be.
    """
    from topologies.model import Topology as Made

    where, equals, value = text.partition("=")
    name, dot, key = where.rpartition(".")
    if not equals or not dot:
        raise ValueRefusedError(f"--set {text}: write LINK.FIGURE=VALUE, as in core:hall.rate=100mbit")
    ids = set(_find(topology, name, "--set"))
    try:
        links = [_with(link, key, value) if link.id in ids else link for link in topology.links.values()]
    except QosError as error:
        raise ValueRefusedError(f"--set {text}: {error}") from None
    return Made(
        topology.nodes.values(),
        links,
        name=topology.name,
        description=topology.description,
        quantum=topology.quantum,
    )


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueRefusedError(f"{text!r} is no number") from None


def _delay(text: str) -> float:
    return parse_duration(text) / NANOSECONDS_PER_SECOND


_FIGURES: dict[str, tuple[str, Callable[[str], Any]]] = {
    "rate": ("rate_bps", parse_rate),
    "reverse_rate": ("reverse_rate_bps", parse_rate),
    "delay": ("delay_s", _delay),
    "loss_probability": ("loss_probability", _number),
    "snr_db": ("snr_db", _number),
    "tx_power_dbm": ("tx_power_dbm", _number),
    "doppler_hz": ("doppler_hz", _number),
    "bandwidth_hz": ("bandwidth_hz", _number),
    "nakagami_m": ("nakagami_m", _number),
    "length_m": ("length_m", _number),
    "fidelity": ("capabilities", _number),
}


def _with(link: Link, key: str, value: str) -> Link:
    from topologies.links import LinkCapability, QuantumLink

    field, parse = _FIGURES.get(key, ("", _number))
    if not field or not hasattr(link, field):
        known = [name for name, (target, _) in _FIGURES.items() if hasattr(link, target)]
        raise ValueRefusedError(f"a {link.kind} link has no figure {key!r}; it has {', '.join(known)}")
    made: Callable[..., Link] = replace
    if isinstance(link, QuantumLink) and field == "capabilities":
        from topologies.link_tables import capabilities_of

        best = parse(value)
        points = tuple(
            LinkCapability(min(point.fidelity, best), point.rate_per_s) for point in capabilities_of(link)
        )
        return made(link, capabilities=points, table="")
    return made(link, **{field: parse(value)})


def refuse_overwriting(path: str, force: bool) -> None:
    """Refuse to write over a file that exists, before anything is planned.

    Raises
    ------
    InputError
        If it exists and `force` is false.
    """
    import os

    if os.path.lexists(path) and not force:
        raise InputError(f"{path}: exists already; --force replaces it")
