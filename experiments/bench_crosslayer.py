"""Speed of the outer loop with its error draw, and Sionna SYS on the same CPU where it is installed.

``python -m experiments.bench_crosslayer [--quick] [--json]``. The peer is optional: run it in the tox
environment ``bench-sionna``. Figures are user-slots per CPU second, the best of several rounds, one core.
With the peer the decisions of both plain outer loops are compared, slot by slot, on the same channel.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np

from qos.crosslayer.adaptation.arrays import Float
from qos.crosslayer.adaptation.modetable import ModeTable, make_mode_table
from qos.crosslayer.adaptation.outer_loop import OuterLoopRun
from qos.crosslayer.adaptation.outer_loop_kernel import OuterLoopRule
from qos.crosslayer.nr_block_error import nr_mode_table
from qos.crosslayer.nr_tables import schemes, transport_block_bits

NUM_RE = 1680
ACK_DELAY_SLOTS = 4
CELLS = 4_000_000
BLOCK_CELLS = 1 << 18


def channel(slots: int, users: int, seed: int) -> tuple[Any, Any, Any]:
    """Draw reports, SNR and error draws, float32, shape ``(slots, users)``: speed needs no Doppler."""
    random = np.random.default_rng(seed)
    snr = 12 + 10 * np.log10(random.exponential(size=(slots, users)))
    report = snr + random.standard_normal(snr.shape)
    return report.astype(np.float32), snr.astype(np.float32), random.random(snr.shape, dtype=np.float32)


def ours(table: ModeTable, users: int, rounds: int) -> float:
    """Return user-slots per CPU second of our loop, fed in blocks of bounded size."""
    rows = max(ACK_DELAY_SLOTS, BLOCK_CELLS // users)
    report, snr, uniform = channel(rows, users, seed=1)
    run = OuterLoopRun(table, OuterLoopRule(), users, ACK_DELAY_SLOTS)
    run.run(report, snr, uniform)
    blocks = max(1, CELLS // (rows * users))
    best = np.inf
    for _ in range(rounds):
        start = time.process_time()
        for _ in range(blocks):
            run.run(report, snr, uniform)
        best = min(best, time.process_time() - start)
    return blocks * rows * users / best


class SionnaLoop:
    """Sionna's outer loop and physical layer abstraction, one slot at a time as its users do."""

    def __init__(self, users: int) -> None:
        import torch
        from sionna.sys import OuterLoopLinkAdaptation, PHYAbstraction

        torch.set_num_threads(1)
        self.torch = torch
        self.physical = PHYAbstraction(device="cpu")
        self.loop = OuterLoopLinkAdaptation(
            self.physical, num_ut=users, bler_target=0.1, delta_up=1.0, device="cpu"
        )
        self.elements = torch.full((users,), NUM_RE, dtype=torch.int32)

    def error_rates(self, grid_db: Float) -> Float:
        """Return its block error rates on a grid, shape ``(29, G)``; infinite where it has none."""
        torch = self.torch
        linear = torch.tensor(10 ** (grid_db / 10), dtype=torch.float32)
        rows = []
        for mode in range(29):
            modes = torch.full(linear.shape, mode, dtype=torch.int32)
            elements = torch.full(linear.shape, NUM_RE, dtype=torch.int32)
            *_, rate, _ = self.physical(
                modes, sinr_eff=linear, num_allocated_re=elements, mcs_table_index=1, mcs_category=1,
                check_mcs_index_validity=False,
            )  # fmt: skip
            rows.append(rate.numpy())
        return np.array(rows, dtype=np.float64)

    def decide(self, feedback: Any, report: Any) -> Any:
        """Return its modes for a slot."""
        return self.loop(self.elements, feedback, report, mcs_table_index=1, mcs_category=1)

    def step(self, feedback: Any, report: Any, snr: Any) -> Any:
        """Decide, transmit, draw the error: what a slot of a simulation costs."""
        modes = self.decide(feedback, report)
        _, acks, *_ = self.physical(
            modes, sinr_eff=snr, num_allocated_re=self.elements, mcs_table_index=1, mcs_category=1
        )
        return acks


