"""The first two seconds of a flow: what the learned queue costs in slow start.

`python -m experiments.lfq_slow_start [--quick] [--out DIR]`

One bulk flow starts on an idle link, with each sender, over a grid of rates and round-trip times, from
Linux's initial window of 10 with PRR and RACK, and from the LFQ paper's of 1 with neither. Prints the bytes
that left the queue in the first two seconds, in shares of those with fq_codel: the mean over the grid for
each sender, and the worst points.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.entry import options
from experiments.entry import run as run_command
from qos.simulation.polling import configured_policies, run_polled
from qos.simulation.scenario import Bulk, Flow, Transport, dumbbell
from qos.simulation.simulation import Simulation, prepare
from qos.workers import each, workers
from schedulers.packet.registry import queue

DURATION_S = 2.0
SENDERS = ("newreno", "cubic", "bic", "bbr")
RATES_MBIT = (2, 5, 10, 25, 50, 100)
RTTS_MS = (5, 10, 20, 40, 80)
BUFFER_BYTES = 8 << 20
STACKS = {
    "linux": Transport(
        initial_cwnd=10,
        recovery="prr",
        loss_detection="rack",
        min_rto_s=0.2,
        send_buffer_bytes=BUFFER_BYTES,
        receive_buffer_bytes=BUFFER_BYTES,
    ),
    "paper": Transport(send_buffer_bytes=BUFFER_BYTES, receive_buffer_bytes=BUFFER_BYTES),
}
REFERENCE = "fq_codel"
MECHANISMS = {
    REFERENCE: queue(REFERENCE),
    "lfq latency": queue("lfq", policy="lfq:latency"),
    "lfq balanced": queue("lfq", policy="lfq:balanced"),
    "lfq throughput": queue("lfq", policy="lfq:throughput"),
    "sawtooth": queue("lfq", policy="sawtooth"),
}


@dataclass(frozen=True)
class Point:
    """One start: sender, its host's stack, rate and round-trip time of the link."""

    sender: str
    stack: str
    rate_mbit: float
    rtt_ms: float


def sent_bytes(work: tuple[Point, str]) -> int:
    """Count what left the queue in the first two seconds with a mechanism."""
    point, mechanism = work
    flow = Flow(point.sender, "left", "right", Bulk(write_bytes=1446), STACKS[point.stack])
    rate_bps = round(point.rate_mbit * 1e6)
    network = dumbbell(
        (flow,),
        rate_bps=rate_bps,
        rtt_s=point.rtt_ms / 1e3,
        queue=MECHANISMS[mechanism],
        duration_s=DURATION_S,
    )
    simulation = Simulation(network)
    run_polled(simulation, configured_policies(simulation), DURATION_S)
    return int(simulation.queue_counters(0).sent_bytes.sum())


def main() -> None:
    """Run the grid."""
    parser = options(__doc__, "lfq_slow_start", "every second rate and round-trip time")
    arguments = parser.parse_args()
    prepare()
    every = 2 if arguments.quick else 1
    points = [
        Point(sender, stack, rate, rtt)
        for sender in SENDERS
        for stack in STACKS
        for rate in RATES_MBIT[::every]
        for rtt in RTTS_MS[::every]
    ]
    work = [(point, name) for point in points for name in MECHANISMS]
    with workers(arguments.jobs) as jobs:
        sent = np.array(list(each(sent_bytes, work, jobs, "starts"))).reshape(len(points), len(MECHANISMS))
    _write(arguments.out, points, sent)
    _report(points, sent)


def _report(points: list[Point], sent: np.ndarray) -> None:
    shares = sent / sent[:, :1]
    print(f"{'sender':10}{'stack':8}" + "".join(f"{name:>16}" for name in list(MECHANISMS)[1:]))
    for sender in SENDERS:
        for stack in STACKS:
            chosen = [i for i, point in enumerate(points) if (point.sender, point.stack) == (sender, stack)]
            _line(f"{sender:10}{stack:8}", shares[chosen].mean(axis=0))
    _line(f"{'mean':18}", shares.mean(axis=0))
    _line(f"{'least':18}", shares.min(axis=0))
    for place, name in list(enumerate(MECHANISMS))[1:]:
        worst = points[int(shares[:, place].argmin())]
        print(f"least of {name}: {worst.sender}, {worst.stack}, {worst.rate_mbit} Mbit/s, {worst.rtt_ms} ms")


def _line(label: str, shares: np.ndarray) -> None:
    print(label + "".join(f"{100 * share:15.2f}%" for share in shares[1:]))


def _write(folder: Path, points: list[Point], sent: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lfq_slow_start.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["sender", "stack", "rate_mbit", "rtt_ms", *(f"{name} bytes" for name in MECHANISMS)])
        for point, row in zip(points, sent, strict=True):
            writer.writerow([point.sender, point.stack, point.rate_mbit, point.rtt_ms, *row.tolist()])


if __name__ == "__main__":
    run_command(main)
