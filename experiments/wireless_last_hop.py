"""A fading last hop: throughput and delay of fair queues, the learned one without and with a forecast.

``python -m experiments.wireless_last_hop [--quick] [--out DIR] [--seed N]``

A server sends over 1 Gbit/s and 10 ms to an access point, which sends to a station over Wi-Fi of 20 MHz at
5.18 GHz with Rayleigh fading (`qos.crosslayer.rate_process`: AMC for a packet error rate of 1 %, ARQ). One or
four CUBIC downloads and a voice stream of 64 kbit/s, each in its own part of the queue before the radio:

``fq_codel``, ``cake``   as in the simulator, 5 ms target
``lfq``                  the learned policy with each preference, polled every 20 ms, told the mean rate once
``lfq+forecast``         told at each poll what the mode of the radio lets expect of the next 60 ms

Every preference is run, because the question is not whether a forecast shortens the queue (it does) but
whether it does so at less loss of throughput than another preference: see the fronts of the picture.

Cases: mean SNR 15 and 25 dB, Doppler 5 and 20 Hz; each seed has one channel for all queues. Writes
``last_hop.csv`` (one row a run) and ``last_hop.png``.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np

from qos.crosslayer.rate_process import RateForecast, RateSeries, rate_series, wifi_radio
from qos.simulation.polling import PolledLimits
from qos.simulation.result import FlowResult
from qos.simulation.scenario import ConstantRate, Flow, RateTrace, Scenario
from qos.simulation.simulation import Simulation
from schedulers.packet.limits import make_policy
from schedulers.packet.limits.contract import QueueContext
from schedulers.packet.limits.forecast import Forecast
from schedulers.packet.registry import queue
from topologies.links import WiredLink
from topologies.model import Node, Topology

PREFERENCES = ("throughput", "1.5", "balanced", "latency")
FAMILIES = ("fq_codel", "cake", "lfq", "lfq+forecast")
QUEUES = (
    "fq_codel",
    "cake",
    *(f"lfq:{each}" for each in PREFERENCES),
    *(f"lfq:{each}+forecast" for each in PREFERENCES),
)
POLL_S, HORIZON_S = 0.02, 0.06
ERROR_RATE = 0.01
CASES = ((15.0, 5.0), (15.0, 20.0), (25.0, 5.0), (25.0, 20.0))
COLOURS = {"fq_codel": "#999999", "cake": "#e69f00", "lfq": "#0072b2", "lfq+forecast": "#009e73"}


@dataclass(frozen=True)
class Row:
    """One run."""

    snr_db: float
    doppler_hz: float
    downloads: int
    seed: int
    queue: str
    utilisation: float
    wait_mean_ms: float
    wait_p95_ms: float
    wait_p99_ms: float
    voice_p99_ms: float
    voice_lost: float
    drops: int


def scenario(name: str, series: RateSeries, mean_bps: float, downloads: int, seconds: float) -> Scenario:
    """Make the network with a queue in front of the radio."""
    nodes = [Node("server"), Node("ap", "access-point"), Node("station", "station")]
    links = [
        WiredLink("server", "ap", 1_000_000_000, id="wire", delay_s=0.01),
        WiredLink("ap", "station", round(mean_bps), id="air", delay_s=0.001),
    ]
    if name.startswith("lfq"):
        chosen = queue("fq", limit_packets=1 << 20, flow_limit_packets=1 << 20)
    else:
        chosen = queue(name)
    flows = [Flow("cubic", "server", "station", start_s=0.1 * number) for number in range(downloads)]
    flows.append(Flow("udp", "server", "station", ConstantRate(64_000, 160)))
    times, rates = series.changes()
    trace = {("air", "ap"): RateTrace(times, rates)}
    topology = Topology(nodes, links)
    return Scenario(topology, tuple(flows), seconds, {("air", "ap"): chosen}, rates=trace, sample_s=0.01)


def run(name: str, series: RateSeries, forecast: RateForecast, downloads: int, seconds: float) -> Simulation:
    """Simulate one queue over one channel."""
    simulation = Simulation(scenario(name, series, forecast.mean_bps, downloads, seconds))
    place = list(simulation.paths.directions).index(("air", "ap"))
    if not name.startswith("lfq"):
        simulation.run_until(seconds)
        return simulation
    # The first rate of the trace is the link's rate by then; the policy is told the mean.
    first = PolledLimits(simulation, "lfq", POLL_S, place).context
    context = QueueContext(
        first.slots,
        round(forecast.mean_bps),
        first.mtu_bytes,
        max(round(forecast.mean_bps * 0.1 / 8), first.min_limit_bytes),
        first.min_limit_bytes,
        first.max_limit_bytes,
    )
    spelling, _, told = name.partition("+")
    policy = Forecast(make_policy(spelling, context), context)
    polled = PolledLimits(simulation, policy, POLL_S, place)
    simulation.set_limits(place, context.initial_limit_bytes)
    while polled.next_s <= seconds:
        simulation.run_until(polled.next_s)
        state = int(series.states[min(int(polled.next_s / series.slot_s), len(series.states) - 1)])
        policy.tell(forecast.expect(state) if told else forecast.mean_bps)
        polled.poll()
    simulation.run_until(seconds)
    return simulation


def study(snr_db: float, doppler_hz: float, downloads: int, seed: int, seconds: float) -> list[Row]:
    """Run every queue over one channel."""
    model, found = wifi_radio(snr_db, doppler_hz, ERROR_RATE)
    series = rate_series(model, found, int(seconds / model.slot_s) + 1, seed)
    forecast = RateForecast(model, found, round(HORIZON_S / model.slot_s))
    could_bps = float(series.rates_bps.mean())
    rows = []
    for name in QUEUES:
        result = run(name, series, forecast, downloads, seconds).result()
        bottleneck = next(each for each in result.queues if (each.link, each.node) == ("air", "ap"))
        voice: FlowResult = result.flows[-1]
        carried = sum(flow.throughput_bps for flow in result.flows) / could_bps
        waits = (bottleneck.sojourn_mean_s, bottleneck.sojourn_p95_s, bottleneck.sojourn_p99_s)
        mean_ms, p95_ms, p99_ms = (1e3 * value for value in waits)
        lost = 1 - voice.delivered_packets / voice.sent_packets
        rows.append(
            Row(
                snr_db, doppler_hz, downloads, seed, name, carried, mean_ms, p95_ms, p99_ms,
                1e3 * voice.rtt_p99_s, lost, bottleneck.drops,
            )
        )  # fmt: skip
    return rows


def family(name: str) -> str:
    """Give the kind of queue that a name belongs to."""
    return ("lfq+forecast" if name.endswith("+forecast") else "lfq") if name.startswith("lfq") else name


def draw(rows: Sequence[Row], path: Path) -> None:
    """Draw utilisation against the mean wait, one panel a case; preferences are joined to fronts."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 7), layout="constrained")
    panels = figure.subplots(2, 2)
    for axes, (snr_db, doppler_hz) in zip(panels.flat, CASES, strict=True):
        for kind in FAMILIES:
            for downloads, style in ((1, "o-"), (4, "s--")):
                points = []
                for name in QUEUES:
                    key = (snr_db, doppler_hz, name, downloads)
                    here = [r for r in rows if (r.snr_db, r.doppler_hz, r.queue, r.downloads) == key]
                    if family(name) == kind and here:
                        wait_ms = np.mean([row.wait_mean_ms for row in here])
                        points.append((wait_ms, np.mean([row.utilisation for row in here])))
                if points:
                    label = kind if downloads == 1 else None
                    axes.plot(*zip(*points, strict=True), style, color=COLOURS[kind], ms=5, lw=1, label=label)
        axes.set_xscale("log")
        axes.set_title(f"{snr_db:g} dB, Doppler {doppler_hz:g} Hz")
        axes.set_xlabel("mean wait in the queue, ms")
        axes.set_ylabel("share of the radio's rate in use")
        axes.grid(lw=0.3)
    panels[0, 0].legend(frameon=False)
    figure.suptitle("solid: one download, dashed: four")
    figure.savefig(path, dpi=140)


