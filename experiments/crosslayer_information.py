"""What a fast channel's reports and acknowledgements are worth, and what better ones would give.

``python -m experiments.crosslayer_information [--quick] [--out DIR] [--seed N] [--bler FILE]``

Simulated Clarke channels at 0.1 of a Doppler cycle a slot (100 Hz, slots of 1 ms), five mean SNRs. The
Bayesian policy runs with the reports of the reference trace, with more particles, and with reports that no
link of that kind has: one every slot, 4 slots old, down to 0.3 dB of noise. Information that is added cannot
hurt a policy that uses it well, so what it reaches there bounds what any policy told less can reach, up to
the filter's own error.
"""

from __future__ import annotations

import argparse
import csv
from dataclasses import replace
from pathlib import Path

import numpy as np

from qos.crosslayer.adaptation.arrays import Modes
from qos.crosslayer.adaptation.modetable import ModeTable, load_mode_table
from qos.crosslayer.adaptation.registry import decide_all
from qos.crosslayer.adaptation.simulated import SimulationPlan, simulate_trace
from qos.crosslayer.adaptation.trace import Trace
from qos.crosslayer.nr_block_error import nr_mode_table

PLAN = SimulationPlan(doppler_hz=(100.0,), users_per_class=4, slots=2000)
OFTEN = replace(PLAN, cqi_period_slots=1, cqi_delay_slots=4)
FINE = "bayesian:particles=8192"
EVERY = "a report every slot, 4 slots old"
CASES = (
    ("reports as in the trace, 2048 particles", PLAN, "bayesian"),
    ("the same, 8192 particles", PLAN, FINE),
    (f"{EVERY}, 2 dB", replace(OFTEN, cqi_noise_std_db=2.0), FINE),
    (f"{EVERY}, 1 dB", OFTEN, FINE),
    (f"{EVERY}, 0.3 dB", replace(OFTEN, cqi_noise_std_db=0.3), FINE),
)
WARM_UP_SLOTS = 200


def share_of_genie(modes: Modes, trace: Trace, table: ModeTable) -> float:
    """Return the expected bits of the modes over those of the genie: no error draw, so less noise."""
    at = table.grid_index(trace.snr_db)
    bits = table.expected_bits()
    got = np.where(modes >= 0, bits[np.maximum(modes, 0), at], 0.0)
    return float(got[WARM_UP_SLOTS:].mean() / bits.max(axis=0)[at][WARM_UP_SLOTS:].mean())


def statistics_alone(trace: Trace, table: ModeTable) -> Modes:
    """Return for each user the mode that carries most over all its slots: what its distribution gives."""
    at = table.grid_index(trace.snr_db)
    bits = table.expected_bits()
    modes = np.empty(trace.snr_db.shape, dtype=np.int8)
    for mean in np.unique(trace.mean_snr_db):
        users = trace.mean_snr_db == mean
        modes[:, users] = np.argmax([bits[mode][at[:, users]].mean() for mode in range(table.modes)])
    return modes


def main() -> None:
    """Write information.csv and information.png."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two users a class, 1000 slots")
    parser.add_argument("--out", type=Path, default=Path("results/crosslayer_information"))
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--bler", help="modes; our NR modes if left out")
    flags = parser.parse_args()
    flags.out.mkdir(parents=True, exist_ok=True)
    table = load_mode_table(flags.bler) if flags.bler else nr_mode_table()
    rows: list[tuple[str, float]] = []
    for name, plan, spelling in CASES:
        size = {"users_per_class": 2, "slots": 1000} if flags.quick else {}
        trace = simulate_trace(replace(plan, **size), flags.seed)
        if not rows:
            rows.append(("mean SNR alone", share_of_genie(statistics_alone(trace, table), trace, table)))
            print(f"{rows[-1][0]}: {rows[-1][1]:.4f} of the genie")
        rows.append((name, share_of_genie(decide_all(spelling, trace, table), trace, table)))
        print(f"{name}: {rows[-1][1]:.4f} of the genie", flush=True)
    with (flags.out / "information.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("what is told", "share_of_genie"))
        writer.writerows(rows)
    draw(rows, flags.out / "information.png")


def draw(rows: list[tuple[str, float]], path: Path) -> None:
    """Draw the shares as bars."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 3))
    axes.barh([name for name, _ in rows], [share for _, share in rows])
    axes.set_xlim(0.7, 0.8)
    axes.invert_yaxis()
    axes.set_xlabel("spectral efficiency over the genie's, 100 Hz")
    axes.grid(alpha=0.3, axis="x")
    figure.savefig(path, dpi=120, bbox_inches="tight")
    plt.close(figure)


if __name__ == "__main__":
    main()
