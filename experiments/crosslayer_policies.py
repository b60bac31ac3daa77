"""Link adaptation policies side by side: spectral efficiency and packets on time, by Doppler shift.

``python -m experiments.crosslayer_policies [--quick] [--out DIR] [--seed N] [--trace FILE --bler FILE]``

Without files: channels that are simulated here (Clarke, the reports and delays of `SimulationPlan`) and
our own NR table. The Bayesian policy is also run with wrong facts: mean SNR off by 3 dB, Doppler shift off by
a factor of 3.
"""

from __future__ import annotations

import argparse
import csv
from dataclasses import replace
from pathlib import Path

import numpy as np

from qos.crosslayer.adaptation.arrays import Modes
from qos.crosslayer.adaptation.bounds import genie
from qos.crosslayer.adaptation.modetable import ModeTable, load_mode_table
from qos.crosslayer.adaptation.ontime import TrafficCase
from qos.crosslayer.adaptation.registry import decide_all, policy_names
from qos.crosslayer.adaptation.replay import Score, score
from qos.crosslayer.adaptation.simulated import SimulationPlan, simulate_trace
from qos.crosslayer.adaptation.trace import ARRAYS, Trace, load_trace
from qos.crosslayer.nr_block_error import nr_mode_table

CASES = (TrafficCase(0.5, 30), TrafficCase(0.7, 30), TrafficCase(0.7, 100))
EXTRA = ("plain-outer-loop:target=0.2,step=0.02", "plain-outer-loop:target=0.01", "outer-loop:target=0.01")
ERRORS = ("mean +3 dB", "mean -3 dB", "Doppler x3", "Doppler /3")
PLAN = SimulationPlan(users_per_class=2, slots=10000)


def misled(trace: Trace, error: str) -> Trace:
    """Return the trace with wrong facts of the topology."""
    if error.startswith("mean"):
        return replace(trace, mean_snr_db=trace.mean_snr_db + float(error.split()[1]))
    factor = {"x3": 3.0, "/3": 1 / 3}[error.split()[1]]
    return replace(trace, fd_hz=trace.fd_hz * factor)


def measure(trace: Trace, table: ModeTable) -> tuple[dict[str, Score], dict[str, Modes]]:
    """Score every policy, and the Bayesian one with wrong facts; return scores and policies' modes."""
    genie_modes = genie(trace, table)
    decided = {name: decide_all(name, trace, table) for name in (*policy_names(), *EXTRA)}
    wrong = {f"bayesian, {error}": decide_all("bayesian", misled(trace, error), table) for error in ERRORS}
    found = {
        name: score(modes, trace, table, CASES, genie_modes) for name, modes in (decided | wrong).items()
    }
    return found, {name: decided[name] for name in policy_names()}


def on_time_by_doppler(decided: dict[str, Modes], trace: Trace, table: ModeTable) -> dict[str, list[float]]:
    """Return the on-time ratio at load 0.7 and deadline 30 of each policy at each Doppler shift."""
    out: dict[str, list[float]] = {name: [] for name in decided}
    for fd in np.unique(trace.fd_hz):
        keep = trace.fd_hz == fd
        wide = {name: np.ascontiguousarray(getattr(trace, name)[:, keep]) for name in ARRAYS}
        part = replace(trace, fd_hz=trace.fd_hz[keep], mean_snr_db=trace.mean_snr_db[keep], **wide)
        genie_modes = genie(part, table)
        for name, modes in decided.items():
            one = score(np.ascontiguousarray(modes[:, keep]), part, table, CASES[1:2], genie_modes)
            out[name].append(one.on_time[CASES[1].key])
    return out


def write(found: dict[str, Score], path: Path) -> None:
    """Write the scores as CSV."""
    first = next(iter(found.values()))
    dopplers = list(first.spectral_efficiency_by_doppler)
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        heads = [f"se_{fd}_hz" for fd in dopplers] + [f"on_time_{case}" for case in first.on_time]
        writer.writerow(["policy", "bler", "spectral_efficiency", *heads])
        for name, one in found.items():
            numbers = [one.bler, one.spectral_efficiency, *one.spectral_efficiency_by_doppler.values()]
            writer.writerow([name, *(f"{number:.5f}" for number in (*numbers, *one.on_time.values()))])


def draw(found: dict[str, Score], on_time: dict[str, list[float]], path: Path) -> None:
    """Draw spectral efficiency and the on-time ratio over the Doppler shift."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(13, 4.6))
    for name in on_time:
        by_doppler = found[name].spectral_efficiency_by_doppler
        dopplers = [float(fd) for fd in by_doppler]
        style = "--" if name in ("genie", "clairvoyant") else "-"
        left.plot(dopplers, list(by_doppler.values()), style, marker="o", markersize=4, label=name)
        right.plot(dopplers, on_time[name], style, marker="o", markersize=4, label=name)
    for axis in (left, right):
        axis.set_xscale("log")
        axis.set_xlabel("maximum Doppler shift in Hz")
        axis.grid(alpha=0.3)
    left.set_ylabel("bits that arrived per resource element")
    right.set_ylabel("packets on time, load 0.7, deadline 30 slots")
    figure.tight_layout(rect=(0, 0, 0.87, 1))
    figure.legend(*left.get_legend_handles_labels(), loc="center right", fontsize=9)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def main() -> None:
    """Measure, write CSV and plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a fifth of the users and slots")
    parser.add_argument("--out", type=Path, default=Path("results/crosslayer_policies"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--trace", help="recorded channel instead of simulated ones")
    parser.add_argument("--bler", help="modes of the recorded channel")
    flags = parser.parse_args()
    flags.out.mkdir(parents=True, exist_ok=True)
    plan = replace(PLAN, users_per_class=1, slots=3000) if flags.quick else PLAN
    trace = load_trace(flags.trace) if flags.trace else simulate_trace(plan, flags.seed)
    table = load_mode_table(flags.bler) if flags.bler else nr_mode_table()
    found, decided = measure(trace, table)
    best = found["genie"].spectral_efficiency
    for name, one in found.items():
        share = one.spectral_efficiency / best
        on_time = "  ".join(f"{case} {ratio:.3f}" for case, ratio in one.on_time.items())
        print(f"{name:40} {one.spectral_efficiency:.3f} bit/s/Hz, {share:.3f} of genie; on time {on_time}")
    write(found, flags.out / "policies.csv")
    draw(found, on_time_by_doppler(decided, trace, table), flags.out / "policies.png")
    print(f"wrote {flags.out}/policies.csv and policies.png")


if __name__ == "__main__":
    main()
