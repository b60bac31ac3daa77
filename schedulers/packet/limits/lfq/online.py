"""Learning on live flows: an actor and a critic beside the shipped network, inside guard rails.

The second half of the LFQ paper (arXiv 2007.02735, section V) goes on learning where the queue runs. Here the
**actor** is what the output of the network may be changed by: a linear function of its inputs that begins at
zero, so the learned weights are again a network (`Learner.network`). All flows of a link play the same
*episodes* of some seconds, four to a block in random order: the learned policy, the shipped one, and the
actor wishing for a little more and for a little less. (Together, for what one flow gains from a longer queue
alone it takes from the others. And it is the wish that is pushed, not the limit behind the policy's back:
what a limit is worth includes how the policy goes on from it.) More against less says for each flow which
way its reward rises; the **critic**, a linear regression of that on the flow's features that forgets, takes
the noise out and generalises it over flows (compatible features: Sutton et al., NIPS 1999, theorem 2), and
the actor follows the critic. What has been learned is the mean of where the actor has been, in which its
unrest is less (Polyak and Juditsky 1992); late places count more. Learned against shipped is the guard: over
a window of blocks the learned policy must not be worse.

The reward is that of training: what a flow sent, as a share of its fair part of the link and at most all of
it, less alpha times its queueing delay. Differences of it are measured in prices of the delay, so that one
step size serves every alpha. A flow that did not want its part, as a voice call, teaches nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schedulers.packet.limits.contract import Int64
from schedulers.packet.limits.lfq.memory import (
    LEAST_RATE,
    LINK_RATE,
    LOST_LONG,
    RATE,
    Float32,
    Float64,
    Poll,
)
from schedulers.packet.limits.lfq.step import FEATURES, Network

INPUTS = FEATURES + 1
LEARNED, SHIPPED, UP, DOWN = 0, 1, 2, 3
ARMS = 4

PUSH = 0.4
"""How much more or less an exploring episode wishes for than the actor, as a logarithm."""
EPISODE_S = 5.0
SETTLING_SHARE = 0.4
"""Share of an episode in which the queue follows its new limits and nothing is counted."""
MOST_SHIFT = 1.0
"""The actor changes the distance by at most this much."""
STEP = 0.02
"""How far the actor follows the critic with each block."""
LATEST_WEIGHT = 2.0
"""The latest place of the actor counts this much in the mean, where all before count one each..."""
LEAST_LATEST_SHARE = 0.02
"""... and at least this share, so that what is old is forgotten."""
MEMORY_BLOCKS = 200.0
"""The critic remembers about so many blocks."""
RIDGE = 10.0
CONSTANT_INPUT = 3.0
"""The constant among the inputs is large: what all flows have in common is learned first."""
LARGEST_SLOPE = 3.0
LEAST_PRICE = 0.005
"""Share of the rate; where queues cost less than this, differences in reward are mostly noise."""
GUARD_BLOCKS = 100
"""The learned policy is compared with the shipped one over the last so many blocks."""
LEAST_GUARD_BLOCKS = 20
LEAST_PRESENT = 0.5
"""A flow that was there for less of an episode than this teaches nothing."""
ELASTIC_LOSS = 0.5
"""A flow that leaves more than this share of its rate unused does not want it."""
WORSE = -2.0
"""The comparison's t statistic below which the learned policy counts as worse."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How the learned policy compares with the shipped one over the last blocks.

    Attributes
    ----------
    blocks
        Blocks compared since the start or the last roll-back, at most `GUARD_BLOCKS`.
    gain
        Mean difference of the reward, learned less shipped, in shares of the rate.
    gain_error
        Standard error of `gain`; infinite with fewer than two blocks.
    learned_blocks
        Blocks learned from since the weights were shipped.
    roll_backs
        How often the learned policy was worse and was given up.
    """

    blocks: int
    gain: float
    gain_error: float
    learned_blocks: int
    roll_backs: int


class Fortune(NamedTuple):
    """How some flows fared in one poll, each of shape ``(n,)``.

    Attributes
    ----------
    used
        What each sent, as a share of its fair part of the link.
    delay_s
        Queueing delay of each.
    elastic
        Whether it takes what it can get.
    """

    used: Float64
    delay_s: Float64
    elastic: NDArray[np.bool_]


def fortune_of(poll: Poll, memory: Float64, link: Float64, dt_s: float) -> Fortune:
    """Judge a poll by what `measure` and `remember` know of it."""
    elastic = memory[LOST_LONG] < ELASTIC_LOSS
    link_bytes = max(float(link[LINK_RATE]), LEAST_RATE) * dt_s
    rest = link_bytes - float(poll.sent_bytes[~elastic].sum())
    fair = max(rest / max(int(elastic.sum()), 1), link_bytes / len(elastic))
    return Fortune(poll.sent_bytes / fair, poll.backlog_bytes / memory[RATE], elastic)


class Learner:
    """Learns beside the policy of one link.

    Parameters
    ----------
    slots
        Queues of the policy.
    alpha
        Price of a second of queueing, 1/s.
    seed
        Of the order of episodes.
    """

    def __init__(self, slots: int, alpha: float, seed: int) -> None:
        self._alpha = alpha
        self._rng = np.random.default_rng(seed)
        self._roll_backs = 0
        self._forget_actor()
        # Sums over the counted time of each episode, for each arm and flow.
        self._counted_s = np.zeros((ARMS, slots))
        self._used = np.zeros((ARMS, slots))
        self._price = np.zeros((ARMS, slots))
        self._inputs = np.zeros((INPUTS, slots))
        self._input_s = np.zeros(slots)
        self._takes_part = np.ones(slots, np.bool_)
        self._forget_critic()
        self._begin_block()

    def _forget_actor(self) -> None:
        self._actor = np.zeros(INPUTS)
        self._learned = np.zeros(INPUTS)
        self._learned_blocks = 0

    def _forget_critic(self) -> None:
        self._seen = np.zeros((INPUTS, INPUTS))
        self._slopes = np.zeros(INPUTS)
        self._gains = np.zeros((0, 2))

    def _begin_block(self) -> None:
        self._order = self._rng.permutation(ARMS)
        self._played = 0
        self._elapsed_s = 0.0
        for sums in (self._counted_s, self._used, self._price, self._inputs, self._input_s):
            sums[:] = 0.0
        self._takes_part[:] = True

    @property
    def _arm(self) -> int:
        return int(self._order[self._played])

    def network(self, shipped: Network) -> Network:
        """Give the shipped network with what was learned."""
        return shipped._replace(
            direct=shipped.direct + self._learned[None, :FEATURES],
            bias=shipped.bias + CONSTANT_INPUT * self._learned[FEATURES:],
        )

    def go_on_from(self, shipped: Network, learned: Network, learned_blocks: int) -> bool:
        """Take up what an earlier run has learned.

        Returns
        -------
        bool
            False, and nothing is taken up, if it was learned beside another network.
        """
        own = shipped._replace(direct=learned.direct, bias=learned.bias)
        for ours, theirs in zip(own, learned, strict=True):
            if ours.shape != theirs.shape or not np.allclose(ours, theirs, rtol=1e-5, atol=1e-7):
                return False
        constant = (learned.bias - shipped.bias) / CONSTANT_INPUT
        self._learned = np.append(learned.direct[0] - shipped.direct[0], constant)
        self._actor = self._learned.copy()
        self._learned_blocks = learned_blocks
        return True

    @property
    def standing(self) -> Standing:
        """How the learned policy does."""
        gains = self._gains[:, 0]
        mean = float(gains.mean()) if len(gains) else 0.0
        error = float(gains.std(ddof=1) / np.sqrt(len(gains))) if len(gains) > 1 else float("inf")
        return Standing(len(gains), mean, error, self._learned_blocks, self._roll_backs)

    def shift(self, x: Float32) -> Float64:
        """Give what is added to the network's output for flows with features `x`, shape ``(n,)``."""
        if self._arm == SHIPPED:
            return np.zeros(x.shape[1])
        weights = self._learned if self._arm == LEARNED else self._actor
        shift = np.clip(weights @ _inputs(x), -MOST_SHIFT, MOST_SHIFT)
        return shift + {UP: PUSH, DOWN: -PUSH}.get(self._arm, 0.0)

    def observe(
        self, slot: Int64, is_new: NDArray[np.bool_], x: Float32, fortune: Fortune, dt_s: float
    ) -> None:
        """Count one poll, before `shift` says what is done next.

        Parameters
        ----------
        slot
            Queues of the active flows, shape ``(n,)``.
        is_new
            True where a flow begins.
        x
            Their features, shape ``(FEATURES, n)``.
        fortune
            How they fared.
        dt_s
            Time since the previous poll.
        """
        arm = self._arm
        self._takes_part[slot] &= ~is_new
        self._elapsed_s += dt_s
        if self._elapsed_s > SETTLING_SHARE * EPISODE_S:
            self._takes_part[slot] &= fortune.elastic
            self._counted_s[arm, slot] += dt_s
            self._used[arm, slot] += dt_s * fortune.used
            self._price[arm, slot] += dt_s * self._alpha * fortune.delay_s
            if arm != SHIPPED:
                self._inputs[:, slot] += dt_s * _inputs(x)
                self._input_s[slot] += dt_s
        if self._elapsed_s >= EPISODE_S:
            self._elapsed_s = 0.0
            self._played += 1
            if self._played == ARMS:
                self._learn()
                self._begin_block()

    def _learn(self) -> None:
        """Learn from the block that has just ended."""
        present = self._counted_s.min(axis=0) > LEAST_PRESENT * (1.0 - SETTLING_SHARE) * EPISODE_S
        flows = np.flatnonzero(self._takes_part & present)
        if not len(flows):
            return
        counted_s = self._counted_s[:, flows]
        prices = self._price[:, flows] / counted_s
        rewards = np.minimum(self._used[:, flows] / counted_s, 1.0) - prices
        price = np.maximum(prices.mean(axis=0), LEAST_PRICE)
        slopes = np.clip((rewards[UP] - rewards[DOWN]) / (2.0 * PUSH * price), -LARGEST_SLOPE, LARGEST_SLOPE)
        inputs = self._inputs[:, flows] / self._input_s[flows]
        kept = 1.0 - 1.0 / MEMORY_BLOCKS
        self._seen = kept * self._seen + inputs @ inputs.T
        self._slopes = kept * self._slopes + inputs @ slopes
        critic = np.linalg.solve(self._seen + RIDGE * np.eye(INPUTS), self._slopes)
        self._actor = self._actor + STEP * critic
        self._learned_blocks += 1
        latest = max(LATEST_WEIGHT / (self._learned_blocks + LATEST_WEIGHT), LEAST_LATEST_SHARE)
        self._learned = self._learned + latest * (self._actor - self._learned)
        gain = float((rewards[LEARNED] - rewards[SHIPPED]).mean())
        self._guard(gain, float(price.mean()))

    def _guard(self, gain: float, price: float) -> None:
        """Give up what was learned if it is worse than what was shipped."""
        self._gains = np.vstack([self._gains[1 - GUARD_BLOCKS :], (gain, price)])
        if len(self._gains) < LEAST_GUARD_BLOCKS:
            return
        scaled = self._gains[:, 0] / self._gains[:, 1]
        if scaled.mean() < WORSE * scaled.std(ddof=1) / np.sqrt(len(scaled)):
            self._forget_actor()
            self._roll_backs += 1
            self._forget_critic()


def _inputs(x: Float32) -> Float64:
    """Give what actor and critic see: the features and a constant."""
    return np.concatenate([x, np.full((1, x.shape[1]), CONSTANT_INPUT)])
