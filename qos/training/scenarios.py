"""Random scenarios over which the learned queue is trained and judged: wide ranges, all from one seed."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from qos.crosslayer.channel.doppler import clarke_gains
from qos.crosslayer.rate_process import rate_series, wifi_radio
from qos.simulation.scenario import (
    Application,
    Bulk,
    ConstantRate,
    FixedSize,
    Flow,
    OnOff,
    RateTrace,
    RequestResponse,
    Scenario,
    Transport,
)
from schedulers.packet.registry import UNLIMITED, QueueConfiguration, queue
from topologies.model import Node, Topology, WiredLink

RATE_RANGE_BPS = (1e6, 1e9)
RTT_RANGE_S = (0.001, 0.3)
PAPER_RATES_BPS = (2e6, 100e6)
PAPER_RTTS_S = (0.002, 0.06)
INTERVAL_RANGE_S = (0.01, 0.1)
ALPHA_RANGE = (0.3, 40.0)
DURATION_RANGE_S = (2.0, 8.0)
LONG_SHARE = 0.25
"""So many scenarios are longer than `DURATION_RANGE_S`, where longer ones are drawn."""
MOST_FLOWS = 200
LOSS_BASED = ("newreno", "cubic", "bic")
SENDERS = ("newreno", "cubic", "bic", "bbr", "vegas")
KINDS = {
    "paper": 0.22,
    "single": 0.22,
    "few": 0.18,
    "many": 0.06,
    "limited": 0.10,
    "on-off": 0.08,
    "changing flows": 0.08,
    "changing rate": 0.08,
    "household": 0.08,
    "fading": 0.12,
}
"""Kinds of scenario and how often each is drawn."""
DOPPLER_RANGE_HZ = (1.0, 30.0)
FADING_SNR_RANGE_DB = (10.0, 28.0)
FADING_STEP_S = 0.005
LEAST_FADED_SHARE = 0.01
"""A radio that is coded ideally carries at least this share of its mean rate..."""
MODES_SHARE = 0.6
"""... so many of those that fade are not: they change modes, repeat what was lost, or are silent..."""
MODES_ERROR_RATE = 0.01
"""... and choose the mode that loses no more than this."""
LARGE_FACTOR = 8
LARGE_KINDS = ("single", "few")
ACCESS_FACTOR = 10
PACKET_BYTES = 1500
MOST_WAITING = 50_000
BUFFER_S = 0.6
"""Socket buffers hold this much of the bottleneck's rate, so that they do not limit a flow."""


@dataclass(frozen=True)
class Task:
    """One scenario and what the policy is told in it.

    Attributes
    ----------
    scenario
        What is simulated.
    kind
        One of `KINDS`.
    rate_bps
        Rate of the bottleneck at the beginning; of one that fades, its mean.
    interval_s
        Time between polls.
    alpha
        Price of a second of queueing, in shares of the rate.
    flows
        Number of flows.
    elastic
        All flows send as much as they can, from beginning to end: each ought to get an equal share.
    """

    scenario: Scenario
    kind: str
    rate_bps: int
    interval_s: float
    alpha: float
    flows: int
    elastic: bool


@dataclass(frozen=True)
class Ranges:
    """What is drawn.

    Attributes
    ----------
    senders
        Congestion controls; leave one out to see how the policy does on what it never saw.
    most_packets
        A scenario whose link could carry more packets is given a lower rate: bounds the cost.
    kinds
        Which kinds of scenario, a subset of `KINDS`.
    longest_s
        Duration of the longest scenario. Beyond `DURATION_RANGE_S` a part of them are longer, at lower
        rates: over long paths the cycles of a loss-based sender take seconds, and what a limit is worth
        shows only after several.
    large_every
        If not 0, one in so many scenarios is of `LARGE_KINDS` and may carry `LARGE_FACTOR` times
        `most_packets`: where a path holds hundreds of packets, a cycle takes tens of thousands.
    """

    senders: tuple[str, ...] = SENDERS
    most_packets: float = 60_000.0
    kinds: tuple[str, ...] = tuple(KINDS)
    longest_s: float = DURATION_RANGE_S[1]
    large_every: int = 0

    def at(self, index: int) -> Ranges:
        """Give the ranges that scenario `index` is drawn from."""
        if not self.large_every or (index + 1) % self.large_every:
            return self
        return replace(self, most_packets=LARGE_FACTOR * self.most_packets, kinds=LARGE_KINDS, large_every=0)


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def _duration_s(chance: float, longest_s: float) -> float:
    """Turn a number from 0 to 1 into a duration."""
    low, high = DURATION_RANGE_S
    if longest_s <= high:
        return low + (high - low) * chance
    if chance < 1.0 - LONG_SHARE:
        return low + (high - low) * chance / (1.0 - LONG_SHARE)
    return float(high * (longest_s / high) ** ((chance - 1.0 + LONG_SHARE) / LONG_SHARE))


