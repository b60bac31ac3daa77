"""Max-min fair filling: rates grow together until a channel is full or a rate is what was wanted.

Bertsekas and Gallager, "Data Networks", section 6.5.2 (progressive filling).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import sparse

from schedulers.admission.problem import Floats


def fill(
    least_bps: Sequence[float],
    most_bps: Sequence[float],
    per_bps: Sequence[Mapping[int, float]],
    capacity: Sequence[float],
) -> Floats:
    """Raise rates from their least values, the lowest first, as far as the channels carry.

    Parameters
    ----------
    least_bps, most_bps
        Of each flow; the least ones fit.
    per_bps
        Share of each channel, by number, that a bit/s of the flow takes.
    capacity
        Of each channel.

    Returns
    -------
    array, shape (flows,)
        Rates in bit/s: no rate can be raised without lowering one that is not above it.
    """
    rates = np.array(least_bps, dtype=np.float64)
    wanted = np.array(most_bps, dtype=np.float64)
    limit = np.asarray(capacity, dtype=np.float64)
    entries = [(c, flow, share) for flow, shares in enumerate(per_bps) for c, share in shares.items()]
    if not entries:
        return np.maximum(rates, wanted)
    rows, columns, values = zip(*entries, strict=True)
    use = sparse.csr_array((values, (rows, columns)), shape=(len(limit), len(rates)))
    by_flow = use.tocsc()
    growing = wanted > rates * (1 + 1e-12)
    while growing.any():
        level = rates[growing].min()
        lowest = growing & (rates <= level * (1 + 1e-12))
        higher = rates[growing & ~lowest]
        next_level = min(float(higher.min()) if len(higher) else np.inf, float(wanted[lowest].min()))
        room = limit - use @ rates
        slope = use @ lowest.astype(np.float64)
        tight = slope > 0
        most = float((room[tight] / slope[tight]).min()) if tight.any() else np.inf
        step = max(min(next_level - level, most), 0.0)
        rates[lowest] = level + step
        full = tight & (room - slope * step <= 1e-9 * limit)
        for flow in np.flatnonzero(lowest):
            channels = by_flow.indices[by_flow.indptr[flow] : by_flow.indptr[flow + 1]]
            if full[channels].any():
                growing[flow] = False
        growing &= rates < wanted * (1 - 1e-12)
    return np.minimum(rates, wanted)
