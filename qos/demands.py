"""What is asked of a network: flows of packets and streams of entangled pairs."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, TypeAlias

from qos.errors import ValueRefusedError
from qos.profiles import ACCESS_CATEGORIES, DSCP_VALUES, Profile, find_profile
from qos.units import NANOSECONDS_PER_SECOND, parse_duration, parse_rate


class DemandRefusedError(ValueRefusedError):
    """A demand cannot be, for one reason or several.

    Parameters
    ----------
    problems
        Every problem found, each with its place.
    """

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(self.problems))


Problem: TypeAlias = tuple[str, str]
"""A key and what is wrong with it; the key is empty where it is no single one."""


def _number(
    figures: Mapping[str, Any],
    field: str,
    low: float,
    high: float = math.inf,
    *,
    optional: bool = False,
    open_ends: str = "",
) -> Iterator[Problem]:
    value = figures[field]
    if value is None and optional:
        return
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if good:
        good = value > low if "(" in open_ends else value >= low
        good = good and (value < high if ")" in open_ends else value <= high)
    if not good:
        above = "more than" if "(" in open_ends else "at least"
        below = "less than" if ")" in open_ends else "at most"
        bound = f" and {below} {high:g}" if math.isfinite(high) else ""
        yield field, f"{field} must be a finite number, {above} {low:g}{bound}, not {value!r:.60}"


def _ends(figures: Mapping[str, Any]) -> Iterator[Problem]:
    for field in ("source", "destination"):
        value = figures[field]
        if not isinstance(value, str) or not value or value != value.strip() or not value.isprintable():
            yield field, f"{field} must be the id of a node, not {value!r:.60}"
    if figures["source"] == figures["destination"]:
        yield "", f"destination must be another node than the source {figures['source']!r:.60}"


def _one_of(figures: Mapping[str, Any], field: str, known: Collection[str]) -> Iterator[Problem]:
    if not isinstance(figures[field], str) or figures[field] not in known:
        yield field, f"{field} must be one of {', '.join(known)}, not {figures[field]!r:.60}"


def _whole(figures: Mapping[str, Any], field: str, low: int, high: int) -> Iterator[Problem]:
    value = figures[field]
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        yield field, f"{field} must be a whole number from {low} to {high}, not {value!r:.60}"


def _flow_problems(figures: Mapping[str, Any]) -> Iterator[Problem]:
    """Find everything that is wrong with the figures of a flow, which are all there."""
    yield from _ends(figures)
    rates = [*_number(figures, "rate_bps", 0, open_ends="(")]
    rates += _number(figures, "min_rate_bps", 0, optional=True, open_ends="(")
    yield from rates
    low, high = figures["min_rate_bps"], figures["rate_bps"]
    if not rates and low is not None and low > high:
        yield "", f"min_rate_bps {low:g} must be at most rate_bps {high:g}"
    yield from _number(figures, "delay_bound_s", 0, optional=True, open_ends="(")
    yield from _number(figures, "jitter_s", 0, optional=True, open_ends="(")
    yield from _number(figures, "loss", 0, 1, open_ends="()")
    yield from _number(figures, "violation_probability", 0, 1, open_ends="()")
    yield from _whole(figures, "priority", 0, 7)
    yield from _one_of(figures, "dscp", DSCP_VALUES)
    yield from _one_of(figures, "access_category", ACCESS_CATEGORIES)
    yield from _whole(figures, "packet_bytes", 1, 65535)
    if not isinstance(figures["protection"], bool):
        yield "protection", f"protection must be true or false, not {figures['protection']!r:.60}"


@dataclass(frozen=True, slots=True)
class FlowDemand:
    """A stream of packets from one node to another, with the bounds it needs.

    Attributes
    ----------
    source, destination
        Ids of two different nodes.
    rate_bps
        Rate asked for in bit/s, more than 0.
    min_rate_bps
        Least rate that is still useful, or None: `rate_bps`.
    delay_bound_s
        One-way delay bound in seconds, more than 0, or None.
    loss
        Loss probability that is borne, more than 0, less than 1.
    jitter_s
        Bound of the delay variation in seconds, more than 0, or None.
    violation_probability
        Share of packets that may miss the delay bound, more than 0, less than 1.
    priority
        0 (served first) to 7.
    dscp
        Name of the code point, a key of `qos.profiles.DSCP_VALUES`.
    access_category
        Wi-Fi access category.
    packet_bytes
        Packet size in bytes, 1 to 65535.
    profile
        Name of the profile that the demand was made from, empty if none.
    name
        Name for people and reports.
    protection
        Whether a second path is wanted that fails with nothing on the first (`qos.survival.protect`).

    Raises
    ------
    ValueRefusedError
        If a value is out of its range.
    """

    source: str
    destination: str
    rate_bps: float
    min_rate_bps: float | None = None
    delay_bound_s: float | None = None
    loss: float = 1e-3
    jitter_s: float | None = None
    violation_probability: float = 1e-2
    priority: int = 4
    dscp: str = "DF"
    access_category: str = "BE"
    packet_bytes: int = 1500
    profile: str = ""
    name: str = ""
    protection: bool = False

    def __post_init__(self) -> None:
        problems = [text for _, text in _flow_problems({key: getattr(self, key) for key in _FIGURES})]
        if problems:
            raise DemandRefusedError(problems)

    @classmethod
    def from_profile(cls, profile: str, source: str, destination: str, **figures: Any) -> FlowDemand:
        """Make a demand with the figures of a profile; figures given by name replace the profile's.

        The rate is the profile's largest one, unless one is given.

        Raises
        ------
        ValueRefusedError
            If the profile or a figure's name is unknown, or a value is out of range.

        Examples
        --------
        >>> demand = FlowDemand.from_profile("voice", "phone", "cell", rate_bps=64_000)
        >>> demand.delay_bound_s, demand.loss, demand.dscp
        (0.1, 0.01, 'EF')
        """
        found = find_profile(profile)
        known = {field.name for field in fields(cls)} - {"source", "destination", "profile"}
        for key in figures:
            if key not in known:
                raise ValueRefusedError(
                    f"demand: unknown figure {key!r}; use one of {', '.join(sorted(known))}"
                )
        return cls(source, destination, profile=found.name, **(_defaults(found, figures) | figures))

    @classmethod
    def from_mapping(cls, document: Mapping[str, Any], where: str = "demand") -> FlowDemand:
        """Make a demand of one entry of a file's section ``demands``.

        Keys are the fields; `rate`, `min_rate`, `delay`, `jitter` take values with a unit
        (``64kbit``, ``100ms``), and `ends: [a, b]` may stand for `source` and `destination`.

        Parameters
        ----------
        document
            The entry.
        where
            What to call the entry in an error: a path of keys (``demands[3]``), or a ``line 7``.

        Raises
        ------
        DemandRefusedError
            If keys are unknown or missing, or values out of range; each problem begins with `where` and the
            key.
        """
        items = dict(document)
        problems: list[Problem] = []
        _expand_ends(items, problems)
        _read_units(items, problems)
        profile = _known_profile(items, problems)
        known = set(_FIGURES) | {"name"}
        for key in [key for key in items if key not in known]:
            del items[key]
            offer = sorted(known | set(_UNITS) | {"ends", "profile"})
            problems.append((str(key)[:60], f"unknown key {str(key)[:60]!r}; use one of {', '.join(offer)}"))
        if "rate_bps" not in items and not profile:
            items["rate_bps"] = _STAND_IN
            problems.append(("", "rate is missing; give rate: 1mbit, or a profile"))
        figures = _defaults(profile, items) | items
        told = {key for key, _ in problems}
        problems += [
            (key, text) for key, text in _flow_problems(figures) if not key or _key_of(key) not in told
        ]
        if problems:
            raise DemandRefusedError(_placed(where, _spelled(key, document), text) for key, text in problems)
        return cls(profile="" if profile is None else profile.name, **figures)


_STAND_IN = 1e300
"""A rate in place of one that is missing or cannot be read, so that the other figures are judged too."""

_UNITS: Mapping[str, tuple[str, Callable[[str], float]]] = {
    "rate": ("rate_bps", parse_rate),
    "min_rate": ("min_rate_bps", parse_rate),
    "delay": ("delay_bound_s", lambda text: parse_duration(text) / NANOSECONDS_PER_SECOND),
    "jitter": ("jitter_s", lambda text: parse_duration(text) / NANOSECONDS_PER_SECOND),
}
_FIGURES = tuple(field.name for field in fields(FlowDemand) if field.name not in ("profile", "name"))


@dataclass(frozen=True)
class EntanglementDemand:
    """Entangled pairs between two nodes, delivered periodically.

    Whoever turns a demand into a protocol checks its values against the topology and the hardware.

    Attributes
    ----------
    source, destination
        Ids of two nodes.
    rate_ebit_per_s
        Pairs per second, more than 0.
    min_fidelity
        Of each delivered pair, in (0.5, 1].
    max_jitter_s
        How far the start of an instance may move from period to period, or None for any.
    probability
        Probability that the pair of a period is delivered, in (0, 1), or None where link generation is
        taken as deterministic.
    name
        Name for people and reports.
    weight
        What its pairs are worth beside those of others, from 0 to a million.
    """

    source: str
    destination: str
    rate_ebit_per_s: float
    min_fidelity: float
    max_jitter_s: float | None = None
    probability: float | None = None
    name: str = ""
    weight: float = 1.0


def _placed(where: str, key: str, text: str) -> str:
    """Put a problem in its place: ``demands[3].rate: ...``, ``line 7: rate: ...``."""
    dot = ": " if where.startswith("line ") else "."
    return f"{where}{dot}{key}: {text}" if key else f"{where}: {text}"


def _spelled(field: str, document: Mapping[str, Any]) -> str:
    """Give a figure the name that it has in the document."""
    short = _key_of(field)
    return short if short in document else field


def _key_of(field: str) -> str:
    return next((key for key, (target, _) in _UNITS.items() if target == field), field)


def _expand_ends(items: dict[str, Any], problems: list[Problem]) -> None:
    if "ends" in items:
        ends = items.pop("ends")
        if isinstance(ends, list | tuple) and len(ends) == 2:
            items["source"], items["destination"] = ends
        else:
            problems.append(("ends", f"ends must be a list of two nodes, not {ends!r:.60}"))
            items["source"], items["destination"] = "source", "destination"
    for key in ("source", "destination"):
        if key not in items:
            problems.append(("", f"{key} is missing; give source and destination, or ends: [a, b]"))
            items[key] = f"no {key}"


def _read_units(items: dict[str, Any], problems: list[Problem]) -> None:
    for key, (target, parse) in _UNITS.items():
        if key not in items:
            continue
        try:
            items[target] = parse(str(items.pop(key)))
        except ValueRefusedError as error:
            problems.append((key, str(error)))
            items.pop(target, None)
            if key == "rate":
                items[target] = _STAND_IN


def _known_profile(items: dict[str, Any], problems: list[Problem]) -> Profile | None:
    name = items.pop("profile", "")
    if not name:
        return None
    try:
        return find_profile(str(name))
    except ValueRefusedError as error:
        problems.append(("profile", str(error)))
        items.setdefault("rate_bps", _STAND_IN)
        return None


def _defaults(profile: Profile | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """Give the figures of a profile, or those of no profile, at the rate that is given."""
    if profile is None:
        every = {field.name: field.default for field in fields(FlowDemand) if field.default is not MISSING}
        del every["profile"]
        return every
    rate = given.get("rate_bps", profile.max_rate_bps)
    usable = isinstance(rate, int | float) and not isinstance(rate, bool)
    return {
        "rate_bps": rate,
        "min_rate_bps": min(profile.min_rate_bps, rate) if usable else None,
        "delay_bound_s": profile.delay_bound_s,
        "loss": profile.loss,
        "jitter_s": profile.jitter_s,
        "violation_probability": profile.violation_probability,
        "priority": profile.priority,
        "dscp": profile.dscp,
        "access_category": profile.access_category,
        "packet_bytes": profile.packet_bytes,
        "name": "",
        "protection": False,
    }