def show(rows: Sequence[Row]) -> None:
    """Print the means over the seeds."""
    heads = f"{'case':26} {'queue':24} {'in use':>7} {'wait mean':>10} {'p95':>8} {'voice p99':>10}"
    print(heads + f" {'voice lost':>10}")
    for snr_db, doppler_hz in CASES:
        for downloads in (1, 4):
            for name in QUEUES:
                key = (snr_db, doppler_hz, downloads, name)
                here = [r for r in rows if (r.snr_db, r.doppler_hz, r.downloads, r.queue) == key]
                if not here:
                    continue
                case = f"{snr_db:g} dB {doppler_hz:g} Hz, {downloads} downloads"
                fields = ("utilisation", "wait_mean_ms", "wait_p95_ms", "voice_p99_ms", "voice_lost")
                used, mean, p95, voice, lost = (np.mean([getattr(r, f) for r in here]) for f in fields)
                figures = f"{used:7.1%} {mean:7.1f} ms {p95:5.1f} ms {voice:7.1f} ms {lost:10.2%}"
                print(f"{case:26} {name:24} {figures}")


@click.command()
@click.option("--quick", is_flag=True, help="One seed, 20 s.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("results/wireless_last_hop"))
@click.option("--seed", type=int, default=1, show_default=True)
def main(quick: bool, out: Path, seed: int) -> None:
    """Compare queues in front of a fading radio."""
    out.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    for snr_db, doppler_hz in CASES:
        for downloads in (1, 4):
            for number in range(1 if quick else 3):
                rows += study(snr_db, doppler_hz, downloads, seed + number, 20.0 if quick else 40.0)
    with (out / "last_hop.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(asdict(rows[0])))
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
    draw(rows, out / "last_hop.png")
    show(rows)


if __name__ == "__main__":
    main()
