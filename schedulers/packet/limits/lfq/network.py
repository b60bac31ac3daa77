"""The weights of the learned policy as one vector, and where training begins."""

from __future__ import annotations

import numpy as np

from schedulers.packet.limits.lfq.memory import Float64
from schedulers.packet.limits.lfq.step import FEATURES, Network

HIDDEN = 32
EARLY_S, EARLY_FALL, EARLY_BDP = 0.007, 0.4, 0.5
"""The early limit (alpha 1), its fall with alpha, its least share of a known path. Training keeps them."""
_SHAPES = (
    (HIDDEN, FEATURES),
    (HIDDEN, 1),
    (HIDDEN, HIDDEN),
    (HIDDEN, 1),
    (1, HIDDEN),
    (1, FEATURES),
    (1,),
    (3,),
    (3,),
)
WEIGHTS = sum(int(np.prod(shape)) for shape in _SHAPES)
"""Numbers in a network."""


SENSES = 2 * HIDDEN + HIDDEN * (FEATURES + HIDDEN)
"""So many numbers at the beginning of the vector say what the hidden units see; the rest, what follows."""


def pack(network: Network) -> Float64:
    """Write a network as one vector of `WEIGHTS` numbers."""
    return np.concatenate([np.asarray(array, np.float64).ravel() for array in network])


def unpack(theta: Float64) -> Network:
    """Read a network from its vector.

    Raises
    ------
    ValueError
        If the vector does not have `WEIGHTS` numbers.
    """
    if theta.shape != (WEIGHTS,):
        raise ValueError(f"a network has {WEIGHTS} numbers, not {theta.shape}")
    arrays = []
    place = 0
    for shape in _SHAPES:
        size = int(np.prod(shape))
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
