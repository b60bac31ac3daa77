"""The packet disciplines by name, and their parameters."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, fields, replace
from types import MappingProxyType

from qos.errors import ValueRefusedError
from schedulers.packet import per_packet_names
from schedulers.packet.layout import (
    AQM_COBALT,
    AQM_CODEL,
    AQM_NONE,
    AQM_PIE,
    HASH_PERFECT,
    HASH_PLAIN,
    HASH_SET_ASSOCIATIVE,
    SCHEDULE_DRR,
    SCHEDULE_FAIR,
    SCHEDULE_FIFO,
    SCHEDULE_HTB,
)
from schedulers.packet.limits.registry import check_policy

UNLIMITED = 1 << 40
_HASHES = MappingProxyType(
    {"perfect": HASH_PERFECT, "plain": HASH_PLAIN, "set-associative": HASH_SET_ASSOCIATIVE}
)


@dataclass(frozen=True)
class QueueConfiguration:
    """One queue: a discipline and its parameters; `queue()` fills in the discipline's defaults.

    Attributes
    ----------
    discipline
        One of `discipline_names()`.
    limit_packets, limit_bytes
        Limits of the whole queue, at least 1.
    flow_limit_packets, flow_limit_bytes
        Limits of each flow's part of a fair queue, at least 1; a limit policy changes them.
    flows
        Number of sub-queues of a fair queue, 1 to 2^20.
    hash
        How flows find their sub-queue: ``perfect`` (no two flows share one while there are enough),
        ``plain`` (a hash of the flow, as Linux's FQ-CoDel) or ``set-associative`` (as CAKE).
    quantum_bytes
        Bytes a round of a fair queue, 1 to 2^30.
    mtu_bytes
        Largest packet as the queue counts it, 64 to 65 536: CoDel's least backlog, a limit policy's frame.
    target_s, interval_s
        CoDel and COBALT: target delay and interval; PIE: reference delay in `target_s`; more than 0.
    update_s, burst_s, alpha, beta
        PIE: update interval, burst allowance, gains (1/s); the defaults are those of RFC 8033.
    ecn
        Mark ECN-capable packets instead of dropping them.
    shared_backlog
        CoDel of a fair queue lets a packet pass where at most one more waits in the whole queue, as Linux's
        fq_codel does, and not where less than one waits in the flow's own part (RFC 8289, ns-3).
    ce_threshold_s
        CoDel: mark every ECN-capable packet that waited longer; None: never.
    per_packet
        Name of a limit policy that decides at every packet; empty: none.
    policy
        Limit policy of a fair queue that is polled, as `schedulers.packet.limits` spells it; empty: none.
    poll_s
        Time between its polls, more than 0.
    """

    discipline: str
    limit_packets: int = UNLIMITED
    limit_bytes: int = UNLIMITED
    flow_limit_packets: int = UNLIMITED
    flow_limit_bytes: int = UNLIMITED
    flows: int = 1
    hash: str = "perfect"
    quantum_bytes: int = 1500
    mtu_bytes: int = 1500
    target_s: float = 0.005
    interval_s: float = 0.1
    update_s: float = 0.015
    burst_s: float = 0.15
    alpha: float = 0.125
    beta: float = 1.25
    ecn: bool = False
    shared_backlog: bool = False
    ce_threshold_s: float | None = None
    per_packet: str = ""
    policy: str = ""
    poll_s: float = 0.02

    def __post_init__(self) -> None:
        if self.discipline not in _DISCIPLINES:
            raise ValueRefusedError(_unknown("queue", self.discipline, discipline_names()))
        if self.hash not in _HASHES:
            raise ValueRefusedError(_unknown("hash", self.hash, tuple(_HASHES)))
        if self.per_packet:
            names = per_packet_names.NAMES
            if self.per_packet not in names:
                raise ValueRefusedError(_unknown("per-packet policy", self.per_packet, names))
        for name in ("limit_packets", "limit_bytes", "flow_limit_packets", "flow_limit_bytes"):
            _check_whole(self, name, 1, UNLIMITED)
        _check_whole(self, "flows", 1, 1 << 20)
        _check_whole(self, "quantum_bytes", 1, 1 << 30)
        _check_whole(self, "mtu_bytes", 64, 1 << 16)
        _check_flag(self, "ecn")
        _check_flag(self, "shared_backlog")
        if self.policy:
            check_policy(self.policy)
            if self.flows == 1:
                raise ValueRefusedError(
                    f"queue {self.discipline}: a limit policy needs a part for each flow, such as fq has"
                )
        for name in ("target_s", "interval_s", "update_s", "poll_s"):
            _check_positive(self, name)
        for name in ("burst_s", "alpha", "beta"):
            _check_positive(self, name, zero=True)
        if self.ce_threshold_s is not None:
            _check_positive(self, "ce_threshold_s")

    @property
    def schedule(self) -> int:
        """Number of the scheduler."""
        return _DISCIPLINES[self.discipline][0]

    @property
    def aqm(self) -> int:
        """Number of the active queue management."""
        return _DISCIPLINES[self.discipline][1]

    @property
    def hash_number(self) -> int:
        """Number of the hash."""
        return _HASHES[self.hash]


def _unknown(what: str, name: object, names: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(str(name), names, n=3, cutoff=0.4)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return f"unknown {what} {str(name)[:40]!r}; known: {', '.join(names)}{hint}"


def _check_whole(owner: QueueConfiguration, name: str, low: int, high: int) -> None:
    value = getattr(owner, name)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        bound = "unlimited" if high == UNLIMITED else str(high)
        raise ValueRefusedError(
            f"queue {owner.discipline}: {name} must be a whole number from {low} to {bound}, not {value!r}"
        )


def _check_flag(owner: QueueConfiguration, name: str) -> None:
    value = getattr(owner, name)
    if not isinstance(value, bool):
        raise ValueRefusedError(
            f"queue {owner.discipline}: {name} must be true or false, not {str(value)[:40]!r}"
        )


def _check_positive(owner: QueueConfiguration, name: str, *, zero: bool = False) -> None:
    value = getattr(owner, name)
    good = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 3600
    if not good or (value == 0 and not zero):
        low = "at least 0" if zero else "more than 0"
        raise ValueRefusedError(
            f"queue {owner.discipline}: {name} must be {low} and at most 3600, not {value!r}"
        )


_DISCIPLINES = MappingProxyType(
    {
        "fifo": (SCHEDULE_FIFO, AQM_NONE, {"limit_packets": 1000}),
        "codel": (SCHEDULE_FIFO, AQM_CODEL, {"limit_packets": 1000}),
        "pie": (SCHEDULE_FIFO, AQM_PIE, {"limit_packets": 25, "target_s": 0.015}),
        "cobalt": (SCHEDULE_FIFO, AQM_COBALT, {"limit_packets": 1000}),
        "drr": (SCHEDULE_DRR, AQM_NONE, {"flows": 1024, "limit_packets": 10240}),
        "htb": (SCHEDULE_HTB, AQM_NONE, {"flows": 1024, "limit_packets": 1 << 20}),
        "fq": (
            SCHEDULE_FAIR,
            AQM_NONE,
            {"flows": 1024, "limit_packets": 10240, "flow_limit_packets": 100},
        ),
        "lfq": (
            SCHEDULE_FAIR,
            AQM_NONE,
            {"flows": 1024, "limit_packets": 1 << 20, "policy": "lfq"},
        ),
        "lfq-2020": (
            SCHEDULE_FAIR,
            AQM_NONE,
            {"flows": 1024, "limit_packets": 1 << 20, "per_packet": "lfq-2020"},
        ),
        "fq_codel": (SCHEDULE_FAIR, AQM_CODEL, {"flows": 1024, "limit_packets": 10240}),
        "fq_pie": (
            SCHEDULE_FAIR,
            AQM_PIE,
            {"flows": 1024, "limit_packets": 10240, "target_s": 0.015},
        ),
        "fq_cobalt": (SCHEDULE_FAIR, AQM_COBALT, {"flows": 1024, "limit_packets": 10240}),
        "cake": (
            SCHEDULE_FAIR,
            AQM_COBALT,
            {"flows": 1024, "hash": "set-associative", "limit_bytes": 4 << 20, "ecn": True},
        ),
    }
)


def discipline_names() -> tuple[str, ...]:
    """Name every packet discipline."""
    return tuple(_DISCIPLINES)


def queue(discipline: str, **parameters: object) -> QueueConfiguration:
    """Make a queue with the defaults of its discipline and the parameters given.

    Parameters
    ----------
    discipline
        One of `discipline_names()`.
    parameters
        Attributes of `QueueConfiguration`.

    Raises
    ------
    ValueRefusedError
        If a name is unknown or a value out of range.

    Examples
    --------
    >>> queue("fifo", limit_packets=100).limit_packets
    100
    """
    if discipline not in _DISCIPLINES:
        raise ValueRefusedError(_unknown("queue", discipline, discipline_names()))
    known = tuple(field.name for field in fields(QueueConfiguration) if field.name != "discipline")
    for name in parameters:
        if name not in known:
            raise ValueRefusedError(_unknown(f"parameter of queue {discipline}", name, known))
    base = QueueConfiguration(discipline, **_DISCIPLINES[discipline][2])  # type: ignore[arg-type]
    return replace(base, **parameters)  # type: ignore[arg-type]
