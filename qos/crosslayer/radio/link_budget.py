"""The itemised budget of a radio link of a topology, and what its neighbours add as interference."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from qos.crosslayer.channel.path_loss import (
    free_space_loss_db,
    indoor_loss_db,
    log_distance_loss_db,
    shadowing_margin_db,
    urban_macro_loss_db,
)
from qos.crosslayer.guards import check_count, check_not_negative, check_positive, from_db, to_db
from qos.crosslayer.radio.rain import rain_fade_db
from qos.errors import ValueRefusedError
from topologies.links import WirelessLink
from topologies.model import Topology

EARTH_RADIUS_M = 6_371_000.0
DEFAULT_POWER_DBM = 20.0
PATH_LOSS_MODELS: dict[str, Callable[[float, float], float]] = {
    "free-space": free_space_loss_db,
    "log-distance": log_distance_loss_db,
    "indoor": indoor_loss_db,
    "uma-los": lambda d, f: urban_macro_loss_db(d, f, line_of_sight=True),
    "uma-nlos": lambda d, f: urban_macro_loss_db(d, f, line_of_sight=False),
}


@dataclass(frozen=True)
class RadioFigures:
    """What a topology does not say of its radios.

    Attributes
    ----------
    noise_figure_db
        Noise figure of the receiver.
    tx_gain_dbi, rx_gain_dbi
        Antenna gains towards the other end.
    path_loss
        A key of `PATH_LOSS_MODELS`, or empty: by the kind of the nodes (see `path_loss_model`).
    shadowing_db, coverage
        Standard deviation of the shadowing, and the share of places that the margin shall cover.
    rain_mm_per_h, unavailable
        Rain rate exceeded for 0.01 % of the year (0: no rain in the budget), and the share of the year
        in which rain may break the link.
    """

    noise_figure_db: float = 7.0
    tx_gain_dbi: float = 0.0
    rx_gain_dbi: float = 0.0
    path_loss: str = ""
    shadowing_db: float = 0.0
    coverage: float = 0.9
    rain_mm_per_h: float = 0.0
    unavailable: float = 1e-4

    def __post_init__(self) -> None:
        check_not_negative("noise figure", self.noise_figure_db)
        check_not_negative("shadowing deviation", self.shadowing_db)
        check_not_negative("rain rate", self.rain_mm_per_h)
        if self.path_loss and self.path_loss not in PATH_LOSS_MODELS:
            raise ValueRefusedError(
                f"path loss model {self.path_loss!r} is unknown; use one of {', '.join(PATH_LOSS_MODELS)}"
            )


@dataclass(frozen=True)
class LinkBudget:
    """An itemised budget.

    Attributes
    ----------
    items
        Name and value in dB, dBm or dBi, in the order of the path; their sum is the received power.
    noise_dbm
        Thermal noise in the channel with the noise figure.
    interference_dbm
        Sum of the interference, or None where none is known.
    snr_db
        Mean signal to noise and interference.
    source
        ``measured`` where the topology gives the SNR, otherwise the name of the path loss model.
    """

    items: tuple[tuple[str, float], ...]
    noise_dbm: float
    interference_dbm: float | None
    snr_db: float
    source: str

    @property
    def received_dbm(self) -> float:
        """Received power."""
        return sum(value for _, value in self.items)


def noise_dbm(bandwidth_hz: float, noise_figure_db: float) -> float:
    """Thermal noise power at 290 K: ``-174 + 10 log10 B + NF``."""
    return -174 + 10 * math.log10(check_positive("bandwidth", bandwidth_hz)) + noise_figure_db


def path_loss_model(topology: Topology, link: WirelessLink) -> str:
    """Choose a model by the ends: a base station is UMa NLOS, an access point indoor, else log-distance."""
    kinds = {topology.nodes[link.source].kind, topology.nodes[link.target].kind}
    far = link.distance_m or 0.0
    if "base-station" in kinds and 0.5e9 <= link.frequency_hz <= 100e9 and far <= 5000:
        return "uma-nlos"
    if "access-point" in kinds and 0.9e9 <= link.frequency_hz <= 6e9 and far <= 200:
        return "indoor"
    return "log-distance"


def link_budget(
    topology: Topology,
    link: WirelessLink,
    figures: RadioFigures | None = None,
    interference_dbm: float | None = None,
) -> LinkBudget:
    """Add up the budget of a link.

    The SNR that the topology gives is taken as measured; the propagation loss is then what it implies.
    """
    radio = figures or RadioFigures()
    power = DEFAULT_POWER_DBM if link.tx_power_dbm is None else link.tx_power_dbm
    noise = noise_dbm(link.bandwidth_hz, radio.noise_figure_db)
    gains = [("transmit power", power), ("transmit antenna", radio.tx_gain_dbi)]
    if link.snr_db is not None:
        implied = link.snr_db + noise - power - radio.tx_gain_dbi - radio.rx_gain_dbi
        items = (*gains, ("path (implied by the SNR)", implied), ("receive antenna", radio.rx_gain_dbi))
        source = "measured"
    else:
        source = radio.path_loss or path_loss_model(topology, link)
        assert link.distance_m is not None
        loss = PATH_LOSS_MODELS[source](link.distance_m, link.frequency_hz)
        losses = [(f"path loss ({source})", -loss)]
        if radio.shadowing_db:
            losses.append(("shadowing margin", -shadowing_margin_db(radio.shadowing_db, radio.coverage)))
        if radio.rain_mm_per_h and link.frequency_hz >= 1e9:
            fade = rain_fade_db(link.distance_m, link.frequency_hz, radio.rain_mm_per_h, radio.unavailable)
            losses.append(("rain", -fade))
        items = (*gains, *losses, ("receive antenna", radio.rx_gain_dbi))
    floor = noise if interference_dbm is None else to_db(from_db(noise) + from_db(interference_dbm))
    snr = sum(value for _, value in items) - floor
    return LinkBudget(items, noise, interference_dbm, snr, source)


def node_distance_m(topology: Topology, one: str, other: str) -> float | None:
    """Great-circle distance of two nodes, or None where a position is unknown."""
    a, b = topology.nodes[one], topology.nodes[other]
    if a.latitude is None or b.latitude is None or a.longitude is None or b.longitude is None:
        return None
    north, south = math.radians(a.latitude), math.radians(b.latitude)
    east = math.radians(b.longitude - a.longitude)
    half = math.sin((south - north) / 2) ** 2 + math.cos(north) * math.cos(south) * math.sin(east / 2) ** 2
    return 2 * EARTH_RADIUS_M * math.asin(math.sqrt(half))


@dataclass(frozen=True)
class Interferer:
    """A link whose sender another link's receiver hears on its channel."""

    link: str
    sender: str
    power_dbm: float


