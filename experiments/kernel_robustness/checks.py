"""The checks; each makes its own trouble on a site and says what came of it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from experiments.kernel_robustness import load
from experiments.kernel_robustness.site import MEGABYTE, Memory, Site, how_it_went

RATE_BPS = 20_000_000
STEADY = (50, 1_000, 208)
"""Flows, packets a second of all, payload bytes: 2 Mbit/s."""
MANY_FLOWS = 4_096
MANY_QUEUES = 8_192
FLOWS_PER_S = 1_000
HELD_SHARE = 0.95
FLAT_BYTES = 2 * MEGABYTE
CARRIED_S = 1.5
RATES_BPS = (20_000_000, 5_000_000, 40_000_000, 10_000_000)


@dataclass(frozen=True, slots=True)
class Lengths:
    """How long each part takes, in seconds."""

    settle_s: float = 2.0
    arrivals_s: float = 60.0
    many_s: float = 20.0
    changes: int = 20
    change_every_s: float = 1.0
    soak_s: float = 60.0
    is_loop_timed: bool = True
    """False where the clock stands still while the loop computes: its time cannot be judged there."""


QUICK = Lengths(settle_s=0.6, arrivals_s=2.5, many_s=3.0, changes=3, change_every_s=0.7, soak_s=6.0)


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of one check.

    Attributes
    ----------
    name
        The check.
    faults
        What did not hold, in words; empty if all did.
    figures
        What was measured.
    series
        Samples over time, for the plot.
    """

    name: str
    faults: tuple[str, ...]
    figures: dict[str, Any]
    series: dict[str, list[float]] = field(default_factory=dict)


def _faults(**held: bool) -> tuple[str, ...]:
    return tuple(name.replace("_", " ") for name, is_so in held.items() if not is_so)


def kill_9(site: Site, lengths: Lengths) -> Finding:
    """Kill the controller under load: the tree goes on, the next controller takes over, nothing is lost."""
    with (
        site.bulk(["cubic", "reno"]),
        site.controller(rate_bps=RATE_BPS) as first,
        site.numbered(load.send_steadily, *STEADY) as packets,
    ):
        time.sleep(lengths.settle_s)
        before = site.counters()
        os.kill(first.pid, signal.SIGKILL)
        alone_bps = site.carried_bps(lengths.settle_s)
        with site.controller() as second:
            after_bps = site.carried_bps(lengths.settle_s)
            kept = bool((site.counters().sent_bytes >= before.sent_bytes).all())
            sent, came = packets.finish()
            loop = how_it_went(second)
    missing = load.lost(sent, came)
    return Finding(
        "kill -9",
        _faults(
            rate_held_alone=alone_bps >= HELD_SHARE * RATE_BPS,
            rate_held_after=after_bps >= HELD_SHARE * RATE_BPS,
            counters_kept=kept,
            nothing_lost=missing == 0,
        ),
        {"alone_bps": alone_bps, "after_bps": after_bps, "sent": sent, "lost": missing} | loop,
    )


def down_and_up(site: Site, lengths: Lengths) -> Finding:
    """Take the interface down: the controller ends with one line; up again and attached, all goes on."""
    with site.controller(rate_bps=RATE_BPS) as first, site.numbered(load.send_steadily, *STEADY) as packets:
        time.sleep(lengths.settle_s)
        site.link(up=False)
        ended = str(first.answer(10.0)["ended"])
        site.link(up=True)
        with site.controller() as second:
            started = site.counters()
            time.sleep(lengths.settle_s)
            carried = int((site.counters().sent_packets - started.sent_packets).sum())
            sent, came = packets.finish()
            loop = how_it_went(second)
    missing = load.lost(sent, came, came[-2])
    return Finding(
        "interface down and up",
        _faults(
            ended_with_a_line="went down" in ended,
            goes_on=carried >= HELD_SHARE * STEADY[1] * lengths.settle_s,
            nothing_lost_after=missing == 0,
            gap_is_one=len(came) == 4,
        ),
        {"ended": ended, "sent": sent, "lost": missing, "lost_while_down": load.lost(sent, came)} | loop,
    )


