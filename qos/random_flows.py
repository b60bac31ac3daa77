"""Packet demands out of a generator: a gravity matrix, or a mix of application profiles.

Both draw the ends by the *gravity model*, in which the traffic between two nodes is proportional to the
product of their masses (Roughan, "Simplifying the synthesis of Internet traffic matrices", ACM SIGCOMM CCR
35(5), 2005). A node's mass is the rate of its packet links, times a log-normal factor where a spread is
asked for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from qos.demands import FlowDemand
from qos.errors import ValueRefusedError
from qos.profiles import find_profile
from topologies.model import Topology, WiredLink, WirelessLink

MAX_FLOWS = 200_000
END_KINDS = ("host", "station")
BITS_PER_HERTZ = 3.0
"""Rate counted for a radio link's mass: a middle mode of Wi-Fi or NR, bit/s for each hertz."""
OFFICE_MIX: Mapping[str, float] = {
    "voice": 4.0,
    "conversational-video": 2.0,
    "streaming-video": 2.0,
    "gaming": 1.0,
    "llm-chat": 1.0,
}
"""Shares of the profiles that `random_flows` draws unless told otherwise [ours]."""


def end_masses(topology: Topology) -> dict[str, float]:
    """Give the gravity mass of each node where traffic begins and ends, in bit/s.

    These are hosts and stations; in a topology that has fewer than two of them, all nodes with packet links.

    Raises
    ------
    ValueRefusedError
        If fewer than two nodes have packet links.
    """
    masses: dict[str, float] = {}
    for link in topology.links.values():
        if isinstance(link, WiredLink):
            rate_bps = float(link.rate_bps)
        elif isinstance(link, WirelessLink):
            rate_bps = BITS_PER_HERTZ * link.bandwidth_hz
        else:
            continue
        for end in (link.source, link.target):
            masses[end] = masses.get(end, 0.0) + rate_bps
    ends = {name: mass for name, mass in masses.items() if topology.nodes[name].kind in END_KINDS}
    found = ends if len(ends) >= 2 else masses
    if len(found) < 2:
        raise ValueRefusedError(
            f"the topology {topology.name!r} has fewer than two nodes with packet links; flows need two"
        )
    return {name: found[name] for name in topology.nodes if name in found}


def gravity_flows(
    topology: Topology, total_bps: float, *, seed: int, spread: float = 0.0, profile: str = ""
) -> tuple[FlowDemand, ...]:
    """Make one demand for each ordered pair of ends; the rates follow the gravity model.

    Parameters
    ----------
    topology
        Where the ends are.
    total_bps
        Sum of all rates in bit/s, more than 0.
    seed
        Same seed, same demands.
    spread
        Standard deviation of the natural logarithm of a mass, 0 to 10; 0: masses are link rates.
    profile
        Profile of every demand, or empty.

    Raises
    ------
    ValueRefusedError
        If a value is out of range, or the topology has no two ends.
    """
    if not (math.isfinite(total_bps) and total_bps > 0):
        raise ValueRefusedError(f"total_bps must be a finite number, more than 0, not {total_bps!r}")
    if not 0 <= spread <= 10:
        raise ValueRefusedError(f"spread must be from 0 to 10, not {spread!r}")
    masses = end_masses(topology)
    if len(masses) * (len(masses) - 1) > MAX_FLOWS:
        raise ValueRefusedError(f"{len(masses)} ends make more than {MAX_FLOWS} pairs; use random_flows")
    random = np.random.default_rng(seed)
    heavy = np.array(list(masses.values())) * np.exp(spread * random.standard_normal(len(masses)))
    shares = np.outer(heavy, heavy)
    np.fill_diagonal(shares, 0.0)
    rates = total_bps * shares / shares.sum()
    names = list(masses)
    return tuple(
        _flow(profile, one, other, float(rates[i, j]))
        for i, one in enumerate(names)
        for j, other in enumerate(names)
        if rates[i, j] > 0
    )


def _flow(profile: str, source: str, destination: str, rate_bps: float) -> FlowDemand:
    if profile:
        return FlowDemand.from_profile(profile, source, destination, rate_bps=rate_bps)
    return FlowDemand(source, destination, rate_bps)


def random_flows(
    topology: Topology,
    count: int,
    *,
    seed: int,
    mix: Mapping[str, float] = OFFICE_MIX,
    rate_scale: float = 1.0,
    masses: Mapping[str, float] | None = None,
) -> tuple[FlowDemand, ...]:
    """Draw demands: ends by gravity, a profile by its share, a rate that the profile knows.

    The first demands of a longer draw are those of a shorter one, so a load can be made to grow.

    Parameters
    ----------
    topology
        Where the ends are.
    count
        How many, 1 to `MAX_FLOWS`.
    seed
        Same seed, same demands.
    mix
        Share of each profile by name, at least 0, one of them more.
    rate_scale
        Multiplies every rate and least rate, more than 0: one demand for a crowd of users.
    masses
        Gravity mass of each node that may be an end, more than 0; None: `end_masses`.

    Raises
    ------
    ValueRefusedError
        If a value is out of range, a profile unknown, or the topology has no two ends.
    """
    if isinstance(count, bool) or not 1 <= count <= MAX_FLOWS:
        raise ValueRefusedError(f"{count} random flows: expected 1 to {MAX_FLOWS}")
    if not (math.isfinite(rate_scale) and rate_scale > 0):
        raise ValueRefusedError(f"rate_scale must be a finite number, more than 0, not {rate_scale!r}")
    profiles = [find_profile(name) for name in mix]
    weights = np.array(list(mix.values()), np.float64)
    if not len(weights) or not np.all(np.isfinite(weights) & (weights >= 0)) or not weights.sum() > 0:
        raise ValueRefusedError("mix must give each profile a share of at least 0, and one of them more")
    pulls = end_masses(topology) if masses is None else masses
    names, pull = list(pulls), np.array(list(pulls.values()), np.float64)
    if len(names) < 2 or not np.all(np.isfinite(pull) & (pull > 0)) or set(names) - set(topology.nodes):
        raise ValueRefusedError("masses must give two or more nodes of the topology a mass of more than 0")
    random = np.random.default_rng(seed)
    flows = []
    for number in range(count):
        chosen = profiles[_draw(random, weights)]
        source = _draw(random, pull)
        others = pull.copy()
        others[source] = 0.0
        destination = _draw(random, others)
        steps = chosen.rate_steps_bps
        if steps:
            rate_bps = float(steps[int(random.integers(len(steps)))])
        else:
            low, high = math.log(chosen.min_rate_bps), math.log(chosen.max_rate_bps)
            rate_bps = min(float(round(math.exp(random.uniform(low, high)))), float(chosen.max_rate_bps))
        flows.append(
            FlowDemand.from_profile(
                chosen.name,
                names[source],
                names[destination],
                rate_bps=rate_bps * rate_scale,
                min_rate_bps=min(float(chosen.min_rate_bps), rate_bps) * rate_scale,
                name=f"{chosen.name}-{number + 1}",
            )
        )
    return tuple(flows)


def _draw(random: np.random.Generator, weights: NDArray[np.float64]) -> int:
    """Draw an index with probability proportional to its weight."""
    sums = np.cumsum(weights)
    return int(np.searchsorted(sums, random.random() * sums[-1], side="right"))
