"""What is asked of a network: flows of packets and streams of entangled pairs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from qos.errors import ValueRefusedError
from qos.profiles import ACCESS_CATEGORIES, DSCP_VALUES, find_profile
from qos.units import NANOSECONDS_PER_SECOND, parse_duration, parse_rate


def _number(
    owner: object,
    field: str,
    low: float,
    high: float = math.inf,
    *,
    optional: bool = False,
    open_ends: str = "",
) -> None:
    value = getattr(owner, field)
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
        raise ValueRefusedError(f"{field} must be a finite number, {above} {low:g}{bound}, not {value!r}")


def _ends(owner: FlowDemand) -> None:
    for field in ("source", "destination"):
        value = getattr(owner, field)
        if not isinstance(value, str) or not value or value != value.strip() or not value.isprintable():
            raise ValueRefusedError(f"{field} must be the id of a node, not {value!r}")
    if owner.source == owner.destination:
        raise ValueRefusedError(f"destination must be another node than the source {owner.source!r}")


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

    def __post_init__(self) -> None:
        _ends(self)
        _number(self, "rate_bps", 0, open_ends="(")
        _number(self, "min_rate_bps", 0, optional=True, open_ends="(")
        if self.min_rate_bps is not None and self.min_rate_bps > self.rate_bps:
            raise ValueRefusedError(
                f"min_rate_bps {self.min_rate_bps:g} must be at most rate_bps {self.rate_bps:g}"
            )
        _number(self, "delay_bound_s", 0, optional=True, open_ends="(")
        _number(self, "jitter_s", 0, optional=True, open_ends="(")
        _number(self, "loss", 0, 1, open_ends="()")
        _number(self, "violation_probability", 0, 1, open_ends="()")
        if isinstance(self.priority, bool) or self.priority not in range(8):
            raise ValueRefusedError(f"priority must be a whole number from 0 to 7, not {self.priority!r}")
        if self.dscp not in DSCP_VALUES:
            raise ValueRefusedError(f"dscp must be one of {', '.join(DSCP_VALUES)}, not {self.dscp!r}")
        if self.access_category not in ACCESS_CATEGORIES:
            raise ValueRefusedError(
                f"access_category must be one of {', '.join(ACCESS_CATEGORIES)}, not {self.access_category!r}"
            )
        if isinstance(self.packet_bytes, bool) or self.packet_bytes not in range(1, 65536):
            raise ValueRefusedError(
                f"packet_bytes must be a whole number from 1 to 65535, not {self.packet_bytes!r}"
            )

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
        rate = figures.get("rate_bps", found.max_rate_bps)
        defaults: dict[str, Any] = {
            "rate_bps": rate,
            "min_rate_bps": min(found.min_rate_bps, rate) if isinstance(rate, int | float) else None,
            "delay_bound_s": found.delay_bound_s,
            "loss": found.loss,
            "jitter_s": found.jitter_s,
            "violation_probability": found.violation_probability,
            "priority": found.priority,
            "dscp": found.dscp,
            "access_category": found.access_category,
            "packet_bytes": found.packet_bytes,
        }
        return cls(source, destination, profile=found.name, **(defaults | figures))

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
            What to call the entry in an error.

        Raises
        ------
        ValueRefusedError
            If a key is unknown or missing, or a value is out of range; the message begins with `where`.
        """
        try:
            return cls._from_items(dict(document))
        except ValueRefusedError as error:
            raise ValueRefusedError(f"{where}: {error}") from None

    @classmethod
    def _from_items(cls, items: dict[str, Any]) -> FlowDemand:
        _expand_ends(items)
        for key, target in (("rate", "rate_bps"), ("min_rate", "min_rate_bps")):
            if key in items:
                items[target] = parse_rate(str(items.pop(key)))
        for key, target in (("delay", "delay_bound_s"), ("jitter", "jitter_s")):
            if key in items:
                items[target] = parse_duration(str(items.pop(key))) / NANOSECONDS_PER_SECOND
        source, destination = _take_ends(items)
        profile = items.pop("profile", "")
        if profile:
            return cls.from_profile(str(profile), source, destination, **items)
        _refuse_unknown(items, {field.name for field in fields(cls)})
        if "rate_bps" not in items:
            raise ValueRefusedError("rate is missing; give rate: 1mbit, or a profile")
        return cls(source, destination, **items)


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
    """

    source: str
    destination: str
    rate_ebit_per_s: float
    min_fidelity: float
    max_jitter_s: float | None = None
    probability: float | None = None
    name: str = ""


def _expand_ends(items: dict[str, Any]) -> None:
    if "ends" not in items:
        return
    ends = items.pop("ends")
    if not isinstance(ends, list | tuple) or len(ends) != 2:
        raise ValueRefusedError(f"ends must be a list of two nodes, not {ends!r}")
    items["source"], items["destination"] = ends


def _take_ends(items: dict[str, Any]) -> tuple[str, str]:
    for key in ("source", "destination"):
        if key not in items:
            raise ValueRefusedError(f"{key} is missing; give source and destination, or ends: [a, b]")
    return items.pop("source"), items.pop("destination")


def _refuse_unknown(items: dict[str, Any], known: set[str]) -> None:
    for key in items:
        if key not in known:
            raise ValueRefusedError(f"unknown key {key!r}; use one of {', '.join(sorted(known))}")
