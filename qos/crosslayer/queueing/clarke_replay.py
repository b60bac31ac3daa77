"""Queues over Clarke fading: a sampled reference, and a predictor that averages the arrivals out.

`simulate_queue` draws everything; it is the judge. `replay_queue` draws only the fading, and moves the whole
distribution of the backlog of each link through it: the Poisson arrivals are integrated, not sampled, so far
fewer slots give the same accuracy. It holds at any Doppler, where the chains do not: a first-order chain
forgets that fades of Clarke's channel return regularly.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from qos.compiled import compiled
from qos.crosslayer.channel.doppler import clarke_snr
from qos.crosslayer.channel.markov import region_of
from qos.crosslayer.guards import check_count
from qos.crosslayer.queueing.buffered_link import BufferedLink, QueueFigures
from qos.errors import ValueRefusedError

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

MIN_FADES = 20.0
"""Doppler periods that a trace must have, so that a link sees good and bad times."""


def service_trace(
    link: BufferedLink, target: float, slots: int, users: int, seed: int | np.random.SeedSequence
) -> Whole:
    """Draw packets a frame that a link can send, shape (slots, users)."""
    periods = slots * link.doppler_slot
    if periods < MIN_FADES:
        raise ValueRefusedError(
            f"{slots} slots are only {periods:.1f} Doppler periods, {MIN_FADES:g} are needed; "
            f"use at least {math.ceil(MIN_FADES / link.doppler_slot)} slots"
        )
    snr = clarke_snr(link.fading, link.doppler_slot, slots, users, seed)
    return link.service[region_of(snr, link.thresholds(target))]


def simulate_queue(
    link: BufferedLink, target: float, *, slots: int = 20_000, users: int = 200, seed: int = 1
) -> QueueFigures:
    """Simulate the buffer over independent links: fading, arrivals and all."""
    check_count("users", users, 2)
    fading_seed, arrival_seed = np.random.SeedSequence(seed).spawn(2)
    service = service_trace(link, target, slots, users, fading_seed)
    arrivals = np.random.default_rng(arrival_seed).poisson(link.arrivals, service.shape)
    dropped, offered, used, backlog = _run(service, arrivals, link.buffer_packets, slots // 10)
    return _figures("clarke-simulation", link, target, (dropped, offered, used, backlog), slots)


def replay_queue(
    link: BufferedLink, target: float, *, slots: int = 4_000, users: int = 400, seed: int = 77
) -> QueueFigures:
    """Predict the buffer: exact distribution of the backlog along drawn fading."""
    check_count("users", users, 2)
    slots = max(slots, math.ceil(2 * MIN_FADES / link.doppler_slot))
    service = service_trace(link, target, slots, users, seed)
    room = link.buffer_packets
    pmf = stats.poisson.pmf(np.arange(room + 2 * math.ceil(link.arrivals) + 40), link.arrivals)
    last = int(np.searchsorted(-pmf[int(link.arrivals) :], -1e-12)) + int(link.arrivals) + 1
    free = np.arange(room + 1)
    excess = link.arrivals * stats.poisson.sf(free - 2, link.arrivals)
    excess = excess - free * stats.poisson.sf(free - 1, link.arrivals)
    dropped, used, backlog = _move(service, pmf[: min(last, room + 1)], excess, room, slots // 10)
    offered = np.full(users, link.arrivals * (slots - slots // 10))
    return _figures("clarke-replay", link, target, (dropped, offered, used, backlog), slots)


def _figures(
    model: str, link: BufferedLink, target: float, sums: tuple[Floats, Floats, Floats, Floats], slots: int
) -> QueueFigures:
    dropped, offered, used, backlog = sums
    counted = (slots - slots // 10) * len(dropped)
    overflow = float(dropped.sum() / offered.sum())
    per_user = dropped / offered.mean()
    return QueueFigures(
        model,
        overflow,
        link.radio(target).error_rate,
        float(used.sum()) / counted / link.packets_per_bit,
        float(backlog.sum()) / counted,
        float(per_user.std(ddof=1) / math.sqrt(len(dropped))),
    )


@compiled
def _run(service: Whole, arrivals: Whole, room: int, warm_up: int) -> tuple[Floats, Floats, Floats, Floats]:
    slots, users = service.shape
    dropped, offered = np.zeros(users), np.zeros(users)
    used, total = np.zeros(users), np.zeros(users)
    backlog = np.zeros(users, dtype=np.int64)
    for slot in range(slots):
        for user in range(users):
            before = backlog[user]
            sent = min(before, service[slot, user])
            after = before - sent + arrivals[slot, user]
            lost = max(after - room, 0)
            backlog[user] = after - lost
            if slot >= warm_up:
                dropped[user] += lost
                offered[user] += arrivals[slot, user]
                used[user] += sent
                total[user] += before
    return dropped, offered, used, total


@compiled
def _move(
    service: Whole, pmf: Floats, excess: Floats, room: int, warm_up: int
) -> tuple[Floats, Floats, Floats]:
    slots, users = service.shape
    dropped, used, total = np.zeros(users), np.zeros(users), np.zeros(users)
    for user in range(users):
        share = np.zeros(room + 1)
        share[0] = 1.0
        for slot in range(slots):
            rate = service[slot, user]
            after = np.zeros(room + 1)
            lost = 0.0
            sent = 0.0
            mean = 0.0
            for backlog in range(room + 1):
                weight = share[backlog]
                # Below this the backlog adds nothing that a double could hold beside the rest.
                if weight < 1e-15:
                    continue
                left = max(backlog - rate, 0)
                sent += weight * (backlog - left)
                mean += weight * backlog
                lost += weight * excess[room - left]
                top = room - left
                rest = weight
                for count in range(min(len(pmf), top)):
                    part = weight * pmf[count]
                    after[left + count] += part
                    rest -= part
                after[min(left + len(pmf) - 1, room) if len(pmf) < top else room] += rest
            share = after
            if slot >= warm_up:
                dropped[user] += lost
                used[user] += sent
                total[user] += mean
    return dropped, used, total
