"""The Bayesian policy: tracks the fading gain itself, with the topology's facts as prior."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from qos.crosslayer.adaptation import particle_kernel as kernel
from qos.crosslayer.adaptation.arrays import Modes
from qos.crosslayer.adaptation.clarke_bank import ORDER, doppler_grid, make_bank, regrid
from qos.crosslayer.adaptation.contract import (
    ACKS,
    BLER_TABLE,
    DOPPLER,
    MEAN_SNR,
    REPORT_AGE,
    REPORT_NOISE,
    REPORTS,
    Feedback,
    LinkKnowledge,
)
from qos.crosslayer.adaptation.error_price import ErrorPrice
from qos.crosslayer.adaptation.inner_loop import check_target
from qos.crosslayer.adaptation.link_estimate import LinkEstimate, LinkPrior
from qos.crosslayer.adaptation.modetable import ModeTable

LEAST_NOISE_DB = 0.3
ACK_LEAD_SLOTS = 4
"""How far before the slot decided the newest instant may lie, where acknowledgements come sooner."""


@dataclass(frozen=True, slots=True)
class FilterSize:
    """How much work the filter may be, and what it is to hold.

    Attributes
    ----------
    particles
        Particles a user, a power of two.
    seed
        Seed of all its draws.
    target
        Block error rate to hold; None: most bits, whatever fails.

    Raises
    ------
    ValueRefusedError
        If the target is no probability.
    """

    particles: int = 2048
    seed: int = 1
    target: float | None = None

    def __post_init__(self) -> None:
        if self.target is not None:
            check_target(self.target)


def make_tables(table: ModeTable, size: FilterSize) -> kernel.Tables:
    """Make what the compiled filter looks up."""
    from scipy.stats import norm, qmc

    normals = np.random.default_rng(size.seed).standard_normal(kernel.POOL).astype(np.float32)
    strata = norm.ppf(qmc.Halton(2, seed=size.seed).random(size.particles)).astype(np.float32)
    fine = (np.arange(kernel.FINE_BINS) + kernel.FINE_FIRST) << kernel.FINE_SHIFT
    middle = 1 << (kernel.FINE_SHIFT - 1)
    level_db = 10 * np.log10((fine + middle).astype(np.int32).view(np.float32))
    coarse = (np.arange(kernel.COARSE_BINS) + kernel.COARSE_FIRST) << kernel.COARSE_SHIFT
    parts = (np.arange(8) * 2 + 1) << (kernel.COARSE_SHIFT - 4)
    inside_db = 10 * np.log10((coarse[:, None] + parts).astype(np.int32).view(np.float32))
    success = 1 - table.block_error_rate[:, table.grid_index(inside_db)].mean(axis=-1)
    goodput = (success * table.tb_size_bits[:, None]).T
    return kernel.Tables(
        normals=np.concatenate([normals, normals]),
        strata_real=np.tile(strata[:, 0], 2),
        strata_imaginary=np.tile(strata[:, 1], 2),
        level_db=level_db.astype(np.float32),
        success=success.astype(np.float32),
        goodput=np.ascontiguousarray(goodput, dtype=np.float32),
    )


class GainTracker:
    """A particle filter of many users' gains that follows a `LinkEstimate`.

    Parameters
    ----------
    table
        The modes.
    estimate
        Mean SNR, Doppler shift and report noise; read at every new report.
    size
        Particles and seed.
    report_age_slots
        Age of a report when it first comes.
    """

    def __init__(
        self, table: ModeTable, estimate: LinkEstimate, size: FilterSize, report_age_slots: int
    ) -> None:
        self._estimate, self._size, self._age = estimate, size, report_age_slots
        self._table = table
        self._tables = make_tables(table, size)
        self._users = estimate.mean_snr_db.size
        self._random = np.random.default_rng(size.seed)
        self._nothing = np.full(self._users, -1, np.int8)
        self._false = np.zeros(self._users, np.bool_)
        self._price = ErrorPrice(table, self._users, size.target)
        self._start(ACK_LEAD_SLOTS)

    def _start(self, ack_delay_slots: int) -> None:
        """Make bank and particles for the delay at which acknowledgements come."""
        users, count = self._users, self._size.particles
        self._lead = min(ack_delay_slots, self._age)
        self._bank = make_bank(doppler_grid(), self._lead, max(ack_delay_slots, self._age) - self._lead)
        self._ack_delay = ack_delay_slots
        self._state = kernel.Particles(
            real=np.zeros((users, ORDER, count), np.float32),
            imaginary=np.zeros((users, ORDER, count), np.float32),
            head=np.zeros(users, np.int64),
            newest_slot=np.zeros(users, np.int64),
            weight=np.zeros((users, count), np.float32),
            model=self._estimate.doppler_index.astype(np.int64),
            mean_power=10 ** (self._estimate.mean_snr_db / 10),
            random=np.random.SeedSequence(self._size.seed).generate_state(users, np.uint64) | np.uint64(1),
        )
        for user in range(users):
            kernel.restart(user, 0, self._state, self._bank, self._tables)

    def step(
        self, slot: int, report_db: NDArray[np.float32], is_new: NDArray[np.bool_], feedback: Feedback | None
    ) -> Modes:
        """Take in a slot's news and return the best modes, shape ``(users,)``; -1 to stay silent."""
        if feedback is not None and slot - feedback.slot != self._ack_delay:
            self._start(slot - feedback.slot)  # once, at the first acknowledgement
        if is_new.any():
            self._follow_estimate()
        fed = (-1, self._nothing, self._false)
        if feedback is not None:
            fed = (feedback.slot, feedback.mode, feedback.acknowledged)
        about = np.full(self._users, max(slot - self._age, 0), np.int64)
        noise = np.maximum(self._estimate.noise_db, LEAST_NOISE_DB)
        self._price.learn(feedback)
        price = self._price.in_bits(self._estimate.mean_snr_db)
        target = self._price.target
        news = kernel.SlotNews(slot, self._lead, *fed, about, report_db, is_new, noise, price, target)
        modes = np.empty(self._users, np.int8)
        kernel.filter_slot(self._state, self._bank, self._tables, news, modes)
        return modes

    def _follow_estimate(self) -> None:
        self._state.mean_power[:] = 10 ** (self._estimate.mean_snr_db / 10)
        for user in np.nonzero(self._estimate.doppler_index != self._state.model)[0]:
            self._change_model(int(user), int(self._estimate.doppler_index[user]))

    def _change_model(self, user: int, model: int) -> None:
        """Carry a user's particles over to another Doppler shift."""
        state = self._state
        weights, factor = regrid(self._bank, int(state.model[user]), model)
        order = (state.head[user] + np.arange(ORDER)) % ORDER
        shape = (2, ORDER, self._size.particles)
        fresh = factor @ self._random.standard_normal(shape)
        state.real[user] = weights @ state.real[user][order] + fresh[0]
        state.imaginary[user] = weights @ state.imaginary[user][order] + fresh[1]
        state.head[user] = 0
        state.model[user] = model


