"""Short transfers beside downloads: how long a page takes behind each queue.

`python -m experiments.lfq_short_transfers [--quick] [--out DIR]`

CUBIC downloads fill a link of 20 ms; short CUBIC transfers begin at random and ask for a tenth of it (median
20 kB, log-normal). Prints and writes, for each queue, the time from a transfer's first packet to its last
byte, the share of transfers that lost a packet, and the mean sojourn time of all packets. The same transfers
for every queue; those of the first three seconds do not count.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from experiments.entry import options
from experiments.entry import run as run_command
from experiments.lfq_many_flows import MECHANISMS, mechanism_queue
from qos.simulation.polling import configured_policies, run_polled
from qos.simulation.scenario import Bulk, FixedSize, Flow, Scenario, Transport
from qos.simulation.simulation import Simulation, prepare
from qos.training.scenarios import star_of_sources
from qos.units import format_rate
from qos.workers import each, workers
from schedulers.packet.registry import queue

RTT_S = 0.02
DURATION_S, WARM_UP_S, LAST_START_S = 12.0, 3.0, 10.0
SIZE_MEDIAN_BYTES, SIZE_SIGMA, SIZE_RANGE_BYTES = 20_000, 0.8, (3_000, 200_000)
SHARE, MOST_HZ = 0.1, 10.0
BUFFER_BYTES = 4 << 20
COLUMNS = ("transfers", "p25_ms", "median_ms", "p90_ms", "mean_ms", "lossy_share", "sojourn_mean_ms")


@dataclass(frozen=True)
class Case:
    """So many downloads on a link of a rate."""

    rate_bps: int
    downloads: int


CASES = (Case(3_000_000, 1), Case(10_000_000, 0), Case(10_000_000, 2), Case(50_000_000, 2))


def _transfers(case: Case, seed: int) -> list[tuple[float, int]]:
    """Draw when transfers begin and how many bytes they bring."""
    rng = np.random.default_rng([seed, case.rate_bps])
    mean_bytes = SIZE_MEDIAN_BYTES * np.exp(SIZE_SIGMA**2 / 2)
    rate_hz = min(SHARE * case.rate_bps / (8 * mean_bytes), MOST_HZ)
    drawn, start_s = [], float(rng.exponential(1 / rate_hz))
    while start_s < LAST_START_S:
        size = np.clip(rng.lognormal(np.log(SIZE_MEDIAN_BYTES), SIZE_SIGMA), *SIZE_RANGE_BYTES)
        drawn.append((start_s, int(size)))
        start_s += float(rng.exponential(1 / rate_hz))
    return drawn


def scenario(case: Case, mechanism: str, seed: int) -> Scenario:
    """Make the network of a case, the downloads first; the same for every mechanism but for the queue."""
    transport = Transport(
        initial_cwnd=10,
        recovery="prr",
        loss_detection="rack",
        hystart=True,
        ack_every=2,
        min_rto_s=0.2,
        send_buffer_bytes=BUFFER_BYTES,
        receive_buffer_bytes=BUFFER_BYTES,
    )
    sends: list[tuple[Bulk | FixedSize, float]] = [(Bulk(), 0.0)] * case.downloads
    sends += [(FixedSize(size), start_s) for start_s, size in _transfers(case, seed)]
    flows = tuple(
        Flow("cubic", f"s{number}", "sink", application, transport, start_s)
        for number, (application, start_s) in enumerate(sends)
    )
    return Scenario(
        star_of_sources(case.rate_bps, [RTT_S] * len(flows)),
        flows,
        DURATION_S,
        {("bottleneck", "router"): mechanism_queue(mechanism, len(flows))},
        default_queue=queue("fifo", limit_packets=100_000),
        seed=seed,
    )


def measure(work: tuple[Case, str, int]) -> tuple[NDArray[np.float64], float]:
    """Run once; give seconds and drops of each transfer, shape ``(n, 2)``, and the mean sojourn time."""
    case, mechanism, seed = work
    simulation = Simulation(scenario(case, mechanism, seed))
    run_polled(simulation, configured_policies(simulation), DURATION_S)
    result = simulation.result()
    rows = []
    for flow, found in zip(simulation.scenario.flows, result.flows, strict=True):
        if flow.start_s >= WARM_UP_S:
            end_s = DURATION_S if np.isnan(found.finished_s) else found.finished_s  # at least
            rows.append((end_s - flow.start_s, found.drops))
    bottleneck = next(q for q in result.queues if (q.link, q.node) == ("bottleneck", "router"))
    return np.array(rows), bottleneck.sojourn_mean_s


def _figures(runs: list[tuple[NDArray[np.float64], float]]) -> tuple[float, ...]:
    """Sum the runs of a case with a mechanism up, as `COLUMNS` say."""
    took_ms, drops = np.concatenate([rows for rows, _ in runs]).T * [[1e3], [1.0]]
    return (
        float(len(took_ms)),
        *(float(p) for p in np.percentile(took_ms, [25, 50, 90])),
        float(took_ms.mean()),
        float((drops > 0).mean()),
        1e3 * float(np.mean([sojourn_s for _, sojourn_s in runs])),
    )


def _print_case(case: Case, rows: dict[str, tuple[float, ...]]) -> None:
    count = int(next(iter(rows.values()))[0])
    print(f"\n{count} transfers beside {case.downloads} downloads, {format_rate(case.rate_bps)}")
    print(f"{'mechanism':16}{'25 % ms':>9}{'median':>9}{'90 %':>9}{'mean':>9}{'lossy':>8}{'wait ms':>9}")
    for name, (_, p25, median, p90, mean, lossy, wait) in rows.items():
        print(f"{name:16}{p25:9.0f}{median:9.0f}{p90:9.0f}{mean:9.0f}{lossy:8.0%}{wait:9.2f}")


def _write(folder: Path, found: dict[Case, dict[str, tuple[float, ...]]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lfq_short_transfers.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["rate_bps", "downloads", "mechanism", *COLUMNS])
        for case, rows in found.items():
            for name, figures in rows.items():
                writer.writerow([case.rate_bps, case.downloads, name, *(f"{value:.4f}" for value in figures)])


def main() -> None:
    """Run all cases."""
    parser = options(__doc__, "lfq_short_transfers", "one run of each in place of ten")
    arguments = parser.parse_args()
    prepare()
    seeds = range(1 if arguments.quick else 10)
    work = [(case, name, seed) for case in CASES for name in MECHANISMS for seed in seeds]
    with workers(arguments.jobs) as jobs:
        runs = iter(each(measure, work, jobs, "runs"))
        found = {case: {name: _figures([next(runs) for _ in seeds]) for name in MECHANISMS} for case in CASES}
    for case, rows in found.items():
        _print_case(case, rows)
    _write(arguments.out, found)


if __name__ == "__main__":
    run_command(main)
