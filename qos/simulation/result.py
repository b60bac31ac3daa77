"""What a simulation measured."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qos.simulation import layout
from qos.simulation.layout import State
from qos.simulation.paths import Paths
from qos.simulation.scenario import Scenario
from schedulers.packet.layout import SOJOURN_BINS, SOJOURN_LEVEL_SHIFT, SOJOURN_LEVELS

NS = 1_000_000_000


@dataclass(frozen=True)
class FlowResult:
    """What one flow did; NaN where nothing was measured.

    Attributes
    ----------
    sender, source, target
        Which flow it is.
    goodput_bps
        Payload delivered in order, per second between the flow's start and its end.
    throughput_bps
        All that arrived, with headers and what arrived twice.
    sent_packets, delivered_packets, retransmissions, timeouts, recoveries, drops, marks
        Counts; `drops` are those of queues, `marks` congestion marks that arrived.
    rtt_min_s, rtt_mean_s, rtt_p50_s, rtt_p95_s, rtt_p99_s, rtt_max_s
        Round-trip times of segments that were sent once; of a udp flow one-way delays.
    cwnd_bytes, srtt_s
        At the end.
    finished_s
        When a fixed size was complete at the receiver.
    transfers, transfer_mean_s
        Responses or chunks that were completed, and their mean duration.
    stalled_s, level_mean
        Adaptive bitrate: time without video, and mean number of the bitrate chosen.
    late_packets
        Datagrams that took longer than the flow's `delay_bound_s`.
    """

    sender: str
    source: str
    target: str
    goodput_bps: float
    throughput_bps: float
    sent_packets: int
    delivered_packets: int
    retransmissions: int
    timeouts: int
    recoveries: int
    drops: int
    marks: int
    rtt_mean_s: float
    rtt_p50_s: float
    rtt_p95_s: float
    rtt_p99_s: float
    rtt_max_s: float
    cwnd_bytes: int
    srtt_s: float
    finished_s: float
    transfers: int
    transfer_mean_s: float
    stalled_s: float
    level_mean: float
    rtt_min_s: float
    late_packets: int


@dataclass(frozen=True)
class QueueResult:
    """What one queue did.

    Attributes
    ----------
    link, node, discipline
        Which queue it is: that of `link` where it leaves `node`.
    backlog_mean_packets, backlog_mean_bytes
        Exact time averages.
    backlog_p50_packets, backlog_p95_packets, backlog_p99_packets, backlog_max_packets, backlog_max_bytes
        Percentiles of the time, and the largest.
    backlog_sampled_mean_packets, backlog_sampled_max_packets
        Of samples, every millisecond where the scenario says nothing else.
    sojourn_mean_s, sojourn_p50_s, sojourn_p95_s, sojourn_p99_s, sojourn_max_s
        Time between enqueue and dequeue of the packets that were sent.
    arrivals, departures, drops, marks, waiting
        Packets; arrivals = departures + drops + waiting.
    utilization
        Share of the time that the link sent.
    wire_losses
        Packets that the link lost.
    """

    link: str
    node: str
    discipline: str
    backlog_mean_packets: float
    backlog_mean_bytes: float
    backlog_p50_packets: int
    backlog_p95_packets: int
    backlog_p99_packets: int
    backlog_max_packets: int
    backlog_max_bytes: int
    backlog_sampled_mean_packets: float
    backlog_sampled_max_packets: int
    sojourn_mean_s: float
    sojourn_p50_s: float
    sojourn_p95_s: float
    sojourn_p99_s: float
    sojourn_max_s: float
    arrivals: int
    departures: int
    drops: int
    marks: int
    waiting: int
    utilization: float
    wire_losses: int


@dataclass(frozen=True)
class Result:
    """What a simulation measured until `time_s`.

    Attributes
    ----------
    time_s
        Simulated time.
    flows, queues
        In the order of the scenario; `queues[0]` is the bottleneck.
    jain
        Jain's index of the goodputs, 1 / n to 1.
    packets
        Departures of the bottleneck's queue.
    events
        Events that ran.
    cpu_s
        CPU time of the events alone.
    seed
        Seed of the scenario.
    """

    time_s: float
    flows: tuple[FlowResult, ...]
    queues: tuple[QueueResult, ...]
    jain: float
    packets: int
    events: int
    cpu_s: float
    seed: int

    def to_json(self) -> dict[str, Any]:
        """Give a document for `json.dumps`; what was not measured is None."""
        document = asdict(self)
        document["flows"] = [_without_nan(flow) for flow in document["flows"]]
        document["queues"] = [_without_nan(queue) for queue in document["queues"]]
        return {"schema": 1, **_without_nan(document)}


def _without_nan(record: dict[str, Any]) -> dict[str, Any]:
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in record.items()
    }


def jain_index(rates: NDArray[np.float64]) -> float:
    """Jain's fairness index (Jain, Chiu, Hawe 1984): (sum x)^2 / (n sum x^2); NaN if nothing flowed."""
    squares = float((rates**2).sum())
    return float(rates.sum()) ** 2 / (len(rates) * squares) if squares > 0 else math.nan