class Bayesian:
    """Picks the mode of most expected bits given all reports and acknowledgements so far.

    With a target it holds the block error rate of each user there, at the most bits that this leaves
    (`error_price`).

    The gain is tracked by a particle filter over Clarke's model (`particle_kernel`). Mean SNR and
    Doppler shift are the topology's at first and are then learned from the reports around them, so
    that an error in the topology costs little (`link_estimate`).

    Parameters
    ----------
    knowledge
        What the policy is told; needs all of it.
    size
        Particles and seed.
    """

    told: ClassVar[tuple[str, ...]] = (REPORTS, ACKS, MEAN_SNR, DOPPLER, REPORT_AGE, REPORT_NOISE, BLER_TABLE)
    MEAN_DEVIATION_DB: ClassVar[float] = 1.2
    DOPPLER_DEVIATION: ClassVar[float] = 0.7

    def __init__(self, knowledge: LinkKnowledge, size: FilterSize = FilterSize()) -> None:
        assert knowledge.table is not None
        assert knowledge.mean_snr_db is not None
        assert knowledge.doppler_slots is not None
        assert knowledge.report_age_slots is not None
        assert knowledge.report_period_slots is not None
        assert knowledge.report_noise_db is not None
        self._age, self._period = knowledge.report_age_slots, knowledge.report_period_slots
        grid = doppler_grid()
        prior = LinkPrior(
            knowledge.mean_snr_db,
            np.clip(knowledge.doppler_slots, grid[0], grid[-1]),
            self.MEAN_DEVIATION_DB,
            self.DOPPLER_DEVIATION,
            np.array([knowledge.report_noise_db]),
        )
        self._estimate = LinkEstimate(prior, grid, self._period)
        self._tracker = GainTracker(knowledge.table, self._estimate, size, self._age)

    @property
    def estimate(self) -> LinkEstimate:
        """What has been learned of each link."""
        return self._estimate

    def decide(self, slot: int, report_db: NDArray[np.float32] | None, feedback: Feedback | None) -> Modes:
        """Take in what is new, then return each user's best mode."""
        assert report_db is not None
        about = slot - self._age
        new = slot == 0 or (about > 0 and about % self._period == 0)
        if new:
            self._estimate.update(report_db)
        return self._tracker.step(slot, report_db, np.full(report_db.size, new), feedback)
