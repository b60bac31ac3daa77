"""How long the learned policy takes: CPU time of one poll, by number of active flows.

`python -m experiments.bench_lfq [--json] [--flows N ...]`

A poll is what the control loop asks of the policy: counters in, features, network, limits out, without the
kernel's part. The goal is at most 2 ms for 1024 active flows on one core. As a ratio that does not depend on
the machine, the poll is also given in products of two 256 x 256 matrices of doubles on the same core.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

import numpy as np

from experiments.entry import run as run_command
from schedulers.packet.limits import FlowCounters, QueueContext, make_policy

RATE_BPS = 1_000_000_000
FRAME_BYTES = 1514
POLL_S = 0.02
WARM_UP, POLLS = 20, 200


def counters(rng: np.random.Generator, count: int, limit: np.ndarray, *, new: bool) -> FlowCounters:
    """Draw what a poll of `count` busy flows counts."""
    packets = rng.integers(0, 40, count)
    waiting = rng.integers(0, 30, count)
    return FlowCounters(
        slot=np.arange(count),
        is_new=np.full(count, new),
        sent_bytes=packets * FRAME_BYTES,
        sent_packets=packets,
        dropped_packets=rng.integers(0, 2, count),
        backlog_bytes=waiting * FRAME_BYTES,
        backlog_packets=waiting,
        limit_bytes=limit,
        quiet_s=np.zeros(count),
    )


def _median_s(work: Callable[[int], object], times: int) -> float:
    taken = []
    for number in range(times):
        begun = time.process_time()
        work(number)
        taken.append(time.process_time() - begun)
    return float(np.median(taken))


def poll_s(count: int) -> float:
    """Measure the median CPU time of a poll with so many active flows, s."""
    context = QueueContext(max(count, 2), RATE_BPS, FRAME_BYTES, 60_000, 2 * FRAME_BYTES, 64 << 20)
    policy = make_policy("lfq", context)
    rng = np.random.default_rng(1)
    limit = np.full(count, context.initial_limit_bytes)
    drawn = [counters(rng, count, limit, new=number == 0) for number in range(WARM_UP)]
    for part in drawn:
        policy.limits(part, POLL_S)
    return _median_s(lambda number: policy.limits(drawn[1 + number % (WARM_UP - 1)], POLL_S), POLLS)


def product_s() -> float:
    """Measure the median CPU time of the matrix product that polls are compared with, s."""
    matrix = np.random.default_rng(1).standard_normal((256, 256))
    return _median_s(lambda _number: matrix @ matrix, POLLS)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--flows", type=int, nargs="+", default=[1, 16, 102, 1024])
    arguments = parser.parse_args()
    product = product_s()
    rows = {count: poll_s(count) for count in arguments.flows}
    if arguments.json:
        polls = [{"flows": n, "poll_s": s, "products": s / product} for n, s in rows.items()]
        print(json.dumps({"schema": 1, "product_s": product, "polls": polls}))
        return
    print(f"{'active flows':>12}{'CPU ms a poll':>15}{'products':>10}")
    for count, seconds in rows.items():
        print(f"{count:12}{1e3 * seconds:15.3f}{seconds / product:10.1f}")


if __name__ == "__main__":
    run_command(main)
