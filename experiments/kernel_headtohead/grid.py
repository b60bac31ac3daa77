"""What is compared: scenarios, queues, and the order of the runs."""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass, fields

import numpy as np

from schedulers.packet.limits import policy_names

RATES_MBIT = (10, 50, 200)
RTTS_MS = (5, 20, 80)
TRAFFIC = ("cubic1", "bbr1", "mixed8", "rtts16", "household")
THEIRS = ("pfifo", "fq_codel", "fq", "pie", "cake")
PREFERENCES = ("latency", "balanced", "throughput")
LENGTHS_S = {10: (3.0, 12.0), 50: (2.0, 8.0), 200: (1.5, 5.0)}
"""Warm-up and length of a run at each rate: a run costs CPU time by the packet."""
MIXED_RTTS_MS = tuple(float(value) for value in np.geomspace(5, 100, 16).round(1))

DEFAULT_NAMES = (
    "10mbit-20ms-cubic1",
    "10mbit-80ms-bbr1",
    "10mbit-20ms-mixed8",
    "10mbit-mixed-rtts16",
    "10mbit-20ms-household",
    "50mbit-20ms-cubic1",
    "50mbit-20ms-mixed8",
    "50mbit-80ms-mixed8",
    "50mbit-mixed-rtts16",
    "50mbit-20ms-household",
    "200mbit-20ms-mixed8",
    "200mbit-5ms-household",
)


@dataclass(frozen=True, slots=True)
class Scenario:
    """A path and its traffic.

    Attributes
    ----------
    rate_mbit
        Rate of the bottleneck in Mbit/s.
    rtt_ms
        Round-trip time without queueing; 0 stands for one of 5 to 100 ms for each of 16 flows.
    traffic
        One of `TRAFFIC`.
    """

    rate_mbit: int
    rtt_ms: int
    traffic: str

    @property
    def name(self) -> str:
        """The name in tables and files."""
        rtt = f"{self.rtt_ms}ms" if self.rtt_ms else "mixed"
        return f"{self.rate_mbit}mbit-{rtt}-{self.traffic}"

    @property
    def rate_bps(self) -> int:
        """Rate of the bottleneck in bit/s."""
        return self.rate_mbit * 1_000_000

    @property
    def flows(self) -> tuple[tuple[str, float], ...]:
        """Congestion control and round-trip time in seconds of each bulk flow."""
        rtt_s = self.rtt_ms / 1e3
        if self.traffic == "rtts16":
            return tuple(("cubic", rtt / 1e3) for rtt in MIXED_RTTS_MS)
        controls = {
            "reno1": ["reno"],
            "cubic1": ["cubic"],
            "bbr1": ["bbr"],
            "mixed8": ["reno"] * 3 + ["cubic"] * 3 + ["bbr"] * 2,
            "household": ["cubic"] * 2,
        }[self.traffic]
        return tuple((control, rtt_s) for control in controls)

    @property
    def with_voice(self) -> bool:
        """Whether a voice-like flow of 64 kbit/s runs beside the bulk flows."""
        return self.traffic in ("household", "rtts16")

    @property
    def with_web(self) -> bool:
        """Whether short transfers run beside the bulk flows."""
        return self.traffic == "household"


@dataclass(frozen=True, slots=True)
class Cell:
    """One run: a scenario, a queue, the number of the repetition, and its length."""

    scenario: Scenario
    queue: str
    repetition: int
    warm_up_s: float
    duration_s: float

    @property
    def name(self) -> str:
        """The name by which a finished run is known."""
        return f"{self.scenario.name}/{self.queue}/{self.repetition}"

    @property
    def is_learned(self) -> bool:
        """Whether its result depends on weights."""
        return is_learned(self.queue)

    def to_json(self) -> dict[str, object]:
        """Return a plain document that `from_json` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: dict[str, object]) -> Cell:
        """Read what `to_json` wrote."""
        rest = {field.name: document[field.name] for field in fields(cls)}
        return cls(**rest | {"scenario": Scenario(**document["scenario"])})  # type: ignore[arg-type]


def every_scenario() -> list[Scenario]:
    """Return the full grid."""
    kinds = [kind for kind in TRAFFIC if kind != "rtts16"]
    plain = [Scenario(*row) for row in itertools.product(RATES_MBIT, RTTS_MS, kinds)]
    return plain + [Scenario(rate, 0, "rtts16") for rate in RATES_MBIT]


def default_scenarios() -> list[Scenario]:
    """Return the twelve that are run unless told otherwise."""
    by_name = {scenario.name: scenario for scenario in every_scenario()}
    return [by_name[name] for name in DEFAULT_NAMES]


def is_learned(queue: str) -> bool:
    """Whether a queue's results depend on the weights of lfq."""
    return queue.partition(":")[0] == "lfq"


def our_queues() -> tuple[str, ...]:
    """Return the policies that this checkout ships, the learned one at each preference that it takes."""
    known = {name.partition(":")[0] for name in policy_names()}
    ours = ["sawtooth"]
    if "lfq" in known:
        ours += [f"lfq:{preference}" for preference in PREFERENCES]
    return tuple(ours)


def cells(scenarios: list[Scenario], queues: list[str], repetitions: int, seed: int) -> list[Cell]:
    """Return every run; each repetition goes through all scenarios and queues in a random order."""
    rng = np.random.default_rng(seed)
    rows: list[Cell] = []
    for repetition in range(repetitions):
        block = [
            Cell(scenario, queue, repetition, *LENGTHS_S[scenario.rate_mbit])
            for scenario in scenarios
            for queue in queues
        ]
        rows += [block[place] for place in rng.permutation(len(block))]
    return rows
