"""Spectral efficiency of AMC with truncated ARQ: three threshold designs, closed form against Monte Carlo.

Run: ``python -m experiments.crosslayer_spectral_efficiency [--quick] [--out DIR] [--seed N]``
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

from qos.crosslayer.amc_arq import simulate
from qos.crosslayer.channel.fading import NakagamiFading
from qos.crosslayer.modes import HIPERLAN2
from qos.crosslayer.threshold_design import DESIGNS, design

LOSS = 0.01


def main() -> None:
    """Write curves.csv and curves.png, print the largest deviation of the closed form."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer points and draws")
    parser.add_argument("--out", type=Path, default=Path("results/crosslayer_spectral_efficiency"))
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for m in (1.0, 2.0):
        for snr_db in range(0, 31, 10 if options.quick else 5):
            fading = NakagamiFading(snr_db, m)
            for limit in (0, 1, 2, 3):
                for name in DESIGNS:
                    found = design(name, HIPERLAN2, fading, LOSS, limit)
                    slots = 100_000 if options.quick else 400_000
                    check = simulate(HIPERLAN2, fading, found, limit, slots=slots, seed=options.seed)
                    error = check.spectral_efficiency / found.spectral_efficiency - 1
                    rows.append(
                        (m, snr_db, limit, name, found.spectral_efficiency, found.loss, check.loss, error)
                    )
    with (options.out / "curves.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        heading = ("m", "snr_db", "retransmissions", "design", "spectral_efficiency")
        writer.writerow((*heading, "loss", "simulated_loss", "closed_form_error"))
        writer.writerows(rows)
    _plot(rows, options.out / "curves.png")
    print(f"closed form against Monte Carlo: largest deviation {max(abs(row[-1]) for row in rows):.4%}")
    gains = [
        b[4] / a[4] - 1
        for a, b in zip(rows[::3], rows[2::3], strict=True)
        if a[0] == 1.0 and a[2] == 1 and a[1] <= 15
    ]
    print("lagrangian over paper, one retransmission, up to 15 dB:", ", ".join(f"{g:+.1%}" for g in gains))


def _plot(rows: list[tuple[float, int, int, str, float, float, float, float]], path: Path) -> None:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.5))
    for limit in (0, 1, 2):
        for name, style in (("paper", "--"), ("lagrangian", "-")):
            points = [
                (row[1], row[4]) for row in rows if row[0] == 1.0 and row[2] == limit and row[3] == name
            ]
            axes.plot(*zip(*points, strict=True), style, color=f"C{limit}", label=f"{name}, {limit} retries")
    axes.set_xlabel("mean SNR (dB), Rayleigh")
    axes.set_ylabel("spectral efficiency (bit/symbol)")
    axes.set_title(f"Packet loss at most {LOSS:g}")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120, bbox_inches="tight")
    plt.close(figure)


if __name__ == "__main__":
    main()
