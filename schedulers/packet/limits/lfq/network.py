"""The weights of the learned policy as one vector, and where training begins."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from schedulers.packet.limits.lfq.memory import Float64
from schedulers.packet.limits.lfq.step import FEATURES, Network

HIDDEN = 32
"""Units of each hidden layer where training begins."""
EARLY_S, EARLY_FALL, EARLY_BDP = 0.007, 0.4, 0.5
"""The early limit (alpha 1), its fall with alpha, its least share of a known path. Training keeps them."""


def _shapes(hidden: int) -> tuple[tuple[int, ...], ...]:
    return (
        (hidden, FEATURES),
        (hidden, 1),
        (hidden, hidden),
        (hidden, 1),
        (1, hidden),
        (1, FEATURES),
        (1,),
        (3,),
        (3,),
    )


def _size(hidden: int) -> int:
    return sum(math.prod(shape) for shape in _shapes(hidden))


def hidden_units(numbers: int) -> int:
    """Say how many units each hidden layer has of a network that is a vector of so many numbers.

    Raises
    ------
    ValueError
        If there is no such network.
    """
    linear = _size(1) - _size(0) - 1  # the size is the square of the units, and so many numbers for each
    hidden = (math.isqrt(max(linear**2 + 4 * (numbers - _size(0)), 0)) - linear) // 2
    if hidden < 1 or _size(hidden) != numbers:
        raise ValueError(f"no network is of {numbers} numbers")
    return hidden


def pack(network: Network) -> Float64:
    """Write a network as one vector."""
    return np.concatenate([np.asarray(array, np.float64).ravel() for array in network])


def unpack(theta: Float64) -> Network:
    """Read a network from its vector.

    Raises
    ------
    ValueError
        If no network has so many numbers.
    """
    arrays = []
    place = 0
    for shape in _shapes(hidden_units(theta.size)):
        size = math.prod(shape)
        arrays.append(np.ascontiguousarray(theta[place : place + size].reshape(shape)))
        place += size
    return Network(*arrays)


def first_network(seed: int) -> Network:
    """Give the network that training begins with: random units that have no say yet."""
    rng = np.random.default_rng(seed)
    return Network(
        first=rng.standard_normal((HIDDEN, FEATURES)) / np.sqrt(FEATURES),
        first_bias=np.zeros((HIDDEN, 1)),
        second=rng.standard_normal((HIDDEN, HIDDEN)) / np.sqrt(HIDDEN),
        second_bias=np.zeros((HIDDEN, 1)),
        output=np.zeros((1, HIDDEN)),
        direct=np.zeros((1, FEATURES)),
        bias=np.zeros(1),
        start=np.array([np.log(EARLY_S), EARLY_FALL, EARLY_BDP]),
        pace=np.log(np.array([0.05, 0.05, 0.2])),
    )


def side_by_side(networks: Sequence[Network]) -> Network:
    """Give one network that says the mean of what several say, and has the mean of their limits and paces.

    Networks that were trained apart err apart, so the mean errs less than either (Hansen and Salamon, "Neural
    network ensembles", IEEE PAMI 1990).

    Parameters
    ----------
    networks
        One or more, of any width.
    """
    widths = [len(network.first) for network in networks]
    ends = np.cumsum(widths)
    second = np.zeros((ends[-1], ends[-1]))
    for network, width, end in zip(networks, widths, ends, strict=True):
        second[end - width : end, end - width : end] = network.second
    mean = [np.mean(arrays, axis=0) for arrays in zip(*(network[5:] for network in networks), strict=True)]
    return Network(
        np.concatenate([network.first for network in networks]),
        np.concatenate([network.first_bias for network in networks]),
        second,
        np.concatenate([network.second_bias for network in networks]),
        np.concatenate([network.output for network in networks], axis=1) / len(networks),
        *mean,
    )