def histogram_quantile(counts: NDArray[np.int64], level_shift: int, unit: float, share: float) -> float:
    """Read a quantile from a histogram of several levels, linear within a bin.

    Parameters
    ----------
    counts
        Shape ``(levels, bins)``; bin `b` of level `l` covers ``unit * 2**(l * level_shift)`` from
        ``b`` times that on.
    level_shift
        Binary logarithm of the ratio of two levels' widths.
    unit
        Width of the bins of level 0.
    share
        0 to 1.
    """
    levels, bins = counts.shape
    total = int(counts.sum())
    if total == 0:
        return math.nan
    wanted = share * total
    seen = 0.0
    for level in range(levels):
        width = unit * 2.0 ** (level * level_shift)
        cumulative = np.cumsum(counts[level])
        if seen + cumulative[-1] >= wanted:
            place = int(np.searchsorted(cumulative, wanted - seen))
            inside = int(counts[level, place])
            before = seen + float(cumulative[place]) - inside
            part = (wanted - before) / inside if inside else 0.0
            return float(width * (place + min(max(part, 0.0), 1.0)))
        seen += float(cumulative[-1])
    return float(unit * 2.0 ** ((levels - 1) * level_shift) * bins)


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator else math.nan


def _not_arrived(state: State, number: int, now_ns: int) -> int:
    """Count the payload that the receiver was served ahead of time: it is still on the last wire.

    The acknowledgements on their way say when the receiver got what.
    """
    record = state.flows[number]
    packet = int(record["ack_head"])
    overhead = int(record["ack_overhead_bytes"])
    first = int(record["receive_next"])
    while packet >= 0 and not record["ack_hops"]:
        ack = state.packets[packet]
        way_ns = float(record["ack_ns_per_byte"]) * (int(ack["size_bytes"]) + overhead)
        if int(ack["time_ns"]) - int(record["ack_delay_ns"]) - int(way_ns) > now_ns:
            first = min(first, max(int(ack["cumulative"]) - 1, int(record["una"])))
            break
        packet = int(ack["next"])
    places = np.arange(first, int(record["receive_next"])) & (int(record["ring_size"]) - 1)
    return int(state.segments["size_bytes"][int(record["ring"]) + places].sum())


@dataclass(frozen=True)
class Distribution:
    """How often a time lay between two edges.

    Attributes
    ----------
    edges_s
        Rising, shape ``(n + 1,)``.
    counts
        Shape ``(n,)``, int64; what exceeds the last edge is in the last bin.
    """

    edges_s: NDArray[np.float64]
    counts: NDArray[np.int64]


def _distribution(counts: NDArray[np.int64], level_shift: int, unit_s: float) -> Distribution:
    """Put the levels of a histogram one behind the other; empty ends are left out."""
    levels, bins = counts.shape
    edges, flat = [0.0], []
    for level in range(levels):
        width_s = unit_s * 2.0 ** (level * level_shift)
        # The first bins of a coarser level cover what the finer levels count.
        first = 0 if level == 0 else bins >> level_shift
        edges += [width_s * (place + 1) for place in range(first, bins)]
        flat += counts[level, first:].tolist()
    last = int(np.flatnonzero(flat)[-1]) + 1 if any(flat) else 0
    return Distribution(np.array(edges[: last + 1]), np.array(flat[:last], np.int64))


