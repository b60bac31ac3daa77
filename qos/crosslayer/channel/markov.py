"""Finite-state Markov channels over a partition of the SNR, each with the range where it holds.

`crossing_chain` is the published one (Wang and Moayeri, IEEE TVT 44(1), 1995): neighbours only, from the
level-crossing rate; `first_order_chain` has the exact one-step probabilities of a Nakagami channel;
`semi_markov_chain` keeps the time since a state was entered, from sojourns in a Clarke trace.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from qos.crosslayer.channel.doppler import clarke_snr, level_crossing_rate_hz
from qos.crosslayer.channel.fading import NakagamiFading
from qos.crosslayer.guards import check_not_negative
from qos.errors import ValueRefusedError

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ChannelChain:
    """A Markov chain whose states each have a region of the SNR.

    Attributes
    ----------
    transition
        Shape (states, states), rows sum to one.
    stationary
        Shape (states,).
    region
        Shape (states,): 0 below the first threshold, n from threshold n on.
    model
        Name of the model.
    """

    transition: Floats
    stationary: Floats
    region: Whole
    model: str

    def __post_init__(self) -> None:
        if (self.transition < -1e-12).any() or not np.allclose(self.transition.sum(axis=1), 1, atol=1e-9):
            raise ValueRefusedError(f"the {self.model} chain has a row that is no probability distribution")


def _edges(thresholds: Floats) -> Floats:
    edges = np.asarray(thresholds, dtype=float)
    if edges.ndim != 1 or not len(edges) or not np.isfinite(edges).all() or edges[0] <= 0:
        raise ValueRefusedError("thresholds must be finite SNRs above 0, at least one")
    if (np.diff(edges) < 0).any():
        raise ValueRefusedError("thresholds must not fall from one mode to the next")
    return np.concatenate([[0.0], edges, [np.inf]])


def region_of(snr: Floats, thresholds: Floats) -> Whole:
    """Tell the region of each SNR: how many thresholds it reaches."""
    return np.asarray(np.searchsorted(thresholds, snr, side="right"), dtype=np.int64)


def crossing_chain_limit(fading: NakagamiFading, thresholds: Floats) -> float:
    """Largest Doppler per slot at which no probability of `crossing_chain` is negative."""
    edges = _edges(thresholds)
    share = np.diff(fading.cdf(edges))
    rate = np.zeros(len(edges))
    rate[1:-1] = level_crossing_rate_hz(fading, edges[1:-1], 1.0)
    leaving = rate[:-1] + rate[1:]
    return float(np.min(share / leaving))


def crossing_chain(fading: NakagamiFading, thresholds: Floats, doppler_slot: float) -> ChannelChain:
    """Build the published chain from the level-crossing rate.

    Parameters
    ----------
    fading
        Distribution of the SNR.
    thresholds
        SNRs (power ratios) that divide the states, ascending.
    doppler_slot
        Maximum Doppler shift times the slot duration.

    Raises
    ------
    ValueRefusedError
        If the Doppler is so high that a probability would be negative.
    """
    edges = _edges(thresholds)
    share = np.diff(fading.cdf(edges))
    limit = crossing_chain_limit(fading, thresholds)
    if check_not_negative("Doppler per slot", doppler_slot) > limit:
        raise ValueRefusedError(
            f"Doppler per slot {doppler_slot:g} is above {limit:.4f}, where the level-crossing chain stops "
            "being a Markov chain; use the first-order chain or the Clarke replay"
        )
    crossing = level_crossing_rate_hz(fading, edges[1:-1], doppler_slot)
    states = len(share)
    transition = np.zeros((states, states))
    lower = np.arange(states - 1)
    transition[lower, lower + 1] = crossing / share[:-1]
    transition[lower + 1, lower] = crossing / share[1:]
    transition[np.arange(states), np.arange(states)] = np.maximum(1 - transition.sum(axis=1), 0)
    return ChannelChain(transition, share, np.arange(states), "level-crossing")


def first_order_chain(fading: NakagamiFading, thresholds: Floats, doppler_slot: float) -> ChannelChain:
    """Build the chain with exact one-slot transition probabilities of correlated Nakagami fading.

    Given the SNR now, the next is a scaled noncentral chi-square of ``2 m`` degrees (bivariate gamma, power
    correlation J0^2); integrated over each region by Gauss-Legendre quadrature in probability.
    """
    edges = _edges(thresholds)
    share = np.diff(fading.cdf(edges))
    if check_not_negative("Doppler per slot", doppler_slot) == 0:
        return ChannelChain(np.eye(len(share)), share, np.arange(len(share)), "first-order")
    correlation = special.j0(2 * math.pi * doppler_slot) ** 2
    nodes, weights = np.polynomial.legendre.leggauss(96)
    low, high = fading.cdf(edges[:-1]), fading.cdf(edges[1:])
    levels = low[:, None] + (high - low)[:, None] * (nodes + 1) / 2
    snr = fading.quantile(np.clip(levels, 1e-15, 1 - 1e-15))
    scale = fading.mean_snr * (1 - correlation) / (2 * fading.m)
    shift = correlation * snr / scale
    cdf = stats.ncx2.cdf(edges[None, None] / scale, 2 * fading.m, shift[..., None])
    transition = np.einsum("q,sqd->sd", weights / 2, np.diff(cdf, axis=2))
    # Symmetric in time: the joint distribution of two slots is; this also removes quadrature noise.
    joint = transition * share[:, None]
    joint = (joint + joint.T) / 2
    total = joint.sum(axis=1)
    reached = total > 1e-13
    transition[reached] = joint[reached] / total[reached, None]
    transition /= transition.sum(axis=1, keepdims=True)
    return ChannelChain(transition, total / total.sum(), np.arange(len(share)), "first-order")


def semi_markov_chain(
    fading: NakagamiFading,
    thresholds: Floats,
    doppler_slot: float,
    *,
    slots: int = 20_000,
    users: int = 100,
    seed: int = 1,
) -> ChannelChain:
    """Build a chain that also keeps the age of the present region, from sojourns in Clarke traces.

    Ages are kept one by one up to eight slots and in growing steps beyond, so that a state is a pair
    (region, age class).
    """
    region = region_of(clarke_snr(fading, doppler_slot, slots, users, seed), _edges(thresholds)[1:-1])
    age = np.zeros_like(region)
    for slot in range(1, slots):
        age[slot] = np.where(region[slot] == region[slot - 1], age[slot - 1] + 1, 0)
    steps = np.unique(np.concatenate([np.arange(8), (8 * 1.35 ** np.arange(18)).astype(int)]))
    kind = np.searchsorted(steps, age, side="right") - 1
    state = region * len(steps) + kind
    return _counted_chain(state, len(steps), "semi-Markov")


def _counted_chain(state: Whole, classes: int, model: str) -> ChannelChain:
    """Estimate a chain by counting one-step transitions of trajectories of shape (slots, users)."""
    used, index = np.unique(state, return_inverse=True)
    index = index.reshape(state.shape)
    size = len(used)
    pairs = index[:-1].ravel() * size + index[1:].ravel()
    counts = np.bincount(pairs, minlength=size * size).reshape(size, size).astype(float)
    seen = counts.sum(axis=1)
    # A state met only in the last slot has no successor; it stays where it is.
    counts[seen == 0, seen == 0] = 1.0
    transition = counts / counts.sum(axis=1, keepdims=True)
    stationary = np.bincount(index.ravel(), minlength=size) / index.size
    return ChannelChain(transition, stationary, used // classes, model)
