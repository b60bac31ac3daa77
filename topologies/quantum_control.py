"""How the quantum part of a network is told what to do: who announces its slot tables, how long before."""

from __future__ import annotations

from dataclasses import dataclass

from topologies.checks import check_number, check_text


@dataclass(frozen=True, slots=True)
class QuantumControl:
    """The classical side of a quantum network's schedule.

    Attributes
    ----------
    guard_time_s
        Slack between the announcement of a slot table and its first slot in seconds, more than 0: the
        messages that tell the nodes must be there by then.
    controller
        Id of the node that announces the tables.

    Raises
    ------
    FieldError
        If a value is out of its range.
    """

    guard_time_s: float
    controller: str

    def __post_init__(self) -> None:
        check_number(self, "guard_time_s", 0, open_low=True)
        check_text(self, "controller", required=True)
