"""Shapes and types of a topology document, as pydantic models; ranges are judged by the model classes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from qos.units import NANOSECONDS_PER_SECOND, parse_duration, parse_rate


def _name(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _prose(value: object) -> object:
    return " ".join(value.split()) if isinstance(value, str) else value


def _rate(value: object) -> object:
    if isinstance(value, str):
        return parse_rate(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _delay(value: object) -> object:
    return parse_duration(value) / NANOSECONDS_PER_SECOND if isinstance(value, str) else value


Name = Annotated[str, BeforeValidator(_name)]
Rate = Annotated[int, BeforeValidator(_rate)]
Delay = Annotated[float, BeforeValidator(_delay)]


class Entry(BaseModel):
    """Base: unknown keys and wrong types are refused."""

    model_config = ConfigDict(extra="forbid", strict=True)


class NodeEntry(Entry):
    """One entry of `nodes`."""

    id: Name
    kind: str = "host"
    label: Name = ""
    latitude: float | None = None
    longitude: float | None = None
    interfaces: list[str] = []
    communication_qubits: int = 0
    storage_qubits: int = 0


class LinkEntry(Entry):
    """What every entry of `links` has."""

    ends: Annotated[list[Name], Field(min_length=2, max_length=2)]
    id: Name = ""


class PacketLinkEntry(LinkEntry):
    """What wired and wireless links share."""

    delay: Delay = 0.0
    source_interface: str = ""
    target_interface: str = ""


class WiredEntry(PacketLinkEntry):
    """A wired link."""

    kind: Literal["wired"]
    rate: Rate
    reverse_rate: Rate | None = None
    loss_probability: float = 0.0
    length_m: float | None = None


class WirelessEntry(PacketLinkEntry):
    """A wireless link."""

    kind: Literal["wireless"]
    bandwidth_hz: float
    frequency_hz: float
    snr_db: float | None = None
    distance_m: float | None = None
    tx_power_dbm: float | None = None
    doppler_hz: float = 0.0
    nakagami_m: float = 1.0


class CapabilityEntry(Entry):
    """A working point of a quantum link."""

    fidelity: float
    rate_per_s: float


class QuantumEntry(LinkEntry):
    """A quantum link."""

    kind: Literal["quantum"]
    length_m: float
    attenuation_db_per_km: float = 0.2
    capabilities: list[CapabilityEntry] = []
    table: str = ""


class ControlEntry(Entry):
    """The section `quantum`."""

    guard_time: Delay
    controller: Name


class Document(Entry):
    """The whole document; nodes and links are judged one by one later."""

    schema_: Literal[1] = Field(alias="schema")
    name: Name = ""
    description: Annotated[str, BeforeValidator(_prose)] = ""
    nodes: list[dict[str, Any]]
    links: list[dict[str, Any]] = []
    quantum: ControlEntry | None = None
    demands: Any = None


ENTRIES: dict[str, type[LinkEntry]] = {
    "wired": WiredEntry,
    "wireless": WirelessEntry,
    "quantum": QuantumEntry,
}
