"""Runs cells on this very kernel: ``python -m experiments.kernel_headtohead.guest CELLS.json OUT.jsonl``."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
import zlib
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.entry import weights_sha256
from experiments.kernel_headtohead import traffic
from experiments.kernel_headtohead.capture import INCOMING, OUTGOING, Passage, Ring, match
from experiments.kernel_headtohead.children import Child, ChildFailedError
from experiments.kernel_headtohead.grid import Cell
from experiments.kernel_headtohead.path import Path
from linux_qdisc.lab.compare import jain_index
from linux_qdisc.lab.namespaces import RECEIVER, SENDER

START_S, DRAIN_S, ANSWER_S = 0.1, 0.2, 20.0
SERIES_STEP_S = 0.1
SLOTS_PER_PACKET = 1.3
SMALL_PACKETS_PER_S = 400
NANO = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Clock:
    """Times of one run on the monotonic clock, and the step to the wall clock of the captures."""

    start_s: float
    warm_s: float
    end_s: float
    wall_offset_ns: int

    @classmethod
    def of(cls, cell: Cell) -> Clock:
        """Begin a run now."""
        start_s = time.monotonic() + START_S
        offset_ns = time.clock_gettime_ns(time.CLOCK_REALTIME) - time.monotonic_ns()
        return cls(start_s, start_s + cell.warm_up_s, start_s + cell.duration_s, offset_ns)

    def wall_ns(self, at_s: float) -> int:
        """Return a time of the monotonic clock on the wall clock."""
        return int(at_s * NANO) + self.wall_offset_ns


def run_cell(cell: Cell) -> dict[str, Any]:
    """Run one cell on a path of its own, so that no flow of an earlier run is left, and return its record."""
    scenario = cell.scenario
    with ExitStack() as stack:
        path = stack.enter_context(Path())
        bands = path.delay([rtt_s for _, rtt_s in scenario.flows])
        stack.enter_context(path.queue(cell.queue, scenario.rate_bps))
        packets_per_s = scenario.rate_bps / 8 / 1514 * SLOTS_PER_PACKET + SMALL_PACKETS_PER_S
        slots = int(packets_per_s * (cell.duration_s + 1))
        with path.router.entered():
            rings = Ring("r0", INCOMING, slots), Ring("r1", OUTGOING, slots)
        with path.receiver.entered():
            listeners = traffic.listen_bulk(bands)
        clock = Clock.of(cell)
        children = _traffic(path, cell, clock, listeners)
        for child in children.values():
            stack.callback(child.end)
        traffic.sleep_until(clock.warm_s)
        _mark(cell, "begin")
        busy_s = _busy_s()
        traffic.sleep_until(clock.end_s)
        _mark(cell, "end")
        busy_s = _busy_s() - busy_s
        answers = {name: child.answer(ANSWER_S) for name, child in children.items() if name in ANSWERING}
        time.sleep(DRAIN_S)
        (came, missed_in), (went, missed_out) = (ring.close() for ring in rings)
        for listener in listeners:
            listener.close()
    record = _measures(cell, clock, match(came, went), answers)
    if cell.is_learned:
        record["weights_sha256"] = weights_sha256()
    return record | {
        "cell": cell.to_json(),
        "name": cell.name,
        "captures_missed": missed_in + missed_out,
        "kernel": platform.release(),
        "cpu_s_per_s": busy_s / (cell.duration_s - cell.warm_up_s),
    }


def _busy_s() -> float:
    """CPU time that this kernel has counted as not idle; on the rig the host's count replaces it."""
    ticks = [int(word) for word in FilePath("/proc/stat").read_text().split("\n")[0].split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")


ANSWERING = ("bulk", "web", "voice", "sender")


def _traffic(path: Path, cell: Cell, clock: Clock, listeners: list[Any]) -> dict[str, Child]:
    scenario, start_s, end_s = cell.scenario, clock.start_s, clock.end_s
    controls = [control for control, _ in scenario.flows]
    children = {
        "bulk": Child(path.receiver, lambda tell: tell(traffic.receive_bulk(listeners, clock.warm_s, end_s))),
        "sender": Child(
            path.sender, lambda tell: tell(traffic.send_bulk(RECEIVER, controls, start_s, end_s))
        ),
    }
    if scenario.with_voice:
        children["voice"] = Child(
            path.sender, lambda tell: tell(traffic.send_voice(RECEIVER, start_s + 0.3, end_s))
        )
    if scenario.with_web:
        seed = zlib.crc32(f"{scenario.name}/{cell.repetition}".encode())  # the same for every queue
        with path.sender.entered():
            web = traffic.listen_web()
        rate_bps = scenario.rate_bps
        children |= {
            "server": Child(path.sender, lambda _tell: traffic.serve_web(web, end_s + DRAIN_S)),
            "web": Child(
                path.receiver,
                lambda tell: tell(traffic.fetch_web(SENDER, rate_bps, seed, start_s + 0.3, end_s)),
            ),
        }
        web.close()
    return children


def _measures(cell: Cell, clock: Clock, passage: Passage, answers: dict[str, Any]) -> dict[str, Any]:
    scenario = cell.scenario
    span_s = cell.duration_s - cell.warm_up_s
    window = clock.wall_ns(clock.warm_s), clock.wall_ns(clock.end_s)
    inside = (passage.left_ns >= window[0]) & (passage.left_ns < window[1])
    lost = (passage.lost_ns >= window[0]) & (passage.lost_ns < window[1])
    ports = passage.source_port
    bulk = inside & (ports >= traffic.BULK_PORT) & (ports < traffic.BULK_PORT + len(scenario.flows))
    rates_bps = [8 * count / span_s for count in answers["bulk"]]
    record: dict[str, Any] = {
        "goodput_bps": sum(rates_bps),
        "flows_bps": rates_bps,
        "utilisation": float(passage.frame_bytes[inside].sum() * 8 / (scenario.rate_bps * span_s)),
        "jain": jain_index(rates_bps),
        "drops": int(lost.sum()),
        "packets": int(inside.sum()),
        "series": _series(passage, bulk, clock),
    }
    record |= _delays("bulk", passage.waited_s[bulk])
    if scenario.with_voice:
        voice = ports == traffic.VOICE_PORT
        record |= _delays("voice", passage.waited_s[inside & voice])
        record["voice_drops"] = int((lost & (passage.lost_port == traffic.VOICE_PORT)).sum())
    if scenario.with_web:
        record["web_s"] = [took_s for at_s, _, took_s in answers["web"] if at_s >= clock.warm_s]
    return record


def _delays(name: str, waited_s: NDArray[np.float64]) -> dict[str, float | None]:
    if not len(waited_s):
        return {f"{name}_{part}_s": None for part in ("mean", "p50", "p95", "p99")}
    percentiles = np.percentile(waited_s, (50, 95, 99))
    parts = zip(("p50", "p95", "p99"), percentiles, strict=True)
    return {f"{name}_mean_s": float(waited_s.mean())} | {
        f"{name}_{part}_s": float(value) for part, value in parts
    }


def _series(passage: Passage, bulk: NDArray[np.bool_], clock: Clock) -> dict[str, list[float]]:
    """Mean delay and rate of the bulk flows in steps after the warm-up."""
    steps = round((clock.end_s - clock.warm_s) / SERIES_STEP_S)
    step = (passage.left_ns[bulk] - clock.wall_ns(clock.warm_s)) // int(SERIES_STEP_S * NANO)
    inside = (step >= 0) & (step < steps)
    step = step[inside]
    count = np.bincount(step, minlength=steps)
    waited = np.bincount(step, passage.waited_s[bulk][inside], steps)
    carried = np.bincount(step, passage.frame_bytes[bulk][inside], steps)
    return {
        "step_s": [SERIES_STEP_S],
        "delay_s": [round(float(value), 6) for value in waited / np.maximum(count, 1)],
        "rate_bps": [float(value) for value in carried * 8 / SERIES_STEP_S],
    }


def mark_name(cell: str, part: str) -> str:
    """Name the folder whose time of making says when a part of a run began on the host's clock."""
    return f"{cell.replace('/', '_')}.{part}.mark"


def _mark(cell: Cell, part: str) -> None:
    folder = os.environ.get("RIG_OUT")
    if folder is not None:
        os.mkdir(os.path.join(folder, mark_name(cell.name, part)))


def main(orders: str, out: str) -> None:
    """Run every cell of a file, and add a line for each to another."""
    cells = [Cell.from_json(row) for row in json.loads(FilePath(orders).read_text())]
    with open(out, "a") as results:
        for cell in cells:
            try:
                record = run_cell(cell)
            except ChildFailedError as error:
                record = {"name": cell.name, "failed": str(error)}
            results.write(json.dumps(record) + "\n")
            results.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