def delay_distribution(state: State, number: int) -> Distribution:
    """Give the distribution of a flow's round-trip times, or of a udp flow's one-way delays.

    Parameters
    ----------
    state
        Where the simulation is.
    number
        Of the flow.
    """
    bins = layout.RTT_LEVELS * layout.RTT_BINS
    counts = state.rtts[number * bins : (number + 1) * bins].reshape(layout.RTT_LEVELS, layout.RTT_BINS)
    return _distribution(counts, layout.RTT_LEVEL_SHIFT, 2.0 ** int(state.flows["rtt_shift"][number]) * 1e-9)


def sojourn_distribution(state: State, number: int) -> Distribution:
    """Give the distribution of the times that packets waited in a queue.

    Parameters
    ----------
    state
        Where the simulation is.
    number
        Of the queue.
    """
    size = SOJOURN_LEVELS * SOJOURN_BINS
    counts = state.sojourns[number * size : (number + 1) * size].reshape(SOJOURN_LEVELS, SOJOURN_BINS)
    unit_s = 2.0 ** int(state.queues["sojourn_shift"][number]) * 1e-9
    return _distribution(counts, SOJOURN_LEVEL_SHIFT, unit_s)


def delay_quantile_s(state: State, number: int, share: float) -> float:
    """Read a quantile of a flow's round-trip times, or of a udp flow's one-way delays; NaN without samples.

    Parameters
    ----------
    state
        Where the simulation is.
    number
        Of the flow.
    share
        0 to 1.
    """
    record = state.flows[number]
    if not record["rtt_samples"]:
        return math.nan
    bins = layout.RTT_LEVELS * layout.RTT_BINS
    counts = state.rtts[number * bins : (number + 1) * bins].reshape(layout.RTT_LEVELS, layout.RTT_BINS)
    unit_s = 2.0 ** int(record["rtt_shift"]) * 1e-9
    most_s = int(record["rtt_max_ns"]) * 1e-9
    return min(histogram_quantile(counts, layout.RTT_LEVEL_SHIFT, unit_s, share), most_s)


def _flow_result(scenario: Scenario, state: State, number: int, now_ns: int) -> FlowResult:
    flow = scenario.flows[number]
    record = state.flows[number]
    end_ns = min(now_ns, int(record["stop_ns"]))
    finished_ns = int(record["finished_ns"])
    if finished_ns:
        end_ns = min(end_ns, finished_ns)
    active_s = max(end_ns - int(record["start_ns"]), 0) * 1e-9
    most_s = int(record["rtt_max_ns"]) * 1e-9
    samples, transfers = int(record["rtt_samples"]), int(record["app_transfers"])
    measured = samples > 0
    delivered = int(record["delivered_in_order_bytes"]) - _not_arrived(state, number, now_ns)

    return FlowResult(
        sender=flow.sender,
        source=flow.source,
        target=flow.target,
        goodput_bps=_ratio(delivered * 8, active_s),
        throughput_bps=_ratio(int(record["arrived_bytes"]) * 8, active_s),
        sent_packets=int(record["sent_packets"]),
        delivered_packets=int(record["delivered_packets"]),
        retransmissions=int(record["retransmissions"]),
        timeouts=int(record["timeouts"]),
        recoveries=int(record["recoveries"]),
        drops=int(state.drops[number]),
        marks=int(record["marked_packets"]),
        rtt_mean_s=_ratio(float(record["rtt_sum_ns"]) * 1e-9, samples),
        rtt_p50_s=delay_quantile_s(state, number, 0.5),
        rtt_p95_s=delay_quantile_s(state, number, 0.95),
        rtt_p99_s=delay_quantile_s(state, number, 0.99),
        rtt_max_s=most_s if measured else math.nan,
        cwnd_bytes=int(record["cwnd_bytes"]),
        srtt_s=int(record["srtt_ns"]) * 1e-9,
        finished_s=finished_ns * 1e-9 if finished_ns else math.nan,
        transfers=transfers,
        transfer_mean_s=_ratio(float(record["app_transfer_sum_ns"]) * 1e-9, transfers),
        stalled_s=int(record["app_stalled_ns"]) * 1e-9,
        level_mean=_ratio(int(record["app_level_sum"]), transfers + 1),
        rtt_min_s=int(record["min_rtt_ns"]) * 1e-9 if measured else math.nan,
        late_packets=int(record["late_packets"]),
    )


