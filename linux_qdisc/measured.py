"""What the queue of an interface did over a while: rate, longest wait, share of packets dropped."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from linux_qdisc import state
from linux_qdisc.device import device_facts
from linux_qdisc.distribution import drain_rate
from linux_qdisc.rtnetlink import NetlinkSocket
from linux_qdisc.settings import QueueSettings
from linux_qdisc.snapshot import snapshot
from linux_qdisc.stats import ClassReader

_COUNTER_MASK = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Measured:
    """One interface over a while.

    Attributes
    ----------
    device
        Its name.
    settings
        What is attached; None: nothing of ours stands there.
    controlled
        Whether a controller holds it.
    rate_bps
        What was sent.
    wait_s
        The longest estimate over queues and looks of how long a new packet would have waited.
    loss
        Share of packets that were dropped, 0 where none came.
    flows
        Queues that sent something.
    """

    device: str
    settings: QueueSettings | None
    controlled: bool
    rate_bps: float = 0.0
    wait_s: float = 0.0
    loss: float = 0.0
    flows: int = 0


def measure(
    devices: Sequence[str], seconds: float, looks: int = 10, sleep: Callable[[float], None] = time.sleep
) -> list[Measured]:
    """Look at the queues of some interfaces for a while, all at the same time.

    Parameters
    ----------
    devices
        Names.
    seconds
        How long, more than 0.
    looks
        How often in that time, at least 1.
    sleep
        Waits for so many seconds.
    """
    with NetlinkSocket() as netlink:
        readers = {}
        found: dict[str, Measured] = {}
        for device in devices:
            key = state.Key.of(device_facts(device).ifindex)
            held = state.read(key)
            stands = held is not None and snapshot(netlink, key.ifindex).is_ours
            settings = held.settings if held is not None and stands else None
            found[device] = Measured(device, settings, state.is_locked(key))
            if settings is not None:
                readers[device] = ClassReader(netlink, key.ifindex, settings.flows)
        first = {device: reader.read() for device, reader in readers.items()}
        last, began = dict(first), time.monotonic()
        waits = dict.fromkeys(readers, 0.0)
        before = began
        for _ in range(looks):
            sleep(seconds / looks)
            now_s = time.monotonic()
            for device, reader in readers.items():
                now, then = reader.read(), last[device]
                last[device] = now
                settings = found[device].settings
                assert settings is not None
                sent = now.sent_bytes - then.sent_bytes
                busy = (sent > 0) | (now.backlog_bytes > 0)
                active = max(int(np.count_nonzero(busy)), 1)
                rate = drain_rate(sent[busy], max(now_s - before, 1e-9), active, settings.rate_bps)
                wait_s = now.backlog_bytes[busy] / rate
                waits[device] = max(waits[device], float(wait_s.max(initial=0.0)))
            before = now_s
        elapsed_s = max(before - began, 1e-9)
    for device in readers:
        start, end = first[device], last[device]
        sent_bytes = end.sent_bytes - start.sent_bytes
        dropped = int(((end.dropped_packets - start.dropped_packets) & _COUNTER_MASK).sum())
        packets = int(((end.sent_packets - start.sent_packets) & _COUNTER_MASK).sum())
        one = found[device]
        found[device] = Measured(
            device,
            one.settings,
            one.controlled,
            rate_bps=float(sent_bytes.sum()) * 8 / elapsed_s,
            wait_s=waits[device],
            loss=dropped / (packets + dropped) if packets + dropped else 0.0,
            flows=int(np.count_nonzero(sent_bytes)),
        )
    return [found[device] for device in devices]
