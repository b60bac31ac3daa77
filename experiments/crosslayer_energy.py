"""Energy of an on-time bit: mode and power by deadline against a fixed design with 1 % packet errors.

Run: ``python -m experiments.crosslayer_energy [--quick] [--out DIR] [--seed N]``

Rayleigh, mean 15 dB at reference power, Doppler 0.01 a slot, packets every 10 slots with a deadline of 30,
powers from -15 to +6 dB over the reference in steps of 1 dB. The price of lateness is set on one draw so that
the on-time ratio is the fixed design's, and judged on another.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

from qos.crosslayer.channel.fading import NakagamiFading
from qos.crosslayer.deadline_power import (
    DeadlineTraffic,
    draw_trial,
    plan_for_on_time,
    run_fixed,
    run_planned,
)
from qos.crosslayer.energy import PowerModel
from qos.crosslayer.modes import HIPERLAN2


def main() -> None:
    """Write energy.csv and energy.png, print the savings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one load, shorter draws")
    parser.add_argument("--out", type=Path, default=Path("results/crosslayer_energy"))
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    fading, slots = NakagamiFading(15), 2000 if options.quick else 5000
    tuning, judged = (
        draw_trial(fading, 0.01, slots=slots, users=100, seed=seed)
        for seed in (options.seed, options.seed + 1)
    )
    rows = []
    for units in (28,) if options.quick else (19, 28, 47):
        traffic = DeadlineTraffic(units)
        for circuit in (0.1, 1.0, 10.0):
            power = PowerModel(circuit)
            wanted = run_fixed(HIPERLAN2, traffic, power, tuning).on_time
            policy = plan_for_on_time(HIPERLAN2, fading, 0.01, traffic, power, wanted, tuning)
            fixed = run_fixed(HIPERLAN2, traffic, power, judged)
            found = run_planned(HIPERLAN2, traffic, judged, policy)
            saved = 1 - found.energy_per_unit / fixed.energy_per_unit
            rows.append((units / 10, circuit, fixed.energy_per_unit, found.energy_per_unit, saved))
            print(
                f"{units / 40:.2f} bit/symbol offered, circuit {circuit:g}: saved {saved:.1%}, "
                f"on time {found.on_time:.4f} (fixed {fixed.on_time:.4f})"
            )
    with (options.out / "energy.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("units_a_slot", "circuit_power", "fixed_energy", "planned_energy", "saved"))
        writer.writerows(rows)
    _plot(rows, options.out / "energy.png")


def _plot(rows: list[tuple[float, float, float, float, float]], path: Path) -> None:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4))
    for load in sorted({row[0] for row in rows}):
        points = [(row[1], 100 * row[4]) for row in rows if row[0] == load]
        axes.semilogx(*zip(*points, strict=True), "-o", label=f"{load / 4:.2f} bit/symbol offered")
    axes.axhline(30, linestyle=":", color="grey")
    axes.set_xlabel("circuit power over radiated power")
    axes.set_ylabel("energy saved an on-time bit (%)")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120, bbox_inches="tight")
    plt.close(figure)


if __name__ == "__main__":
    main()