def _transport(rng: np.random.Generator, buffer_bytes: int, kind: str) -> Transport:
    """Draw how end hosts behave: from the LFQ paper's stack to that of today's Linux."""
    if kind == "paper":
        return Transport(
            recovery=str(rng.choice(["classic", "classic", "prr"])),
            loss_detection=str(rng.choice(["sack", "sack", "rack"])),
        )
    linux = rng.random() < 0.5
    return Transport(
        initial_cwnd=10 if linux else int(rng.choice([1, 2, 4, 10])),
        recovery="prr" if linux or rng.random() < 0.3 else "classic",
        loss_detection="rack" if linux or rng.random() < 0.2 else "sack",
        hystart=bool(rng.random() < 0.7),
        ack_every=2 if linux and rng.random() < 0.7 else 1,
        min_rto_s=0.2 if linux else 1.0,
        send_buffer_bytes=buffer_bytes,
        receive_buffer_bytes=buffer_bytes,
    )


def _household(rng: np.random.Generator, number: int, rate_bps: float) -> tuple[Application, str | None]:
    """Draw what one of the flows of a household sends: a download, pages, calls."""
    if number == 0:
        return Bulk(write_bytes=1446), None
    if rng.random() < 0.6:
        size = max(int(min(_log_uniform(rng, 10_000, 2_000_000), rate_bps / 8)), 3000)
        return RequestResponse(size, rng.uniform(0.2, 2.0)), None
    return ConstantRate(max(int(rate_bps * rng.uniform(0.01, 0.1)), 8000), 300), "udp"


def _application(rng: np.random.Generator, kind: str, share_bps: float) -> tuple[Application, str | None]:
    """Draw what a flow sends, and the sender where that is prescribed."""
    if kind == "limited":
        rate = max(int(share_bps * rng.uniform(0.2, 1.1)), 8000)
        if rng.random() < 0.4:
            return ConstantRate(rate, 1200), "udp"
        return ConstantRate(rate, 1446), None
    if kind == "on-off":
        if rng.random() < 0.5:
            size = max(int(share_bps / 8 * _log_uniform(rng, 0.05, 2.0)), 3000)
            return RequestResponse(size, rng.uniform(0.05, 1.0)), None
        rate = int(share_bps * rng.uniform(0.5, 2.0))
        return OnOff(max(rate, 8000), rng.uniform(0.2, 2.0), rng.uniform(0.1, 1.0)), None
    return Bulk(write_bytes=1446), None


def _count(rng: np.random.Generator, kind: str) -> int:
    if kind in ("single", "paper"):
        return 1
    if kind == "household":
        return int(rng.integers(2, 7))
    if kind == "many":
        return int(_log_uniform(rng, 16, MOST_FLOWS + 1))
    if kind == "changing flows":
        return int(rng.integers(3, 13))
    if kind == "changing rate":
        return int(rng.integers(1, 4))
    if kind == "fading":
        return int(rng.integers(1, 9))
    if kind == "few":
        return int(rng.integers(2, 9))
    return int(rng.integers(1, 6))


def _flows(
    rng: np.random.Generator, kind: str, count: int, share_bps: float, duration_s: float, ranges: Ranges
) -> list[Flow]:
    flows = []
    buffer_bytes = int(max(share_bps * count * BUFFER_S / 8, 1 << 20))
    for number in range(count):
        if kind == "household":
            application, sender = _household(rng, number, share_bps * count)
        else:
            application, sender = _application(rng, kind, share_bps)
        start_s, stop_s = 0.0, None
        if kind == "changing flows" and number:
            start_s = float(rng.uniform(0.0, 0.8 * duration_s))
            if rng.random() < 0.5:
                application = FixedSize(max(int(share_bps / 8 * rng.uniform(0.1, 2.0)), 3000))
        elif count > 1:
            start_s = float(rng.uniform(0.0, 0.05))
        if sender is None:
            known = [s for s in ranges.senders if kind != "paper" or s in LOSS_BASED]
            sender = str(rng.choice(known))
        flows.append(
            Flow(
                sender,
                f"s{number}",
                "sink",
                application,
                _transport(rng, buffer_bytes, kind),
                start_s,
                stop_s,
            )
        )
    return flows


def _faded(rng: np.random.Generator, rate_bps: float, duration_s: float) -> RateTrace:
    """Draw the rate of a radio with Rayleigh fading; `rate_bps` is its mean."""
    doppler_hz = _log_uniform(rng, *DOPPLER_RANGE_HZ)
    snr_db = rng.uniform(*FADING_SNR_RANGE_DB)
    if rng.random() < MODES_SHARE:
        times_s, rates = _in_modes(rng, doppler_hz, snr_db, duration_s)
    else:
        times_s, rates = _coded_ideally(rng, doppler_hz, snr_db, duration_s)
    lasts_s = np.diff(times_s, append=duration_s)
    mean_rate = float((rates * lasts_s).sum()) / duration_s  # in whatever unit was drawn
    factor = rate_bps / mean_rate if mean_rate > 0.0 else 0.0  # a short scenario may be silent to its end
    return RateTrace(tuple(times_s.tolist()), tuple(round(rate * factor) for rate in rates.tolist()))


