"""Speed of the packet simulator: packets a CPU second, against the ns-3 wheel in the same run, and at scale.

``python -m experiments.bench_simulator [--ns3 PYTHON] [--json] [--quick]``; PYTHON is an interpreter whose
environment holds the `ns3` wheel (``tox -e bench-ns3`` makes one). Only CPU time of the events is compared,
with start-up and compilation left out on both sides; each figure of ours is the median of repeated runs.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any

from qos.simulation import Flow, Scenario, Simulation, dumbbell, prepare, run_batch
from schedulers.packet.registry import queue

REPEATS = 7
MIXED = ("newreno", "cubic", "bic", "bbr", "vegas")
NS3_MIXED = ("NewReno", "Cubic", "Bic", "Bbr", "Vegas")
REFERENCE = Path(__file__).with_name("ns3_reference.py")


def scenario(senders: tuple[str, ...], rate_mbit: float, duration_s: float, seed: int = 0) -> Scenario:
    """Make a dumbbell with a round-trip time of 15 ms and FQ-CoDel, which has a queue for each flow."""
    return dumbbell(
        tuple(Flow(sender, "left", "right") for sender in senders),
        rate_bps=round(rate_mbit * 1e6),
        rtt_s=0.015,
        queue=queue("fq_codel", flows=max(1024, len(senders)), limit_packets=max(10_240, 100 * len(senders))),
        duration_s=duration_s,
        seed=seed,
    )


def speed(plan: Scenario, repeats: int) -> dict[str, float]:
    """Measure packets a CPU second, the median of several runs."""
    rates, packets, memory = [], 0, 0
    for _ in range(repeats):
        simulation = Simulation(plan)
        result = simulation.run()
        rates.append(result.packets / result.cpu_s)
        packets = result.packets
        memory = simulation.memory_bytes
    return {"packets": packets, "packets_per_cpu_s": statistics.median(rates), "memory_bytes": memory}


def ns3_speed(python: str, rate_mbit: float, duration_s: float, senders: list[str]) -> dict[str, Any] | None:
    """Run the same in ns-3; None where it fails."""
    command = [python, str(REFERENCE), "FqCoDel", "-", "classic", str(rate_mbit), "15", str(duration_s), "1"]
    done = subprocess.run([*command, *senders], capture_output=True, text=True, timeout=480, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        return None
    reference: dict[str, Any] = json.loads(lines[-1])
    return {**reference, "packets_per_cpu_s": reference["packets"] / reference["cpu_s"]}


def against_ns3(python: str | None, repeats: int) -> list[dict[str, Any]]:
    """Compare one flow, and fifty mixed ones."""
    cases = (
        ("one newreno flow, 15 Mbit/s, 60 s", ("newreno",), 15.0, 60.0, ["NewReno:1"]),
        ("50 mixed flows, 100 Mbit/s, 10 s", MIXED * 10, 100.0, 10.0, [f"{name}:10" for name in NS3_MIXED]),
    )
    rows = []
    for name, senders, rate_mbit, duration_s, reference in cases:
        row: dict[str, Any] = {"case": name, "ours": speed(scenario(senders, rate_mbit, duration_s), repeats)}
        if python is not None:
            row["ns3"] = ns3_speed(python, rate_mbit, duration_s, reference)
            if row["ns3"] is not None:
                row["ratio"] = row["ours"]["packets_per_cpu_s"] / row["ns3"]["packets_per_cpu_s"]
        rows.append(row)
    return rows


def scaling(repeats: int) -> list[dict[str, float]]:
    """Measure the cost of a packet with 10 to 10,000 flows; 2 Mbit/s a flow."""
    rows = []
    for flows in (10, 100, 1000, 10_000):
        plan = scenario(("newreno",) * flows, 2.0 * flows, max(2000.0 / flows, 1.0) if flows < 1000 else 2.0)
        measured = speed(plan, min(repeats, 3))
        nanoseconds = 1e9 / measured["packets_per_cpu_s"]
        rows.append(
            {"flows": flows, "ns_per_packet": nanoseconds, "bytes_per_flow": measured["memory_bytes"] / flows}
        )
    return rows


def growth(rows: list[dict[str, float]]) -> dict[str, float]:
    """Compare the growth of a packet's cost from the fewest to the most flows with that of the logarithm."""
    first, last = rows[0], rows[-1]
    return {
        "cost": last["ns_per_packet"] / first["ns_per_packet"],
        "log_flows": math.log(last["flows"]) / math.log(first["flows"]),
    }


def batches() -> list[dict[str, float]]:
    """Measure the wall time of a batch on one process and on all cores."""
    plans = [scenario(("cubic", "newreno"), 15.0, 60.0, seed) for seed in range(200)]
    rows = []
    for jobs in (1, -1):
        run_batch(plans[:8], jobs=jobs)  # the processes start and load the code
        started = time.perf_counter()
        run_batch(plans, jobs=jobs)
        rows.append({"jobs": jobs, "wall_s": time.perf_counter() - started})
    return rows


def compile_cost_s() -> float:
    """CPU time to compile the core, or to load it where it is compiled already."""
    started = time.process_time()
    prepare()
    return time.process_time() - started


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ns3", metavar="PYTHON", help="interpreter that has the ns3 wheel")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions, no batch")
    options = parser.parse_args(arguments)
    repeats = 3 if options.quick else REPEATS
    document: dict[str, Any] = {"schema": 1, "compile_or_load_cpu_s": compile_cost_s()}
    document["against_ns3"] = against_ns3(options.ns3, repeats)
    document["scaling"] = scaling(repeats)
    document["growth"] = growth(document["scaling"])
    if not options.quick:
        document["batch"] = batches()
    if options.json:
        print(json.dumps(document, indent=2))
        return
    print(f"core compiled or loaded in {document['compile_or_load_cpu_s']:.1f} s of CPU time")
    for row in document["against_ns3"]:
        print(f"{row['case']}: {row['ours']['packets_per_cpu_s'] / 1e6:.2f} million packets/CPU s", end="")
        if row.get("ns3"):
            print(
                f"; ns-3 {row['ns3']['packets_per_cpu_s'] / 1e3:.1f} thousand: {row['ratio']:.0f} times",
                end="",
            )
        print()
    for row in document["scaling"]:
        print(
            f"{row['flows']:6d} flows: {row['ns_per_packet']:7.0f} ns a packet, "
            f"{row['bytes_per_flow']:8.0f} B a flow"
        )
    print(
        f"a packet costs {document['growth']['cost']:.2f} times as much, "
        f"log n is {document['growth']['log_flows']:.2f} times as much"
    )
    for row in document.get("batch", []):
        print(f"200 scenarios, jobs={row['jobs']}: {row['wall_s']:.2f} s")


if __name__ == "__main__":
    main()
