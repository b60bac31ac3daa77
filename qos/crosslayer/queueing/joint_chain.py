"""The joint Markov chain of buffer and channel, for any channel chain.

Liu, Zhou, Giannakis, IEEE Transactions on Wireless Communications 4(3), 2005.
With the level-crossing chain it is the published model, with the first-order chain the same without its
forbidden range, with the semi-Markov chain one that knows how long a region has lasted.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse, stats
from scipy.sparse import linalg

from qos.crosslayer.channel.markov import (
    ChannelChain,
    crossing_chain,
    first_order_chain,
    semi_markov_chain,
)
from qos.crosslayer.queueing.buffered_link import BufferedLink, QueueFigures
from qos.errors import ValueRefusedError

Floats = NDArray[np.float64]

CHAINS = {
    "level-crossing": crossing_chain,
    "first-order": first_order_chain,
    "semi-markov": semi_markov_chain,
}


def solve_chain(link: BufferedLink, target: float, model: str = "first-order") -> QueueFigures:
    """Solve the joint chain of a link for one target error rate.

    Parameters
    ----------
    link
        The link.
    target
        Error rate at each threshold, more than 0, at most 1.
    model
        A key of `CHAINS`.

    Raises
    ------
    ValueRefusedError
        If the model is unknown or does not hold at the link's Doppler.
    """
    if model not in CHAINS:
        raise ValueRefusedError(f"channel chain {model!r} is unknown; use one of {', '.join(CHAINS)}")
    chain = CHAINS[model](link.fading, link.thresholds(target), link.doppler_slot)
    return solve_joint(link, target, chain)


def solve_joint(link: BufferedLink, target: float, chain: ChannelChain) -> QueueFigures:
    """Solve the joint chain of buffer and channel states: stationary distribution, then the figures."""
    room = link.buffer_packets
    service = link.service[chain.region]
    arrivals = stats.poisson.pmf(np.arange(room + 1), link.arrivals)
    kernels = {int(rate): _buffer_kernel(room, int(rate), arrivals) for rate in np.unique(service)}
    blocks = [
        sparse.kron(sparse.csr_matrix(chain.transition[[state]]), kernels[int(rate)])
        for state, rate in enumerate(service)
    ]
    joint = sparse.vstack(blocks).tocsc()
    size = joint.shape[0]
    balance = (sparse.identity(size, format="csc") - joint).T.tolil()
    balance[0, :] = 1.0
    wanted = np.zeros(size)
    wanted[0] = 1.0
    shares = linalg.spsolve(balance.tocsc(), wanted).reshape(len(service), room + 1)
    shares = np.maximum(shares, 0) / np.maximum(shares, 0).sum()
    backlog = np.arange(room + 1)
    left = np.maximum(backlog[None] - service[:, None], 0)
    overflow = float((shares * _mean_excess(room - left, link.arrivals)).sum()) / link.arrivals
    used = np.minimum(backlog[None], service[:, None])
    return QueueFigures(
        chain.model,
        overflow,
        link.radio(target).error_rate,
        float((shares * used).sum()) / link.packets_per_bit,
        float(shares.sum(axis=0) @ backlog),
    )


def _buffer_kernel(room: int, rate: int, arrivals: Floats) -> sparse.csr_matrix:
    """Transitions of the backlog in a frame that serves `rate`: ``min(K, max(0, u - rate) + A)``."""
    kernel = np.zeros((room + 1, room + 1))
    for backlog in range(room + 1):
        left = max(0, backlog - rate)
        kernel[backlog, left:] = arrivals[: room + 1 - left]
        kernel[backlog, room] += 1 - kernel[backlog].sum()
    return sparse.csr_matrix(kernel)


def _mean_excess(free: NDArray[np.int64], mean: float) -> Floats:
    """Mean of ``max(A - free, 0)`` for Poisson arrivals."""
    above = stats.poisson.sf(free - 1, mean)
    return np.asarray(mean * stats.poisson.sf(free - 2, mean) - free * above)
