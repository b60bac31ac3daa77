"""HARQ in the mode choice: what combining failed attempts gives over a mode choice that knows the SNR.

Run: ``python -m experiments.crosslayer_harq [--quick] [--out DIR] [--seed N]``

Rayleigh fading, HIPERLAN/2 modes and our NR modes, loss at most 1 %, at most 3 retransmissions, a channel
that stays, one that moves by 0.02 of a Doppler cycle between attempts, and independent attempts. Each design
is judged by blocks sent one by one.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

from qos.crosslayer.channel.fading import NakagamiFading
from qos.crosslayer.harq import (
    COMBININGS,
    ErrorCurves,
    HarqLink,
    best_retransmissions,
    block_curves,
    simulate_harq,
)
from qos.crosslayer.modes import HIPERLAN2
from qos.crosslayer.nr_block_error import nr_mode_table
from qos.errors import InfeasibleError

LOSS, MOST = 0.01, 3
DOPPLERS = (0.0, 0.02, 0.5)
NAMES = {0.0: "stays", 0.02: "moves", 0.5: "independent"}
Row = tuple[str, float, float, str, int, float, float, float, float]


def measure(curves: dict[str, ErrorCurves], snrs_db: tuple[float, ...], blocks: int, seed: int) -> list[Row]:
    """Design every case and judge it."""
    rows: list[Row] = []
    for table, modes in curves.items():
        for doppler in DOPPLERS:
            for snr_db in snrs_db:
                for kind in ("none", *COMBININGS):
                    link = HarqLink(
                        modes, NakagamiFading(snr_db), "type-1" if kind == "none" else kind, doppler, MOST
                    )
                    allowed = (0,) if kind == "none" else range(MOST + 1)
                    try:
                        limit, found = best_retransmissions(link, LOSS, allowed)
                    except InfeasibleError as refused:
                        print(f"{table}, {snr_db:g} dB, {kind}: {refused}")
                        continue
                    carried, loss = simulate_harq(link, found, limit, blocks=blocks, seed=seed)
                    rows.append(
                        (
                            table, doppler, snr_db, kind, limit, found.spectral_efficiency, found.loss,
                            carried, loss,
                        )
                    )  # fmt: skip
    return rows


def draw(rows: list[Row], path: Path) -> None:
    """Draw the gain over no retransmission, a panel a table and channel."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    tables = list(dict.fromkeys(row[0] for row in rows))
    figure, panels = plt.subplots(len(tables), len(DOPPLERS), figsize=(13, 7), sharex=True, squeeze=False)
    for line, table in zip(panels, tables, strict=True):
        for axis, doppler in zip(line, DOPPLERS, strict=True):
            here = [row for row in rows if row[:2] == (table, doppler)]
            plain = {row[2]: row[5] for row in here if row[3] == "none"}
            for kind in COMBININGS:
                points = [
                    (r[2], 100 * (r[5] / plain[r[2]] - 1)) for r in here if r[3] == kind and r[2] in plain
                ]
                axis.plot(*zip(*points, strict=True), "-o", markersize=3, label=kind)
            axis.set_title(f"{table}, channel {NAMES[doppler]}")
            axis.grid(alpha=0.3)
    for axis in panels[-1]:
        axis.set_xlabel("mean SNR (dB), Rayleigh")
    for line in panels:
        line[0].set_ylabel("more bits than without (%)")
    panels[0][0].legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main() -> None:
    """Write harq.csv and harq.png, print the gains and how far the judge is off."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer SNRs and blocks")
    parser.add_argument("--out", type=Path, default=Path("results/crosslayer_harq"))
    parser.add_argument("--seed", type=int, default=1)
    flags = parser.parse_args()
    flags.out.mkdir(parents=True, exist_ok=True)
    nr = nr_mode_table()
    curves: dict[str, ErrorCurves] = {
        "hiperlan2": HIPERLAN2,
        "5g-nr": block_curves(nr.tb_size_bits, nr.num_re, nr.usable, nr.error_rate),
    }
    snrs = (5.0, 15.0) if flags.quick else (0.0, 5.0, 10.0, 15.0, 20.0, 25.0)
    rows = measure(curves, snrs, 20_000 if flags.quick else 100_000, flags.seed)
    heads = ("modes", "doppler_attempt", "snr_db", "harq", "retransmissions", "spectral_efficiency", "loss")
    with (flags.out / "harq.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow((*heads, "simulated_spectral_efficiency", "simulated_loss"))
        writer.writerows(rows)
    for row in rows:
        print(
            f"{row[0]}, channel {NAMES[row[1]]}, {row[2]:g} dB, {row[3]}: {row[4]} retransmissions, "
            f"{row[5]:.3f} bit/symbol (judge {row[7]:.3f}), loss {row[6]:.1e} (judge {row[8]:.1e})"
        )
    off = max(abs(row[7] / row[5] - 1) for row in rows)
    print(f"largest deviation of the judge: {off:.2%}; largest judged loss {max(row[8] for row in rows):.4f}")
    draw(rows, flags.out / "harq.png")


if __name__ == "__main__":
    main()
