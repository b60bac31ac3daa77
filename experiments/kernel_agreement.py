"""Simulator and real kernel on the same scenarios: ``python -m experiments.kernel_agreement``.

Bulk TCP as Linux has it runs on the rig's kernel (`experiments.rig`) and in `qos.simulation`, through the
same queues; goodput and mean queueing delay are printed side by side. What the simulated path takes over from
the kernel's: a token-bucket shaper lets a packet go when its transmission would begin, and the rig delays
only the answers, so the base round-trip time is netem's alone; the simulator's own transmission times are
taken off its link's delay. The shaper's bucket, fq_codel's look at the whole backlog and the ticks of the
guest's timers (100 Hz in Debian's User-mode Linux) are told to the simulator, as they are settings.
"""

from __future__ import annotations

import csv
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from experiments.kernel_headtohead.grid import Cell, Scenario
from experiments.kernel_headtohead.path import FRAME_BYTES
from experiments.kernel_headtohead.runs import Store, carry_out
from experiments.rig import prepare
from linux_qdisc.compile import burst_bytes
from qos.simulation import Bulk, Flow, Simulation, Transport, dumbbell
from qos.simulation import Scenario as SimulatedScenario
from qos.simulation.polling import configured_policies, run_polled
from schedulers.packet.registry import QueueConfiguration, queue

HEADER_BYTES = 66
"""Ethernet, IPv4 and TCP with timestamps: a Linux queue counts frames, and so does a limit policy there."""
SOCKET_BYTES = 16 << 20
WRITE_BYTES = 1 << 16
TICK_S = 0.01
LINUX = Transport.linux(
    header_bytes=HEADER_BYTES,
    send_buffer_bytes=SOCKET_BYTES,
    receive_buffer_bytes=SOCKET_BYTES,
    timer_tick_s=TICK_S,
)
FRAMES = {"quantum_bytes": FRAME_BYTES, "mtu_bytes": FRAME_BYTES}
SENDERS = {"reno": "newreno", "cubic": "cubic", "bbr": "bbr"}
GOODPUT_BOUND, DELAY_BOUND = 0.03, 0.2
DELAY_BOUND_FRAMES = 0.5
"""Delays closer than half a frame's transmission time count as equal."""
TRAFFIC = ("reno1", "cubic1", "bbr1", "mixed8")
PATHS = ((10, 20), (50, 20), (10, 80))
LONG_RTT_MS = 20
SEEDS = 5
SHIFT_S = 0.0173
"""The simulator's runs begin so much later each: at other moments between the polls of a policy."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What one side measured after the warm-up: medians over its runs."""

    goodput_bps: float
    delay_s: float
    jain: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """One scenario and queue on both sides."""

    scenario: Scenario
    queue: str
    kernel: Figures
    simulated: Figures

    @property
    def goodput_apart(self) -> float:
        """The simulator's goodput over the kernel's, less 1."""
        return self.simulated.goodput_bps / self.kernel.goodput_bps - 1

    @property
    def delay_apart(self) -> float:
        """The simulator's mean delay over the kernel's, less 1."""
        return self.simulated.delay_s / max(self.kernel.delay_s, 1e-9) - 1

    @property
    def agrees(self) -> bool:
        """Goodput within 3 %, mean delay within 20 % or half a frame."""
        frame_s = FRAME_BYTES * 8 / self.scenario.rate_bps
        near = abs(self.simulated.delay_s - self.kernel.delay_s) <= DELAY_BOUND_FRAMES * frame_s
        return abs(self.goodput_apart) <= GOODPUT_BOUND and (near or abs(self.delay_apart) <= DELAY_BOUND)


def queues_for(scenario: Scenario) -> list[str]:
    """Name the queues: a limit of half and of twice the bandwidth-delay product, AQMs, and ours."""
    bdp_frames = scenario.rate_bps * scenario.rtt_ms / 8e3 / FRAME_BYTES / len(scenario.flows)
    limits = [max(4, round(share * bdp_frames)) for share in (0.5, 2.0)]
    fixed = dict.fromkeys(f"fixed:{frames * FRAME_BYTES}b" for frames in limits)
    return [*fixed, "fq_codel", "lfq:balanced"]


