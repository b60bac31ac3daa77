"""The nodes of a topology."""

from __future__ import annotations

from dataclasses import dataclass

from topologies.checks import FieldError, check_number, check_text, check_whole

NODE_KINDS = (
    "host",
    "router",
    "switch",
    "access-point",
    "base-station",
    "station",
    "quantum-end",
    "quantum-repeater",
    "other",
)


@dataclass(frozen=True, slots=True)
class Node:
    """One device.

    Attributes
    ----------
    id
        Unique printable name.
    kind
        One of `NODE_KINDS`.
    label
        Name for people; need not be unique; empty: the id.
    latitude, longitude
        Position in degrees, -90 to 90 and -180 to 180; both or neither.
    interfaces
        Names of the network interfaces that the node has on a Linux host.
    communication_qubits, storage_qubits
        Qubits that make elementary links, and qubits that only keep them; 0 to 10^6.

    Raises
    ------
    FieldError
        If a value is out of its range.
    """

    id: str
    kind: str = "host"
    label: str = ""
    latitude: float | None = None
    longitude: float | None = None
    interfaces: tuple[str, ...] = ()
    communication_qubits: int = 0
    storage_qubits: int = 0

    def __post_init__(self) -> None:
        check_text(self, "id", required=True)
        if self.kind not in NODE_KINDS:
            raise FieldError("kind", f"one of {', '.join(NODE_KINDS)}", self.kind)
        check_text(self, "label")
        check_number(self, "latitude", -90, 90, optional=True)
        check_number(self, "longitude", -180, 180, optional=True)
        if (self.latitude is None) != (self.longitude is None):
            missing = "longitude" if self.longitude is None else "latitude"
            raise FieldError(missing, "given where the other coordinate is", None)
        object.__setattr__(self, "interfaces", tuple(self.interfaces))
        for name in self.interfaces:
            if not isinstance(name, str) or not name or not name.isprintable() or " " in name:
                raise FieldError("interfaces", "a list of interface names", name)
        check_whole(self, "communication_qubits", 0, 10**6)
        check_whole(self, "storage_qubits", 0, 10**6)
