"""Fitting the policy's network to what limits were worth in forks.

The network's output is the logarithm of a factor on the limit in force. The worth of any factor is read off
the curves that the forks measured, piecewise linear, so the loss (what was given away against the best
factor) has a derivative at every output: the network learns the reward itself, not a label.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from qos.training.forks import FACTORS, Samples
from qos.training.reward import UNFAIRNESS_PRICE
from schedulers.packet.limits.lfq.memory import Float64
from schedulers.packet.limits.lfq.network import pack, unpack
from schedulers.packet.limits.lfq.step import Network

LOSS_SCALE = 0.1
"""Regrets above this count less and less: no single scenario may decide."""
BATCH = 1024
_GRID = np.log(FACTORS)
_PITCH = float(_GRID[1] - _GRID[0])


@dataclass(frozen=True)
class Epoch:
    """After a pass over the samples: its number, mean loss, mean regret, weights."""

    number: int
    loss: float
    regret: float
    theta: Float64


def rewards(samples: Samples) -> Float64:
    """Weigh the curves, shape ``(m, factors)``."""
    price = samples.alpha[:, None] * samples.delay_s
    return samples.utilisation - price - UNFAIRNESS_PRICE * samples.shortfall


def _forward(network: Network, x: Float64) -> tuple[Float64, Float64, Float64]:
    first = np.tanh(network.first @ x + network.first_bias)
    second = np.tanh(network.second @ first + network.second_bias)
    return first, second, (network.output @ second + network.direct @ x)[0] + network.bias[0]


def _worth(curve: Float64, output: Float64) -> tuple[Float64, Float64]:
    """Read the curves at the outputs: the rewards and their slopes."""
    position = np.clip((output - _GRID[0]) / _PITCH, 0, len(_GRID) - 1 - 1e-9)
    left = position.astype(np.int64)
    rows = np.arange(len(output))
    low, high = curve[rows, left], curve[rows, left + 1]
    outside = np.where(output < _GRID[0], 0.01, np.where(output > _GRID[-1], -0.01, 0.0))
    slope = np.where(outside == 0.0, (high - low) / _PITCH, outside)
    return low + (high - low) * (position - left), slope


def _gradient(network: Network, x: Float64, curve: Float64) -> tuple[Float64, float, float]:
    first, second, output = _forward(network, x)
    worth, slope = _worth(curve, output)
    regret = curve.max(axis=1) - worth
    loss = LOSS_SCALE * np.log1p(regret / LOSS_SCALE)
    error = (-slope / (1 + regret / LOSS_SCALE) / len(output))[None, :]
    second_error = (network.output.T @ error) * (1 - second**2)
    first_error = (network.second.T @ second_error) * (1 - first**2)
    slopes = Network(
        first=first_error @ x.T,
        first_bias=first_error.sum(axis=1, keepdims=True),
        second=second_error @ first.T,
        second_bias=second_error.sum(axis=1, keepdims=True),
        output=error @ second.T,
        direct=error @ x.T,
        bias=error.sum(axis=1),
        start=np.zeros_like(network.start),
        pace=np.zeros_like(network.pace),
    )
    return pack(slopes), float(loss.mean()), float(regret.mean())


def fit(theta: Float64, samples: Samples, epochs: int, seed: int, rate: float = 0.01) -> Iterator[Epoch]:
    """Fit the network, an epoch at a time, with Adam at a rate that falls to a tenth.

    Parameters
    ----------
    theta
        Where to begin, from `pack`.
    samples
        What was measured.
    epochs, seed, rate
        Passes over the samples, seed of their order, first learning rate.
    """
    rng = np.random.default_rng(seed)
    theta = theta.copy()
    curve = rewards(samples)
    first, second = np.zeros_like(theta), np.zeros_like(theta)
    steps = 0
    batch = min(BATCH, len(curve))
    total = epochs * (len(curve) // batch)
    for number in range(epochs):
        order = rng.permutation(len(curve))
        means = []
        for begin in range(0, len(order) - batch + 1, batch):
            rows = order[begin : begin + batch]
            x = samples.features[rows].T.astype(np.float64)
            slope, loss, regret = _gradient(unpack(theta), x, curve[rows])
            steps += 1
            first += 0.1 * (slope - first)
            second += 0.001 * (slope**2 - second)
            step = rate * 0.1 ** (steps / total)
            theta -= step * (first / (1 - 0.9**steps)) / (np.sqrt(second / (1 - 0.999**steps)) + 1e-9)
            means.append((loss, regret))
        loss, regret = np.mean(means, axis=0)
        yield Epoch(number, float(loss), float(regret), theta.copy())