def path_of(word: str) -> tuple[int, int]:
    """Read a path: a rate in Mbit/s and a round-trip time in ms, such as ``25:40``.

    Raises
    ------
    click.BadParameter
        If it is none, or outside of what the rig can carry (1 to 200 Mbit/s, 1 to 500 ms).
    """
    parts = word.split(":")
    if len(parts) == 2 and all(part.isdecimal() for part in parts):
        rate_mbit, rtt_ms = int(parts[0]), int(parts[1])
        if 1 <= rate_mbit <= 200 and 1 <= rtt_ms <= 500:
            return rate_mbit, rtt_ms
    raise click.BadParameter(f"{word!r} is not RATE:RTT in Mbit/s (1 to 200) and ms (1 to 500)")


def lengths_s(scenario: Scenario) -> tuple[float, float]:
    """Give warm-up and length in seconds: the sawtooth of a longer path takes longer."""
    return (4.0, 16.0) if scenario.rtt_ms <= LONG_RTT_MS else (10.0, 60.0)


def chosen_rows(
    kinds: Sequence[str], paths: Sequence[tuple[int, int]], queues: Sequence[str]
) -> list[tuple[Scenario, str]]:
    """Give scenario and queue of each row that fits; where nothing is chosen, all that the table has."""
    scenarios = [Scenario(*path, kind) for kind, path in itertools.product(kinds or TRAFFIC, paths or PATHS)]
    return [
        (scenario, name)
        for scenario in scenarios
        for name in queues_for(scenario)
        if not queues or name in queues
    ]