def _queue_result(scenario: Scenario, paths: Paths, state: State, number: int, now_ns: int) -> QueueResult:
    record = state.queues[number]
    link = state.links[number]
    size = SOJOURN_LEVELS * SOJOURN_BINS
    counts = state.sojourns[number * size : (number + 1) * size].reshape(SOJOURN_LEVELS, SOJOURN_BINS)
    unit_s = 2.0 ** int(record["sojourn_shift"]) * 1e-9
    bins = int(record["backlog_bins"])
    times = state.backlogs[number * bins : (number + 1) * bins]
    cumulative = np.cumsum(times)
    most_s = int(record["sojourn_max_ns"]) * 1e-9

    def sojourn(share: float) -> float:
        return min(histogram_quantile(counts, SOJOURN_LEVEL_SHIFT, unit_s, share), most_s)

    def backlog(share: float) -> int:
        place = int(np.searchsorted(cumulative, share * cumulative[-1]))
        return min(place, int(record["max_packets"]))

    direction = paths.directions[number]
    sent = int(record["sent_packets"])
    still_ns = max(int(link["transmission_end_ns"]) - now_ns, 0)
    return QueueResult(
        link=direction[0],
        node=direction[1],
        discipline=scenario.queues.get(direction, scenario.default_queue).discipline,
        backlog_mean_packets=_ratio(float(record["area_packets_ns"]), now_ns),
        backlog_mean_bytes=_ratio(float(record["area_bytes_ns"]), now_ns),
        backlog_p50_packets=backlog(0.5),
        backlog_p95_packets=backlog(0.95),
        backlog_p99_packets=backlog(0.99),
        backlog_max_packets=int(record["max_packets"]),
        backlog_max_bytes=int(record["max_bytes"]),
        backlog_sampled_mean_packets=_ratio(int(record["sample_sum"]), int(record["samples"])),
        backlog_sampled_max_packets=int(record["sample_max"]),
        sojourn_mean_s=_ratio(float(record["sojourn_sum_ns"]) * 1e-9, sent),
        sojourn_p50_s=sojourn(0.5) if sent else math.nan,
        sojourn_p95_s=sojourn(0.95) if sent else math.nan,
        sojourn_p99_s=sojourn(0.99) if sent else math.nan,
        sojourn_max_s=most_s if sent else math.nan,
        arrivals=int(record["arrived_packets"]),
        departures=sent,
        drops=int(record["dropped_packets"]),
        marks=int(record["marked_packets"]),
        waiting=int(record["packets"]),
        utilization=_ratio(int(link["busy_ns"]) - still_ns, now_ns),
        wire_losses=int(link["lost_packets"]),
    )


def collect(scenario: Scenario, paths: Paths, state: State, cpu_s: float) -> Result:
    """Make a result of a state.

    Parameters
    ----------
    scenario, paths
        What was simulated.
    state
        Where it is now.
    cpu_s
        CPU time so far.
    """
    now_ns = int(state.control["now_ns"][0])
    flows = tuple(_flow_result(scenario, state, number, now_ns) for number in range(len(scenario.flows)))
    queues = tuple(
        _queue_result(scenario, paths, state, number, now_ns) for number in range(len(paths.directions))
    )
    goodputs = np.array([flow.goodput_bps for flow in flows])
    return Result(
        time_s=now_ns * 1e-9,
        flows=flows,
        queues=queues,
        jain=jain_index(np.nan_to_num(goodputs)),
        packets=queues[0].departures,
        events=int(state.control["events_run"][0]),
        cpu_s=cpu_s,
        seed=scenario.seed,
    )