def interferers(
    topology: Topology, link: WirelessLink, figures: RadioFigures | None = None
) -> tuple[Interferer, ...]:
    """Find the co-channel senders that reach the target of a link, the strongest first.

    A sender counts with the share of its power that falls into the link's channel, as if always on. Links
    that share a node with this one do not interfere: the node sends to one at a time. Nodes without a
    position are left out.
    """
    radio = figures or RadioFigures()
    found = []
    for other in topology.links.values():
        if not isinstance(other, WirelessLink) or other.id == link.id:
            continue
        if {other.source, other.target} & {link.source, link.target}:
            continue
        overlap = _overlap_hz(link, other)
        distance = node_distance_m(topology, other.source, link.target)
        if overlap <= 0 or distance is None:
            continue
        power = DEFAULT_POWER_DBM if other.tx_power_dbm is None else other.tx_power_dbm
        loss = log_distance_loss_db(distance, other.frequency_hz)
        share = to_db(overlap / other.bandwidth_hz)
        found.append(Interferer(other.id, other.source, power + radio.rx_gain_dbi - loss + share))
    return tuple(sorted(found, key=lambda each: -each.power_dbm))


def total_interference_dbm(found: tuple[Interferer, ...]) -> float | None:
    """Add up interferers, or give None where there are none."""
    return to_db(sum(from_db(each.power_dbm) for each in found)) if found else None


def _overlap_hz(link: WirelessLink, other: WirelessLink) -> float:
    low = max(each.frequency_hz - each.bandwidth_hz / 2 for each in (link, other))
    high = min(each.frequency_hz + each.bandwidth_hz / 2 for each in (link, other))
    return high - low


def power_for_snr_dbm(budget: LinkBudget, power_dbm: float, wanted_snr_db: float, steps_db: int = 1) -> float:
    """Least power, in whole steps, whose SNR is at least the wanted one."""
    check_count("power step", steps_db, 1)
    missing = wanted_snr_db - budget.snr_db
    return power_dbm + math.ceil(missing / steps_db - 1e-9) * steps_db
