"""What multi-user rules lose against packet deadlines, at every Doppler shift and load.

``python -m experiments.crosslayer_multiuser [--quick] [--out DIR] [--seed N]``

Scenario, in full: 20 users, four each of mean SNR 5, 10, 15, 20 and 25 dB, Rayleigh fading of one
Doppler shift (Clarke), slots of 1 ms, one user a slot, rates without error (the best expected bits of our
NR table, 1680 resource elements). Each user's packets of 4000 bits come as a Poisson process with the same
rate for all users; load 1 is ``E[max_i r_i]`` bits a slot over all. Deadline 40 slots; what is late is
dropped and what it got is lost. The served mean has a time constant of 100 slots; delta is 0.01.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import Any

import numpy as np

from qos.crosslayer.adaptation.arrays import Float
from qos.crosslayer.adaptation.simulated import SimulationPlan, simulate_trace
from qos.crosslayer.multiuser.registry import RULES
from qos.crosslayer.multiuser.simulate import Traffic, packet_loss
from qos.crosslayer.nr_block_error import nr_mode_table

DOPPLERS_HZ = (1.0, 5.0, 10.0, 30.0, 100.0)
LOADS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1)
PEER, OURS = "mlwdf", "mlwdf-sqrt"


def rates_of(doppler_hz: float, slots: int, seed: int) -> Float:
    """Return the bits a slot carries for each of the 20 users, shape ``(slots, 20)``."""
    plan = SimulationPlan(doppler_hz=(doppler_hz,), users_per_class=4, slots=slots)
    table = nr_mode_table()
    best = table.expected_bits().max(axis=0)
    return np.asarray(best[table.grid_index(simulate_trace(plan, seed).snr_db)])


def losses(slots: int, seed: int) -> dict[tuple[float, str], Float]:
    """Return the loss of each rule at each Doppler shift, by load."""
    traffic = Traffic(LOADS)
    found = {}
    for doppler in DOPPLERS_HZ:
        rates = rates_of(doppler, slots, seed)
        for name, rule in RULES.items():
            found[doppler, name] = packet_loss(rates, rule, traffic, seed)
    return found


def draw(found: dict[tuple[float, str], Float], path: Path) -> None:
    """Draw the loss over the load, a panel a Doppler shift."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(DOPPLERS_HZ), figsize=(17, 4.2), sharey=True)
    for axis, doppler in zip(axes, DOPPLERS_HZ, strict=True):
        for name in RULES:
            wide = 2.5 if name == OURS else 1.2
            axis.plot(LOADS, found[doppler, name], marker="o", markersize=3, linewidth=wide, label=name)
        axis.set_title(f"{doppler:g} Hz")
        axis.set_xlabel("load (1 = max-rate capacity)")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("share of packets late")
    figure.tight_layout(rect=(0, 0, 0.92, 1))
    figure.legend(*axes[0].get_legend_handles_labels(), loc="center right", fontsize=9)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def main() -> None:
    """Measure, write CSV and plot, and say where the rule stands against EWMA M-LWDF."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2000 slots instead of 10000")
    parser.add_argument("--out", type=Path, default=Path("results/crosslayer_multiuser"))
    parser.add_argument("--seed", type=int, default=1)
    flags = parser.parse_args()
    flags.out.mkdir(parents=True, exist_ok=True)
    found = losses(2000 if flags.quick else 10000, flags.seed)
    with open(flags.out / "loss.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["doppler_hz", "rule", "load", "loss"])
        rows: list[list[Any]] = [
            [doppler, name, load, f"{loss:.6f}"]
            for (doppler, name), by_load in found.items()
            for load, loss in zip(LOADS, by_load, strict=True)
        ]
        writer.writerows(rows)
    draw(found, flags.out / "loss.png")
    print(f"loss of {OURS} over that of {PEER} (loss of {PEER}), by load")
    print("    Hz " + "".join(f"{load:>16g}" for load in LOADS))
    for doppler in DOPPLERS_HZ:
        pairs = zip(found[doppler, OURS], found[doppler, PEER], strict=True)
        print(f"{doppler:6g} " + "".join(f"{a / max(b, 1e-12):8.2f} ({b:5.3f})" for a, b in pairs))
    print(f"wrote {flags.out}/loss.csv and loss.png")


if __name__ == "__main__":
    main()
