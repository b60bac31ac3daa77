"""The three kinds of link, each an immutable record in SI units.

Every link is undirected and full duplex between `source` and `target`; a wired link whose two
directions differ says so with `reverse_rate_bps` (the direction from `target` to `source`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from qos.errors import ValueRefusedError
from topologies.checks import FieldError, check_number, check_text, check_whole

MAX_RATE_BPS = 10**15


def _check_ends(link: Link) -> None:
    for field in ("source", "target"):
        check_text(link, field, required=True)
    check_text(link, "id")
    if link.source == link.target:
        raise FieldError("target", "another node than the source (a link joins two nodes)", link.target)


@dataclass(frozen=True, slots=True)
class WiredLink:
    """A cable, fibre or any packet link whose rate does not depend on a radio.

    Attributes
    ----------
    source, target
        Ids of the two nodes.
    rate_bps
        Bits per second from source to target, 1 to 10^15.
    id
        Unique name in the topology; the topology makes one from the ends where it is empty.
    reverse_rate_bps
        Bits per second from target to source; None: as `rate_bps`.
    delay_s
        One-way propagation delay in seconds, at least 0.
    loss_probability
        Probability that a packet is lost on the wire, 0 to 1.
    length_m
        Length in metres, or None where unknown.
    source_interface, target_interface
        Names of the network interfaces at the two ends, empty where unknown.

    Raises
    ------
    FieldError
        If a value is out of its range.
    """

    kind: ClassVar[str] = "wired"

    source: str
    target: str
    rate_bps: int
    id: str = ""
    reverse_rate_bps: int | None = None
    delay_s: float = 0.0
    loss_probability: float = 0.0
    length_m: float | None = None
    source_interface: str = ""
    target_interface: str = ""

    def __post_init__(self) -> None:
        _check_ends(self)
        check_whole(self, "rate_bps", 1, MAX_RATE_BPS)
        check_whole(self, "reverse_rate_bps", 1, MAX_RATE_BPS, optional=True)
        check_number(self, "delay_s", 0)
        check_number(self, "loss_probability", 0, 1)
        check_number(self, "length_m", 0, optional=True)
        check_text(self, "source_interface")
        check_text(self, "target_interface")

    def rate_from(self, node_id: str) -> int:
        """Give the rate in bit/s of the direction that leaves `node_id`.

        Raises
        ------
        ValueRefusedError
            If the node is at neither end.
        """
        if node_id not in (self.source, self.target):
            raise ValueRefusedError(f"node {node_id!r} is not an end of link {self.id!r}")
        if node_id == self.target and self.reverse_rate_bps is not None:
            return self.reverse_rate_bps
        return self.rate_bps


@dataclass(frozen=True, slots=True)
class WirelessLink:
    """A radio link; what rate it carries is decided by the cross-layer adaptation.

    Attributes
    ----------
    source, target
        Ids of the two nodes.
    bandwidth_hz, frequency_hz
        Channel width and carrier frequency in hertz, more than 0.
    id
        Unique name in the topology; the topology makes one from the ends where it is empty.
    snr_db
        Mean signal-to-noise ratio at the receiver in dB, or None: follows from the distance.
    distance_m
        Distance in metres, at least 0, or None; one of `snr_db` and `distance_m` is needed.
    tx_power_dbm
        Transmit power in dBm, or None where unknown.
    doppler_hz
        Maximum Doppler shift in hertz, at least 0 (0: block fading without memory is not implied).
    nakagami_m
        Fading parameter, at least 0.5; 1 is Rayleigh.
    delay_s
        One-way delay apart from transmission in seconds, at least 0.
    source_interface, target_interface
        Names of the network interfaces at the two ends, empty where unknown.

    Raises
    ------
    FieldError
        If a value is out of its range, or neither SNR nor distance is given.
    """

    kind: ClassVar[str] = "wireless"

    source: str
    target: str
    bandwidth_hz: float
    frequency_hz: float
    id: str = ""
    snr_db: float | None = None
    distance_m: float | None = None
    tx_power_dbm: float | None = None
    doppler_hz: float = 0.0
    nakagami_m: float = 1.0
    delay_s: float = 0.0
    source_interface: str = ""
    target_interface: str = ""

    def __post_init__(self) -> None:
        _check_ends(self)
        check_number(self, "bandwidth_hz", 0, open_low=True)
        check_number(self, "frequency_hz", 0, open_low=True)
        check_number(self, "snr_db", -300, 300, optional=True)
        check_number(self, "distance_m", 0, optional=True)
        check_number(self, "tx_power_dbm", -300, 300, optional=True)
        check_number(self, "doppler_hz", 0)
        check_number(self, "nakagami_m", 0.5)
        check_number(self, "delay_s", 0)
        check_text(self, "source_interface")
        check_text(self, "target_interface")
        if self.snr_db is None and self.distance_m is None:
            raise FieldError("snr_db", "given where distance_m is not (one of the two is needed)", None)


@dataclass(frozen=True, slots=True)
class LinkCapability:
    """One working point of a quantum link.

    Attributes
    ----------
    fidelity
        Mean fidelity to the best Bell state, more than 0, at most 1.
    rate_per_s
        Mean rate of entangled pairs in ebit/s, more than 0.

    Raises
    ------
    FieldError
        If a value is out of its range.
    """

    fidelity: float
    rate_per_s: float

    def __post_init__(self) -> None:
        check_number(self, "fidelity", 0, 1, open_low=True)
        check_number(self, "rate_per_s", 0, open_low=True)


@dataclass(frozen=True, slots=True)
class QuantumLink:
    """A fibre over which two neighbours make entangled pairs.

    Attributes
    ----------
    source, target
        Ids of the two nodes.
    length_m
        Fibre length in metres, at least 0.
    id
        Unique name in the topology; the topology makes one from the ends where it is empty.
    attenuation_db_per_km
        Fibre attenuation in dB/km, at least 0.
    capabilities
        Working points that were measured or simulated for this link.
    table
        Name of a table of `topologies.link_tables` that gives the working points for the length,
        where `capabilities` is empty.

    Raises
    ------
    FieldError
        If a value is out of its range.
    """

    kind: ClassVar[str] = "quantum"

    source: str
    target: str
    length_m: float
    id: str = ""
    attenuation_db_per_km: float = 0.2
    capabilities: tuple[LinkCapability, ...] = ()
    table: str = ""

    def __post_init__(self) -> None:
        _check_ends(self)
        check_number(self, "length_m", 0)
        check_number(self, "attenuation_db_per_km", 0)
        object.__setattr__(self, "capabilities", tuple(self.capabilities))
        if not all(isinstance(point, LinkCapability) for point in self.capabilities):
            raise FieldError("capabilities", "a list of working points", self.capabilities)
        check_text(self, "table")


Link: TypeAlias = WiredLink | WirelessLink | QuantumLink
LINK_TYPES: dict[str, type[WiredLink] | type[WirelessLink] | type[QuantumLink]] = {
    "wired": WiredLink,
    "wireless": WirelessLink,
    "quantum": QuantumLink,
}