def arrivals(site: Site, lengths: Lengths) -> Finding:
    """1,000 new flows a second beside a bulk flow."""
    words = (FLOWS_PER_S, 2, 100)
    with site.bulk(["cubic"]), site.controller(rate_bps=RATE_BPS, flows=MANY_QUEUES) as controller:
        memory = Memory(controller.pid)
        with site.numbered(load.send_arrivals, *words) as packets:
            time.sleep(lengths.arrivals_s)
            carried_bps = site.carried_bps(CARRIED_S)
            sent, came = packets.finish()
        memory.stop()
        loop = how_it_went(controller)
    missing = load.lost(sent, came)
    return Finding(
        "1,000 new flows a second",
        _faults(
            nothing_lost=missing == 0,
            link_is_full=carried_bps >= HELD_SHARE * RATE_BPS,
            loop_in_budget=_in_budget(loop, site, lengths),
        ),
        {"flows": sent // 2, "sent": sent, "lost": missing, "carried_bps": carried_bps} | loop,
        {"arrivals": [float(value) for value in memory.resident_bytes]},
    )


def many_flows(site: Site, lengths: Lengths) -> Finding:
    """4,096 flows at the same time beside a bulk flow."""
    words = (MANY_FLOWS, MANY_FLOWS, 100)
    with site.bulk(["cubic"]), site.controller(rate_bps=RATE_BPS, flows=MANY_QUEUES) as controller:
        with site.numbered(load.send_steadily, *words) as packets:
            time.sleep(lengths.many_s)
            carried_bps = site.carried_bps(CARRIED_S)
            used = int((site.counters().sent_packets > 0).sum())
            sent, came = packets.finish()
        loop = how_it_went(controller)
    missing = load.lost(sent, came)
    return Finding(
        "4,096 flows at a time",
        _faults(
            nothing_lost=missing == 0,
            a_queue_each=used >= MANY_FLOWS,
            link_is_full=carried_bps >= HELD_SHARE * RATE_BPS,
            loop_in_budget=_in_budget(loop, site, lengths),
        ),
        {"queues_used": used, "sent": sent, "lost": missing, "carried_bps": carried_bps} | loop,
    )


def changing_rate(site: Site, lengths: Lengths) -> Finding:
    """Another rate every second: carried at once, and nothing lost."""
    shares, answers = [], []
    with site.bulk(["cubic"] * 4), site.controller(rate_bps=RATE_BPS, flows=1024) as controller:
        with site.numbered(load.send_steadily, *STEADY) as packets:
            time.sleep(lengths.settle_s)
            for number in range(lengths.changes):
                rate_bps = RATES_BPS[number % len(RATES_BPS)]
                answers.append(bool(site.reload(rate_bps=rate_bps)["ok"]))
                time.sleep(lengths.change_every_s * 0.3)
                shares.append(site.carried_bps(lengths.change_every_s * 0.7) / rate_bps)
            sent, came = packets.finish()
        loop = how_it_went(controller)
    missing = load.lost(sent, came)
    return Finding(
        "rate changed every second",
        _faults(
            every_change_taken=all(answers),
            never_above_the_rate=max(shares) <= 1.1,
            median_share_held=float(np.median(shares)) >= 0.9,
            nothing_lost=missing == 0,
        ),
        {"share_least": min(shares), "share_most": max(shares), "sent": sent, "lost": missing} | loop,
        {"share": shares},
    )


def soak(site: Site, lengths: Lengths) -> Finding:
    """Bulk flows and 200 new flows a second for long: memory and open files stay as they are."""
    with site.bulk(["cubic", "reno", "cubic"]), site.controller(rate_bps=RATE_BPS) as controller:
        with site.numbered(load.send_arrivals, 200, 2, 100) as packets:
            memory = Memory(controller.pid)
            time.sleep(lengths.soak_s)
            memory.stop()
            sent, came = packets.finish()
        loop = how_it_went(controller)
    resident = np.array(memory.resident_bytes[len(memory.resident_bytes) // 5 :], np.float64)
    part = max(1, len(resident) // 4)
    growth_bytes = float(np.median(resident[-part:]) - np.median(resident[:part]))
    missing = load.lost(sent, came)
    return Finding(
        "soak",
        _faults(
            memory_flat=growth_bytes <= FLAT_BYTES,
            files_flat=memory.files[-1] <= memory.files[0],
            nothing_lost=missing == 0,
        ),
        {"seconds": lengths.soak_s, "grown_bytes": growth_bytes, "resident_bytes": float(resident[-1])}
        | {"files": memory.files[-1], "sent": sent, "lost": missing}
        | loop,
        {"soak": [float(value) for value in memory.resident_bytes]},
    )


def _in_budget(loop: dict[str, Any], site: Site, lengths: Lengths) -> bool:
    """Whether 99 of 100 polls took less CPU time than there is between two."""
    return not lengths.is_loop_timed or float(loop["loop_cpu_p99_s"]) <= site.settings.interval_s


CHECKS: dict[str, Callable[[Site, Lengths], Finding]] = {
    "kill-9": kill_9,
    "down-up": down_and_up,
    "arrivals": arrivals,
    "many-flows": many_flows,
    "changing-rate": changing_rate,
    "soak": soak,
}
