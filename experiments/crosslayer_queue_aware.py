"""Overflow of a buffer over Clarke fading: the chains and the replay against simulation.

Run: ``python -m experiments.crosslayer_queue_aware [--quick] [--out DIR] [--seed N]``
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

from qos.crosslayer.channel.fading import NakagamiFading
from qos.crosslayer.queueing.buffered_link import BufferedLink
from qos.crosslayer.queueing.clarke_replay import simulate_queue
from qos.crosslayer.queueing.target import MODELS, predict
from qos.errors import ValueRefusedError

CASES = ((15, 0.03), (10, 0.1), (5, 0.1))


def main() -> None:
    """Write overflow.csv and overflow.png, print a table of ratios to the simulation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer Dopplers and draws")
    parser.add_argument("--out", type=Path, default=Path("results/crosslayer_queue_aware"))
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    dopplers = (0.005, 0.02, 0.1) if options.quick else (0.005, 0.01, 0.02, 0.05, 0.1)
    rows: list[tuple[int, float, float, str, float | None, float]] = []
    for snr_db, target in CASES:
        for doppler in dopplers:
            link = BufferedLink(NakagamiFading(snr_db), doppler)
            users = 100 if options.quick else 200
            judged = simulate_queue(link, target, users=users, seed=options.seed)
            error = judged.overflow_error
            rows.append((snr_db, doppler, target, judged.model, judged.overflow, error))
            print(
                f"{snr_db} dB, fdT {doppler}, target {target}: simulated {judged.overflow:.5f} +- {error:.5f}"
            )
            for model in MODELS:
                try:
                    found = predict(link, target, model)
                except ValueRefusedError as refused:
                    print(f"  {model:15s} refused: {refused}")
                    rows.append((snr_db, doppler, target, model, None, 0.0))
                    continue
                ratio = f"{found.overflow / judged.overflow:.2f}" if judged.overflow else "-"
                print(f"  {model:15s} {found.overflow:.5f}, ratio {ratio}")
                rows.append((snr_db, doppler, target, model, found.overflow, found.overflow_error))
    with (options.out / "overflow.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("snr_db", "doppler_slot", "target", "model", "overflow", "standard_error"))
        writer.writerows(rows)
    _plot(rows, options.out / "overflow.png")


def _plot(rows: list[tuple[int, float, float, str, float | None, float]], path: Path) -> None:
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, len(CASES), figsize=(12, 4), sharey=True)
    for axes, (snr_db, target) in zip(panels, CASES, strict=True):
        for model in ("clarke-simulation", *MODELS):
            points = [(row[1], row[4]) for row in rows if row[0] == snr_db and row[3] == model and row[4]]
            style = "ko" if model == "clarke-simulation" else "-x"
            if points:
                axes.loglog(*zip(*points, strict=True), style, label=model)
        axes.set_title(f"{snr_db} dB, target {target:g}")
        axes.set_xlabel("Doppler per frame")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("share of packets lost to overflow")
    panels[0].legend()
    figure.savefig(path, dpi=120, bbox_inches="tight")
    plt.close(figure)


if __name__ == "__main__":
    main()