def theirs(users: int, slots: int) -> float:
    """Return user-slots per CPU second of Sionna."""
    peer = SionnaLoop(users)
    torch = peer.torch
    report, snr, _ = channel(slots + 3, users, seed=1)
    reports, snrs = (torch.tensor(10 ** (array / 10)) for array in (report, snr))
    acks = torch.full((users,), -1, dtype=torch.int32)
    for slot in range(3):
        acks = peer.step(acks, reports[slot], snrs[slot])
    start = time.process_time()
    for slot in range(3, slots + 3):
        acks = peer.step(acks, reports[slot], snrs[slot])
    return slots * users / (time.process_time() - start)


def differing_decisions(users: int, slots: int) -> tuple[int, int]:
    """Return on how many of how many decisions the two plain outer loops differ."""
    peer = SionnaLoop(users)
    torch = peer.torch
    low, high, step = peer.physical.snr_db_interp_min_max_delta
    grid = np.arange(low, high, step)
    rates = peer.error_rates(grid)
    sizes = np.array([transport_block_bits(scheme, NUM_RE) for scheme in schemes("64qam")])
    table = make_mode_table(grid, rates, sizes, NUM_RE, "Sionna")
    report, snr, uniform = channel(slots, users, seed=3)
    run = OuterLoopRun(table, OuterLoopRule(), users, ACK_DELAY_SLOTS)
    modes, acks = run.run(report, snr, uniform)
    linear = torch.tensor(10 ** (report.astype(np.float64) / 10), dtype=torch.float32)
    outcome = torch.tensor(acks.astype(np.int32))
    nothing = torch.full((users,), -1, dtype=torch.int32)
    differ = 0
    for slot in range(slots):
        fed = outcome[slot - ACK_DELAY_SLOTS] if slot >= ACK_DELAY_SLOTS else nothing
        differ += int(np.count_nonzero(peer.decide(fed, linear[slot]).numpy() != modes[slot]))
    return differ, slots * users


def measure(quick: bool) -> dict[str, Any]:
    """Measure all and return one document."""
    table = nr_mode_table(num_re=NUM_RE)
    rounds = 2 if quick else 5
    speed = {str(users): {"ours": ours(table, users, rounds)} for users in (1, 64, 1024, 8192, 65536)}
    document: dict[str, Any] = {"schema": 1, "unit": "user-slots per CPU second", "speed": speed}
    try:
        import sionna.sys  # noqa: F401
    except ImportError:
        document["peer"] = "sionna-no-rt is not installed; tox run -e bench-sionna measures it"
        return document
    for users, slots in ((64, 100), (1024, 50)):
        row = speed[str(users)]
        row["sionna"] = theirs(users, slots // 2 if quick else slots)
        row["ratio"] = row["ours"] / row["sionna"]
    differ, of = differing_decisions(1000, 100 if quick else 2000)
    document["decisions"] = {"differ": differ, "of": of}
    return document


def main() -> None:
    """Print the figures as a table, or as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    flags = parser.parse_args()
    document = measure(flags.quick)
    if flags.json:
        print(json.dumps(document, indent=2))
        return
    print(f"{'users':>8} {'ours':>14} {'sionna':>12} {'ratio':>8}   ({document['unit']})")
    for users, row in document["speed"].items():
        peer = f"{row['sionna']:12,.0f} {row['ratio']:8,.0f}" if "sionna" in row else ""
        print(f"{users:>8} {row['ours']:14,.0f} {peer}")
    if "decisions" in document:
        print("decisions that differ: {differ} of {of:,}".format(**document["decisions"]))
    else:
        print(document["peer"])


if __name__ == "__main__":
    main()
