"""Many flows with mixed senders and round-trip times: how fair, full and short the learned queue is.

`python -m experiments.lfq_many_flows [--quick] [--detection sack|rack] [--flows N ...] [--rate RATE ...]`

Each case is a number of bulk flows through one bottleneck with a part of the queue for each flow, as on the
host. Senders take turns (NewReno, CUBIC, BIC, BBR), round-trip times are drawn log-uniformly from 5 to
100 ms, flows begin within the first 100 ms. Everything is counted from the first packet on. Prints and writes
Jain's index of the goodputs, utilisation, mean and 99th percentile of the sojourn time.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.entry import options
from experiments.entry import run as run_command
from qos.simulation.polling import configured_policies, run_polled
from qos.simulation.scenario import Bulk, Flow, Scenario, Transport
from qos.simulation.simulation import Simulation, prepare
from qos.training.scenarios import star_of_sources
from qos.units import format_rate, parse_rate
from qos.workers import each, workers
from schedulers.packet.registry import QueueConfiguration, queue

SENDERS = ("newreno", "cubic", "bic", "bbr")
RTT_RANGE_S = (0.005, 0.1)
START_S = 0.1
SEED = 4
BUFFER_BYTES = 4 << 20
MECHANISMS = ("fq_codel", "cake", "lfq latency", "lfq balanced", "lfq throughput", "sawtooth")
COLUMNS = ("jain", "utilisation", "sojourn_mean_ms", "sojourn_p99_ms", "drop_share")


@dataclass(frozen=True)
class Case:
    """So many flows through a bottleneck of a rate, for some time, with a loss detection."""

    flows: int
    rate_bps: int
    duration_s: float
    detection: str


def mechanism_queue(name: str, flows: int) -> QueueConfiguration:
    """Give the queue of a mechanism; its parts are enough for each flow to have its own."""
    if name.startswith("lfq "):
        return queue("lfq", flows=max(flows, 2), policy=f"lfq:{name.removeprefix('lfq ')}")
    if name == "sawtooth":
        return queue("lfq", flows=max(flows, 2), policy="sawtooth")
    if name == "cake":
        return queue(name, hash="perfect")
    return queue(name)


def scenario(case: Case, mechanism: str) -> Scenario:
    """Make the network of a case; the same for every mechanism but for the queue."""
    rng = np.random.default_rng([SEED, case.flows])
    rtts_s = np.exp(rng.uniform(*np.log(RTT_RANGE_S), case.flows))
    starts_s = rng.uniform(0.0, START_S, case.flows)
    transport = Transport(
        initial_cwnd=10,
        recovery="prr",
        loss_detection=case.detection,
        min_rto_s=0.2,
        send_buffer_bytes=BUFFER_BYTES,
        receive_buffer_bytes=BUFFER_BYTES,
    )
    flows = tuple(
        Flow(
            SENDERS[i % len(SENDERS)], f"s{i}", "sink", Bulk(write_bytes=1446), transport, float(starts_s[i])
        )
        for i in range(case.flows)
    )
    return Scenario(
        star_of_sources(case.rate_bps, [float(rtt) for rtt in rtts_s]),
        flows,
        case.duration_s,
        {("bottleneck", "router"): mechanism_queue(mechanism, case.flows)},
        default_queue=queue("fifo", limit_packets=100_000),
        seed=SEED,
    )


def measure(work: tuple[Case, str]) -> tuple[float, ...]:
    """Run a case with a mechanism and give the figures of `COLUMNS`."""
    case, mechanism = work
    simulation = Simulation(scenario(case, mechanism))
    run_polled(simulation, configured_policies(simulation), case.duration_s)
    result = simulation.result()
    bottleneck = next(q for q in result.queues if (q.link, q.node) == ("bottleneck", "router"))
    return (
        result.jain,
        bottleneck.utilization,
        1e3 * bottleneck.sojourn_mean_s,
        1e3 * bottleneck.sojourn_p99_s,
        bottleneck.drops / bottleneck.arrivals,
    )


def _print_case(case: Case, rows: dict[str, tuple[float, ...]]) -> None:
    print(f"\n{case.flows} flows, {format_rate(case.rate_bps)}, {case.duration_s:g} s, {case.detection}")
    print(f"{'mechanism':16}{'Jain':>8}{'used':>9}{'mean ms':>9}{'p99 ms':>9}{'dropped':>9}")
    for name, (jain, used, mean, p99, dropped) in rows.items():
        print(f"{name:16}{jain:8.4f}{100 * used:8.2f}%{mean:9.2f}{p99:9.2f}{100 * dropped:8.1f}%")


def _write(folder: Path, found: dict[Case, dict[str, tuple[float, ...]]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lfq_many_flows.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["flows", "rate_bps", "detection", "mechanism", *COLUMNS])
        for case, rows in found.items():
            for name, figures in rows.items():
                cells = [f"{value:.5f}" for value in figures]
                writer.writerow([case.flows, case.rate_bps, case.detection, name, *cells])


def _plot(folder: Path, found: dict[Case, dict[str, tuple[float, ...]]]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5 * len(found), 4), layout="constrained")
    for axes, (case, rows) in zip(np.ravel(figure.subplots(1, len(found))), found.items(), strict=True):
        names = list(rows)
        places = np.arange(len(names))
        axes.bar(places - 0.2, [rows[name][2] for name in names], 0.4, label="mean")
        axes.bar(places + 0.2, [rows[name][3] for name in names], 0.4, label="99 %")
        axes.set_xticks(
            places, [f"{name}\nJain {rows[name][0]:.3f}" for name in names], fontsize=6, rotation=30
        )
        axes.set_ylabel("sojourn time, ms")
        axes.set_title(f"{case.flows} flows, {format_rate(case.rate_bps)}", fontsize=9)
        axes.legend(fontsize=7)
    figure.savefig(folder / "lfq_many_flows.png", dpi=150)


def main() -> None:
    """Run all cases."""
    parser = options(__doc__, "lfq_many_flows", "5 s in place of 20 s")
    parser.add_argument("--detection", choices=["sack", "rack"], default="rack")
    parser.add_argument("--flows", type=int, nargs="+", default=[16, 128])
    parser.add_argument("--rate", type=parse_rate, nargs="+", default=[20_000_000, 100_000_000])
    parser.add_argument("--mechanisms", nargs="+", choices=MECHANISMS, default=MECHANISMS)
    arguments = parser.parse_args()
    prepare()
    duration_s = 5.0 if arguments.quick else 20.0
    cases = [
        Case(n, rate, duration_s, arguments.detection) for n in arguments.flows for rate in arguments.rate
    ]
    work = [(case, name) for case in cases for name in arguments.mechanisms]
    with workers(arguments.jobs) as jobs:
        figures = iter(each(measure, work, jobs, "runs"))
        found = {case: {name: next(figures) for name in arguments.mechanisms} for case in cases}
    for case, rows in found.items():
        _print_case(case, rows)
    _write(arguments.out, found)
    _plot(arguments.out, found)


if __name__ == "__main__":
    run_command(main)
