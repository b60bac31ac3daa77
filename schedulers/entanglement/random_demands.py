"""A given number of random demands: pairs of end nodes that can be served, at rates of the load study."""

from __future__ import annotations

import numpy as np

from qos.demands import EntanglementDemand
from qos.errors import InfeasibleError, ValueRefusedError
from schedulers.entanglement.compile import Compiler
from schedulers.entanglement.workload import RATE_STEPS

MAX_DEMANDS = 100_000


def random_demands(
    compiler: Compiler, count: int, min_fidelity: float, seed: int
) -> tuple[EntanglementDemand, ...]:
    """Draw demands.

    Parameters
    ----------
    compiler
        Of the network.
    count
        How many, 1 to `MAX_DEMANDS`.
    min_fidelity
        Of every demand, in (0.5, 1].
    seed
        Same seed, same demands.

    Raises
    ------
    ValueRefusedError
        If the count is out of range or the network has fewer than two end nodes.
    InfeasibleError
        If no pair of end nodes can be served.
    """
    if not 1 <= count <= MAX_DEMANDS:
        raise ValueRefusedError(f"{count} random demands: expected 1 to {MAX_DEMANDS}")
    ends = sorted(compiler.network.end_nodes)
    if len(ends) < 2:
        raise ValueRefusedError(f"the topology has {len(ends)} quantum end nodes; demands need two")
    random = np.random.default_rng(seed)
    slot_s = compiler.options.search.slot_s
    rates: dict[tuple[str, str], list[float]] = {}
    found: list[EntanglementDemand] = []
    pairs = [(a, b) for a in ends for b in ends if a != b]
    while len(found) < count:
        if not pairs:
            raise InfeasibleError(
                f"no two end nodes can share pairs of fidelity {min_fidelity:g} at a rate of "
                f"{1 / (slot_s * 2 ** (RATE_STEPS - 1)):.3g} ebit/s or more; lower the fidelity"
            )
        drawn = int(random.integers(len(pairs)))
        pair = pairs[drawn]
        if pair not in rates:
            highest = compiler.highest_rate(*pair, min_fidelity)
            steps = [1 / (slot_s * 2**step) for step in range(RATE_STEPS)]
            rates[pair] = [rate for rate in steps if rate < highest]
        if not rates[pair]:
            pairs.pop(drawn)
            continue
        rate = rates[pair][int(random.integers(len(rates[pair])))]
        found.append(EntanglementDemand(*pair, rate, min_fidelity))
    return tuple(found)