def _coded_ideally(
    rng: np.random.Generator, doppler_hz: float, snr_db: float, duration_s: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw when the rate changes (s), and to what, in bit/s/Hz: what Shannon's formula gives."""
    steps = math.ceil(duration_s / FADING_STEP_S)
    gains = clarke_gains(doppler_hz * FADING_STEP_S, steps, 1, rng)[:, 0]
    bits = np.log2(1.0 + 10 ** (snr_db / 10) * np.abs(gains) ** 2)
    times = np.arange(steps, dtype=np.float64) * FADING_STEP_S
    return times, np.maximum(bits, LEAST_FADED_SHARE * float(bits.mean()))


def _in_modes(
    rng: np.random.Generator, doppler_hz: float, snr_db: float, duration_s: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw when the rate changes (s), and to what, in bit/s: Wi-Fi with adaptive modes and repetitions."""
    model, performance = wifi_radio(snr_db, doppler_hz, MODES_ERROR_RATE)
    slots = math.ceil(duration_s / model.slot_s)
    times, rates = rate_series(model, performance, slots, int(rng.integers(1 << 31))).changes()
    return np.array(times), np.array(rates, dtype=np.float64)


def _rate_trace(rng: np.random.Generator, kind: str, rate_bps: float, duration_s: float) -> RateTrace | None:
    """Draw how the rate of the bottleneck changes, if it does."""
    if kind == "fading":
        return _faded(rng, rate_bps, duration_s)
    if kind != "changing rate":
        return None
    steps = int(rng.integers(2, 8))
    times = (0.0, *sorted(float(t) for t in rng.uniform(0.1, duration_s, steps)))
    return RateTrace(times, tuple(max(round(rate_bps * _log_uniform(rng, 0.3, 1.0)), 500_000) for _ in times))


def star_of_sources(rate_bps: int, rtts_s: list[float]) -> Topology:
    """Make a topology of sources with own delays behind one bottleneck.

    Parameters
    ----------
    rate_bps
        Rate of the link ``bottleneck`` from ``router`` to ``sink``.
    rtts_s
        Round-trip time of each source's way, without queues and transmission.
    """
    nodes = [Node("router"), Node("sink")] + [Node(f"s{i}") for i in range(len(rtts_s))]
    shared_s = min(rtts_s) / 4
    links = [WiredLink("router", "sink", rate_bps, id="bottleneck", delay_s=shared_s)]
    links += [
        WiredLink(f"s{i}", "router", ACCESS_FACTOR * rate_bps, id=f"access{i}", delay_s=rtt / 2 - shared_s)
        for i, rtt in enumerate(rtts_s)
    ]
    return Topology(nodes, links, name="star of sources")


def fair_queue(count: int) -> QueueConfiguration:
    """Give the fair queue that a limit policy serves: a part for each flow, no other limit."""
    return queue("fq", flows=max(count, 2), limit_packets=MOST_WAITING, flow_limit_packets=UNLIMITED)


def draw_task(seed: int, index: int, ranges: Ranges | None = None) -> Task:
    """Draw one scenario.

    Parameters
    ----------
    seed, index
        The same pair gives the same scenario, on any machine.
    ranges
        What may be drawn.
    """
    ranges = (ranges or Ranges()).at(index)
    rng = np.random.default_rng([seed, index])
    chances = np.array([KINDS[kind] for kind in ranges.kinds])
    kind = str(rng.choice(ranges.kinds, p=chances / chances.sum()))
    count = _count(rng, kind)
    duration_s = _duration_s(float(rng.random()), ranges.longest_s)
    paper = kind == "paper"
    rate = _log_uniform(rng, *(PAPER_RATES_BPS if paper else RATE_RANGE_BPS))
    rate = min(rate, ranges.most_packets * PACKET_BYTES * 8 / duration_s)
    rate = max(rate, RATE_RANGE_BPS[0], count * 100_000.0)
    rtt = _log_uniform(rng, *(PAPER_RTTS_S if paper else RTT_RANGE_S))
    spread = rng.uniform(1.0, 4.0) if count > 1 else 1.0
    rtts = [min(max(rtt * _log_uniform(rng, 1 / spread, spread), 0.001), 0.3) for _ in range(count)]
    topology = star_of_sources(round(rate), rtts)
    trace = _rate_trace(rng, kind, rate, duration_s)
    scenario = Scenario(
        topology,
        tuple(_flows(rng, kind, count, rate / count, duration_s, ranges)),
        duration_s,
        {("bottleneck", "router"): fair_queue(count)},
        default_queue=queue("fifo", limit_packets=MOST_WAITING),
        rates={("bottleneck", "router"): trace} if trace else {},
        seed=int(rng.integers(1 << 31)),
    )
    return Task(
        scenario,
        kind,
        round(rate),
        float(_log_uniform(rng, *INTERVAL_RANGE_S)) if rng.random() < 0.6 else 0.02,
        _log_uniform(rng, *ALPHA_RANGE),
        count,
        kind in ("paper", "single", "few", "many"),
    )
