"""From a scenario to the arrays that the compiled core runs on."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qos.errors import ValueRefusedError
from qos.simulation import layout
from qos.simulation.layout import State
from qos.simulation.paths import Direction, Paths, link_of, rate_of
from qos.simulation.scenario import (
    RECOVERIES,
    SENDERS,
    AdaptiveBitrate,
    Bulk,
    ConstantRate,
    FixedSize,
    Flow,
    OnOff,
    RateFunction,
    RateTrace,
    Replay,
    RequestResponse,
    Scenario,
)
from qos.simulation.state import bind, fresh_pool
from schedulers.packet.layout import (
    AQM_COBALT,
    AQM_CODEL,
    AQM_NONE,
    AQM_PIE,
    CONTROL_DTYPE,
    NONE,
    PACKET_DTYPE,
    QUEUE_DTYPE,
    SOJOURN_BINS,
    SOJOURN_LEVELS,
    SUBQUEUE_DTYPE,
)
from schedulers.packet.per_packet_names import MEMORY_WIDTHS, NUMBERS, default_parameters
from schedulers.packet.registry import QueueConfiguration

NS = 1_000_000_000
NEVER_NS = 1 << 62
FIRST_RING = 16
UDP_HEADER_BYTES = 28
MOST_BACKLOG_BINS = 4096
LARGEST_WINDOW = 1 << 62
FIRST_ROOT = {AQM_NONE: 0, AQM_PIE: 0, AQM_CODEL: (1 << 16) - 1, AQM_COBALT: 1 << 32}
_SEED_FLOW, _SEED_LINK, _SEED_QUEUE, _SEED_HASH = range(4)


def nanoseconds(time_s: float) -> int:
    """Round a time to nanoseconds."""
    return round(time_s * NS)


def configuration(scenario: Scenario, direction: Direction) -> QueueConfiguration:
    """Give the queue of a directed link."""
    return scenario.queues.get(direction, scenario.default_queue)


def window_segments(flow: Flow) -> int:
    """Bound the segments that a flow can have in flight."""
    transport = flow.transport
    window = min(transport.send_buffer_bytes, transport.receive_buffer_bytes)
    smallest = transport.mss_bytes
    if isinstance(flow.application, Bulk):
        smallest = min(smallest, flow.application.write_bytes)
    return 2 * window // smallest + 2


def estimated_bytes(scenario: Scenario, paths: Paths) -> int:
    """Bound the memory of a scenario, in bytes."""
    flows = len(scenario.flows)
    total = flows * (layout.FLOW_DTYPE.itemsize + layout.RTT_BINS * layout.RTT_LEVELS * 8)
    per_queue = SOJOURN_BINS * SOJOURN_LEVELS * 8 + MOST_BACKLOG_BINS * 8
    room = 0
    for direction in paths.directions:
        queue = configuration(scenario, direction)
        total += per_queue + queue.flows * SUBQUEUE_DTYPE.itemsize
        per_flow = min(queue.flow_limit_packets, queue.flow_limit_bytes // 64) * queue.flows
        pipe = rate_of(scenario, direction) * link_of(scenario.topology, direction).delay_s / 8 / 64
        room += int(min(queue.limit_packets, queue.limit_bytes // 64, per_flow) + pipe)
    windows = sum(window_segments(flow) for flow in scenario.flows if flow.sender != "udp")
    room = max(room, 1)
    waiting = min(windows, 2 * room) if windows else room
    total += 2 * waiting * (PACKET_DTYPE.itemsize + layout.SEGMENT_DTYPE.itemsize)
    replayed = sum(len(f.application.times_s) for f in scenario.flows if isinstance(f.application, Replay))
    return total + 16 * replayed


def check_memory(scenario: Scenario, paths: Paths) -> None:
    """Refuse a scenario that would need more memory than the machine has.

    Raises
    ------
    ValueRefusedError
        If the bound exceeds the machine's memory; the message says both.
    """
    needed = estimated_bytes(scenario, paths)
    present = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > present:
        raise ValueRefusedError(
            f"the scenario may need {needed / 2**30:.1f} GiB of memory, the machine has "
            f"{present / 2**30:.1f} GiB; use fewer flows, smaller buffers or smaller queues"
        )


def _seed(scenario: Scenario, kind: int, number: int) -> int:
    words = np.random.SeedSequence([scenario.seed, kind, number]).generate_state(1, np.uint64)
    return int(words[0]) | 1


def build(scenario: Scenario, paths: Paths) -> State:
    """Make the arrays of a scenario.

    Parameters
    ----------
    scenario
        What to simulate.
    paths
        Its routes, from `find_paths`.
    """
    sub_counts = [configuration(scenario, direction).flows for direction in paths.directions]
    queues, subqueues = _queues(scenario, paths, sub_counts)
    links, traces = _links(scenario, paths)
    flows, routes, tables = _flows(scenario, paths)
    burst = max([window_segments(f) for f in scenario.flows if f.sender != "udp"], default=16) + 64
    control = np.zeros(1, CONTROL_DTYPE)
    packets = np.zeros(2 * burst + 1024, PACKET_DTYPE)
    fresh_pool(packets)
    control["free_packets"] = len(packets)
    control["burst"] = burst
    for name in ("outbox_head", "outbox_tail", "wake"):
        control[name] = NONE
    control["next_segment"] = FIRST_RING * len(flows)
    policies = {configuration(scenario, d).per_packet for d in paths.directions} - {""}
    if len(policies) > 1:
        raise ValueRefusedError("all queues with a per-packet limit policy must have the same one")
    policy = next(iter(policies), "")
    width = MEMORY_WIDTHS.get(policy, 1)
    control["memory_width"] = width
    state = State(
        control=control,
        events=np.zeros(256 + 4 * len(flows) + 4 * len(links), layout.EVENT_DTYPE),
        packets=packets,
        segments=np.zeros(FIRST_RING * len(flows) + 8 * burst, layout.SEGMENT_DTYPE),
        links=links,
        queues=queues,
        subqueues=subqueues,
        flows=flows,
        routes=routes,
        traces=traces,
        tables=tables,
        sojourns=np.zeros(len(links) * SOJOURN_LEVELS * SOJOURN_BINS, np.int64),
        backlogs=np.zeros(len(links) * int(queues["backlog_bins"][0])),
        rtts=np.zeros(len(flows) * layout.RTT_LEVELS * layout.RTT_BINS, np.int64),
        memory=np.zeros((len(subqueues) if policy else 1, width)),
        parameters=default_parameters(policy),
        drops=np.zeros(len(flows), np.int64),
    )
    bind(state)
    _first_events(state)
    return state


def _queues(scenario: Scenario, paths: Paths, sub_counts: list[int]) -> tuple[NDArray[Any], NDArray[Any]]:
    queues = np.zeros(len(paths.directions), QUEUE_DTYPE)
    subqueues = np.zeros(sum(sub_counts), SUBQUEUE_DTYPE)
    for name in ("head", "tail", "next", "tag"):
        subqueues[name] = NONE
    bins = 2
    first = 0
    for number, direction in enumerate(paths.directions):
        chosen = configuration(scenario, direction)
        _fill_queue(queues[number : number + 1], chosen, rate_of(scenario, direction))
        queues["first"][number] = first
        queues["sample_every_ns"][number] = nanoseconds(scenario.sample_s)
        queues["random"][number] = _seed(scenario, _SEED_QUEUE, number)
        queues["perturbation"][number] = _seed(scenario, _SEED_HASH, number)
        block = subqueues[first : first + sub_counts[number]]
        block["inverse_root"] = FIRST_ROOT[chosen.aqm]
        block["limit_packets"] = chosen.flow_limit_packets
        block["limit_bytes"] = chosen.flow_limit_bytes
        first += sub_counts[number]
        bins = max(bins, min(chosen.limit_packets + 2, MOST_BACKLOG_BINS))
    queues["backlog_bins"] = bins
    return queues, subqueues


def _fill_queue(record: NDArray[Any], chosen: QueueConfiguration, rate_bps: int) -> None:
    record["schedule"] = chosen.schedule
    record["aqm"] = chosen.aqm
    record["hash"] = chosen.hash_number
    record["ecn"] = int(chosen.ecn)
    record["subqueues"] = chosen.flows
    record["ways"] = min(8, chosen.flows)
    record["quantum_bytes"] = chosen.quantum_bytes
    record["limit_packets"] = chosen.limit_packets
    record["limit_bytes"] = chosen.limit_bytes
    record["drop_batch"] = 64
    record["target_ns"] = nanoseconds(chosen.target_s)
    record["interval_ns"] = nanoseconds(chosen.interval_s)
    record["mtu_bytes"] = chosen.mtu_bytes
    record["shared_backlog"] = int(chosen.shared_backlog)
    record["ce_threshold_ns"] = nanoseconds(chosen.ce_threshold_s or 0.0)
    record["blue_increment"] = 1 / 256
    record["blue_decrement"] = 1 / 4096
    record["blue_threshold_ns"] = nanoseconds(0.4)
    record["pie_alpha"] = chosen.alpha
    record["pie_beta"] = chosen.beta
    record["pie_update_ns"] = nanoseconds(chosen.update_s)
    record["pie_burst_ns"] = nanoseconds(chosen.burst_s)
    record["pie_mark_below"] = 0.1
    record["policy"] = NUMBERS.get(chosen.per_packet, 0)
    for name in ("new_head", "new_tail", "old_head", "old_tail"):
        record[name] = NONE
    # Sixteen bins of the sojourn histogram a full packet.
    record["sojourn_shift"] = max(int(1500 * 8 * NS // rate_bps // 16).bit_length(), 1)


def _links(scenario: Scenario, paths: Paths) -> tuple[NDArray[Any], NDArray[Any]]:
    links = np.zeros(len(paths.directions), layout.LINK_DTYPE)
    for name in ("transmitting", "ring_head", "ring_tail", "line_head", "line_tail", "size_bytes"):
        links[name] = NONE
    steps: list[int] = []
    for number, direction in enumerate(paths.directions):
        link = link_of(scenario.topology, direction)
        record = links[number : number + 1]
        rate_bps = rate_of(scenario, direction)
        record["rate_bps"] = rate_bps
        record["delay_ns"] = nanoseconds(link.delay_s)
        record["overhead_bytes"] = scenario.frame_overhead_bytes
        record["ring_limit"] = scenario.ring_packets
        record["burst_ns"] = record["credit_ns"] = nanoseconds(scenario.burst_s)
        record["loss_probability"] = link.loss_probability
        record["random"] = _seed(scenario, _SEED_LINK, number)
        trace = scenario.rates.get(direction)
        record["trace_first"] = len(steps)
        if isinstance(trace, RateFunction):
            rate_bps = trace.at(0.0)
            record["rate_bps"] = rate_bps
        if not isinstance(trace, RateTrace):
            steps += [0, rate_bps]  # the place of a rate that is set from outside
        else:
            record["trace_length"] = len(trace.times_s)
            record["trace_period_ns"] = nanoseconds(trace.period_s or 0.0)
            for time_s, rate_bps in zip(trace.times_s, trace.rates_bps, strict=True):
                steps += [nanoseconds(time_s), rate_bps]
    return links, np.array(steps or [0], np.int64)


def _flows(scenario: Scenario, paths: Paths) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    flows = np.zeros(len(scenario.flows), layout.FLOW_DTYPE)
    routes: list[int] = []
    tables: list[int] = []
    for number, flow in enumerate(scenario.flows):
        record = flows[number : number + 1]
        _fill_transport(record, flow)
        _fill_application(record, flow, tables)
        record["ring"] = FIRST_RING * number
        record["random"] = _seed(scenario, _SEED_FLOW, number)
        record["start_ns"] = nanoseconds(flow.start_s)
        stop_s = scenario.duration_s if flow.stop_s is None else flow.stop_s
        # A flow that is not stopped goes on after the scenario's end, if someone runs on.
        record["stop_ns"] = NEVER_NS if flow.stop_s is None else nanoseconds(stop_s)
        record["route"] = len(routes)
        record["hops"] = len(paths.forward[number])
        routes += paths.forward[number]
        record["ack_route"] = len(routes)
        record["ack_hops"] = len(paths.backward[number])
        routes += paths.backward[number]
        _fill_way_back(record, scenario, paths.reverse_directions[number])
        base_ns = _base_rtt_ns(scenario, paths, number)
        record["rtt_shift"] = max((base_ns // 64).bit_length() - 1, 1)
    return flows, np.array(routes, np.int64), np.array(tables or [0], np.int64)


def _base_rtt_ns(scenario: Scenario, paths: Paths, number: int) -> int:
    ways = [paths.directions[link] for link in paths.forward[number]]
    ways += paths.reverse_directions[number]
    time_s = sum(link_of(scenario.topology, way).delay_s + 1500 * 8 / rate_of(scenario, way) for way in ways)
    return max(nanoseconds(time_s), 64)


def _fill_way_back(record: NDArray[Any], scenario: Scenario, way: tuple[Direction, ...]) -> None:
    links = [link_of(scenario.topology, direction) for direction in way]
    record["ack_delay_ns"] = sum(nanoseconds(link.delay_s) for link in links)
    record["ack_ns_per_byte"] = sum(8.0 * NS / rate_of(scenario, direction) for direction in way)
    record["ack_loss"] = 1.0 - np.prod([1.0 - link.loss_probability for link in links])
    record["ack_overhead_bytes"] = scenario.frame_overhead_bytes


def _fill_transport(record: NDArray[Any], flow: Flow) -> None:
    transport = flow.transport
    mss = transport.mss_bytes
    is_dctcp = flow.sender == "dctcp"
    values: dict[str, int | float] = {
        "sender": SENDERS.index(flow.sender),
        "recovery_kind": RECOVERIES.index(transport.recovery),
        "rack": int(transport.loss_detection == "rack"),
        "hystart": int(transport.hystart),
        "friendly": int(transport.friendly),
        "byte_counting": int(transport.byte_counting),
        "linux": int(transport.linux_details),
        "timer_tick_ns": nanoseconds(transport.timer_tick_s),
        "quick_acks": transport.quick_acks,
        "ecn": int(transport.ecn or is_dctcp),
        "pacing": int(transport.pacing or flow.sender == "bbr"),
        "handshake": int(transport.handshake),
        "handshake_sample": int(transport.handshake_sample),
        "mss_bytes": mss,
        "header_bytes": UDP_HEADER_BYTES if flow.sender == "udp" else transport.header_bytes,
        "send_buffer_bytes": transport.send_buffer_bytes,
        "receive_window_bytes": transport.receive_buffer_bytes,
        "initial_window_bytes": transport.initial_cwnd * mss,
        "cwnd_bytes": transport.initial_cwnd * mss,
        "ssthresh_bytes": LARGEST_WINDOW,
        "min_rto_ns": nanoseconds(transport.min_rto_s),
        "rto_ns": max(nanoseconds(transport.min_rto_s), NS),
        "tick_ns": nanoseconds(transport.timestamp_tick_s),
        "ack_every": transport.ack_every,
        "delayed_ack_ns": nanoseconds(transport.delayed_ack_s),
        "ring_size": FIRST_RING,
        "min_rtt_ns": NEVER_NS,
        "delay_bound_ns": NEVER_NS if flow.delay_bound_s is None else nanoseconds(flow.delay_bound_s),
        "first_partial": 1,
    }
    for name, value in values.items():
        record[name] = value
    for name in ("ack_head", "ack_tail", "held", "high_1", "high_2", "high_3", "receive_high"):
        record[name] = NONE
    for name in ("delay_min_ns", "epoch_ns", "hystart_rtt_ns", "app_transfer_start_ns", "ece_until"):
        record[name] = -1
    for name in ("hystart_round_ns", "hystart_last_ns"):
        record[name] = -NEVER_NS
    record["dctcp_alpha"] = 1.0


def _fill_application(record: NDArray[Any], flow: Flow, tables: list[int]) -> None:
    application = flow.application
    if isinstance(application, Bulk):
        values: dict[str, int | float] = {"application": layout.BULK, "write_bytes": application.write_bytes}
        values["app_total_bytes"] = LARGEST_WINDOW
    elif isinstance(application, FixedSize):
        values = {"application": layout.FIXED, "app_size_bytes": application.size_bytes}
    elif isinstance(application, RequestResponse):
        values = {"application": layout.REQUEST_RESPONSE, "app_size_bytes": application.size_bytes}
        values["app_off_s"] = application.think_s
    elif isinstance(application, AdaptiveBitrate):
        values = {
            "application": layout.ADAPTIVE_BITRATE,
            "app_period_ns": nanoseconds(application.chunk_s),
            "app_buffer_max_ns": nanoseconds(application.buffer_s),
            "app_ladder": len(tables),
            "app_ladder_length": len(application.bitrates_bps),
        }
        tables += application.bitrates_bps
    elif isinstance(application, Replay):
        values = {
            "application": layout.REPLAY,
            "app_ladder": len(tables),
            "app_ladder_length": len(application.times_s),
        }
        for time_s, size in zip(application.times_s, application.sizes_bytes, strict=True):
            tables += [nanoseconds(time_s), size]
    else:
        values = _paced_application(application)
    for name, value in values.items():
        record[name] = value


def _paced_application(application: ConstantRate | OnOff) -> dict[str, int | float]:
    size = application.packet_bytes
    values: dict[str, int | float] = {
        "application": layout.CONSTANT_RATE,
        "app_size_bytes": size,
        "app_rate_bps": application.rate_bps,
        "app_period_ns": max(size * 8 * NS // application.rate_bps, 1),
    }
    if isinstance(application, OnOff):
        values["application"] = layout.ON_OFF
        values["app_on_s"] = application.on_s
        values["app_off_s"] = application.off_s
    return values


def _first_events(state: State) -> None:
    """Put the first events in the heap: sorted, which is a heap."""
    first = [
        (int(flow["start_ns"]), layout.EVENT_APPLICATION, number) for number, flow in enumerate(state.flows)
    ]
    for number, link in enumerate(state.links):
        if link["trace_length"]:
            time_ns = int(state.traces[link["trace_first"]])
            first.append((time_ns, layout.EVENT_RATE, number))
    for number, queue in enumerate(state.queues):
        if queue["aqm"] == AQM_PIE:
            first.append((int(queue["pie_update_ns"]), layout.EVENT_PIE, number))
    # Rates change before packets are sent at the same time.
    first.sort(key=lambda event: (event[0], event[1] != layout.EVENT_RATE, event[2]))
    for place, (time_ns, kind, number) in enumerate(first):
        state.events[place] = (time_ns, place, kind * layout.KIND + number)
    state.control["events_pending"] = len(first)
    state.control["order"] = len(first)