def simulated_queue(name: str) -> QueueConfiguration:
    """Give the simulator's queue for a queue of the rig."""
    kind, _, argument = name.partition(":")
    if kind == "fixed":
        return queue("htb", flow_limit_packets=int(argument.rstrip("b")) // FRAME_BYTES, **FRAMES)
    if kind in ("lfq", "sawtooth"):
        return queue("htb", policy=name, **FRAMES)
    return queue(name, shared_backlog=True, **FRAMES)


def simulated_scenario(scenario: Scenario, name: str, seed: int) -> SimulatedScenario:
    """Give the simulator's scenario for a run on the rig."""
    duration_s = lengths_s(scenario)[1]
    crossing_s = (FRAME_BYTES + HEADER_BYTES) * 8 / scenario.rate_bps
    flows = tuple(
        Flow(
            SENDERS[control],
            "left",
            "right",
            application=Bulk(WRITE_BYTES),
            transport=LINUX,
            start_s=0.001 * number + SHIFT_S * seed,
        )
        for number, (control, _) in enumerate(scenario.flows)
    )
    plain = dumbbell(
        flows,
        rate_bps=scenario.rate_bps,
        rtt_s=scenario.rtt_ms / 1e3 - crossing_s,
        queue=simulated_queue(name),
        duration_s=duration_s,
        seed=seed,
    )
    return SimulatedScenario(
        plain.topology,
        flows,
        duration_s,
        plain.queues,
        ring_packets=0,
        frame_overhead_bytes=0,
        burst_s=burst_bytes(scenario.rate_bps, FRAME_BYTES) * 8 / scenario.rate_bps,
        seed=seed,
    )


def simulate(scenario: Scenario, name: str, seed: int) -> Figures:
    """Run one scenario in the simulator and measure what the rig measures."""
    simulation = Simulation(simulated_scenario(scenario, name, seed))
    policies = configured_policies(simulation)
    marks = []
    warm_up_s, end_s = lengths_s(scenario)
    for until_s in (warm_up_s, end_s):
        run_polled(simulation, policies, until_s)
        first, flows = simulation.state.queues[0], simulation.state.flows
        marks.append(
            (
                flows["delivered_in_order_bytes"].astype(np.float64).copy(),
                float(first["sojourn_sum_ns"]),
                int(first["sent_packets"]),
            )
        )
    (early, early_ns, early_sent), (late, late_ns, late_sent) = marks
    rates_bps = (late - early) * 8 / (end_s - warm_up_s)
    waited_s = (late_ns - early_ns) * 1e-9 / max(late_sent - early_sent, 1)
    jain = float(rates_bps.sum() ** 2 / (len(rates_bps) * (rates_bps**2).sum()))
    return Figures(float(rates_bps.sum()), waited_s, jain)


def together(found: Sequence[Figures]) -> Figures:
    """Give the medians of several runs."""
    rows = np.array([(row.goodput_bps, row.delay_s, row.jain) for row in found])
    return Figures(*np.median(rows, axis=0).tolist())


def compare(scenario: Scenario, name: str, rows: Sequence[dict[str, float]]) -> Comparison:
    """Put the rig's runs of a scenario beside the simulator's."""
    kernel = together([Figures(row["goodput_bps"], row["bulk_mean_s"], row["jain"]) for row in rows])
    return Comparison(
        scenario, name, kernel, together([simulate(scenario, name, seed) for seed in range(SEEDS)])
    )


def table(found: Sequence[Comparison]) -> str:
    """Return the comparison as text, rows that do not agree with an X."""
    lines = [
        f"{'':2}{'scenario':22}{'queue':18}{'kernel Mbit/s':>14}{'ours':>8}{'':8}"
        f"{'kernel ms':>10}{'ours':>9}{'':8}{'Jain':>7}{'ours':>7}"
    ]
    for row in found:
        kernel, ours = row.kernel, row.simulated
        lines.append(
            f"{' ' if row.agrees else 'X':2}{row.scenario.name:22}{row.queue:18}"
            f"{kernel.goodput_bps / 1e6:14.2f}{ours.goodput_bps / 1e6:8.2f}{row.goodput_apart:+8.1%}"
            f"{kernel.delay_s * 1e3:10.2f}{ours.delay_s * 1e3:9.2f}{row.delay_apart:+8.0%}"
            f"{kernel.jain:7.3f}{ours.jain:7.3f}"
        )
    return "\n".join(lines)


def write_csv(found: Sequence[Comparison], path: Path) -> None:
    """Write the comparison."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        head = ["scenario", "queue", "agrees"]
        names = ("goodput_bps", "delay_s", "jain")
        writer.writerow([*head, *(f"{side}_{name}" for side in ("kernel", "simulated") for name in names)])
        for row in found:
            sides = [getattr(side, name) for side in (row.kernel, row.simulated) for name in names]
            writer.writerow([row.scenario.name, row.queue, row.agrees, *sides])


@click.command()
@click.option("--traffic", "kinds", multiple=True, type=click.Choice(TRAFFIC), help="Only this; repeatable.")
@click.option(
    "--path",
    "paths",
    multiple=True,
    metavar="RATE:RTT",
    callback=lambda _context, _parameter, words: tuple(path_of(word) for word in words),
    help="Mbit/s and ms, such as 25:40; repeatable.  [default: 10:20, 50:20, 10:80]",
)
@click.option("--queue", "queues", multiple=True, help="Only this, as the table spells it; repeatable.")
@click.option(
    "--repetitions", type=click.IntRange(1, 20), default=1, show_default=True, help="On the kernel."
)
@click.option(
    "--minutes", type=float, default=20.0, show_default=True, help="Stop then; the next call goes on."
)
@click.option(
    "--workers", type=click.IntRange(1, 64), default=2, show_default=True, help="Kernels at a time."
)
@click.option("--out", type=click.Path(path_type=Path), default=Path("results/kernel_agreement"))
def main(
    kinds: tuple[str, ...],
    paths: tuple[tuple[int, int], ...],
    queues: tuple[str, ...],
    repetitions: int,
    minutes: float,
    workers: int,
    out: Path,
) -> None:
    """Run the scenarios on both sides; the rig's runs are kept and taken up again."""
    out.mkdir(parents=True, exist_ok=True)
    rows = chosen_rows(kinds, paths, queues)
    if not rows:
        raise click.UsageError("no row has a queue of the name that --queue gives")
    cells = [
        Cell(scenario, name, number, *lengths_s(scenario))
        for number in range(repetitions)
        for scenario, name in rows
    ]
    store = Store(out / "runs.jsonl")
    store.refuse_others("rig")
    carry_out(cells, store, prepare(), workers, time.monotonic() + 60 * minutes, lambda _count: None)
    by_cell: dict[tuple[str, str], list[dict[str, float]]] = {}
    for row in store.rows():
        scenario, _, rest = row["name"].partition("/")
        by_cell.setdefault((scenario, rest.rpartition("/")[0]), []).append(row)
    found = [
        compare(scenario, name, by_cell[scenario.name, name])
        for scenario, name in rows
        if (scenario.name, name) in by_cell
    ]
    write_csv(found, out / "agreement.csv")
    click.echo(table(found))
    agreeing = sum(row.agrees for row in found)
    bounds = "goodput within 3 %, mean delay within 20 % or half a frame"
    click.echo(f"{agreeing} of {len(found)} rows agree: {bounds}")


if __name__ == "__main__":
    main()
