"""The Bayesian policy without a topology: told reports, acknowledgements and the modes, no more."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from qos.crosslayer.adaptation.arrays import Modes
from qos.crosslayer.adaptation.bayesian import ACK_LEAD_SLOTS, FilterSize, GainTracker
from qos.crosslayer.adaptation.clarke_bank import doppler_grid
from qos.crosslayer.adaptation.contract import ACKS, BLER_TABLE, REPORTS, Feedback, LinkKnowledge
from qos.crosslayer.adaptation.link_estimate import HOLD_BLIND, LinkEstimate, LinkPrior

PRIOR_MEAN_SNR_DB, PRIOR_MEAN_DEVIATION_DB = 15.0, 10.0
PRIOR_DOPPLER_SLOTS, PRIOR_DOPPLER_DEVIATION = 0.01, 2.0
NOISES_DB = np.array([0.5, 1.0, 2.0])
GUESSED_PERIOD_SLOTS = 5
DEFAULT_SIZE = FilterSize(particles=1024)
WATCH_SLOTS = 64
"""Slots over which the period of the reports is watched before the estimate starts."""


class BlindBayesian:
    """As `Bayesian`, but with a wide prior in place of the topology's facts.

    Mean SNR, Doppler shift and report noise are learned from the reports; a report is new when its
    value changes, and the period is the shortest time between changes seen. How old a report is
    cannot be told from reports alone; it is taken to have waited in the same queue as an
    acknowledgement, plus half a period for its measurement.

    Parameters
    ----------
    knowledge
        What the policy is told; needs the table.
    size
        Particles and seed.
    """

    told: ClassVar[tuple[str, ...]] = (REPORTS, ACKS, BLER_TABLE)

    def __init__(self, knowledge: LinkKnowledge, size: FilterSize = DEFAULT_SIZE) -> None:
        assert knowledge.table is not None
        self._table, self._size = knowledge.table, size
        self._last = np.full(knowledge.users, np.nan, np.float32)
        self._heard_at: list[int] = []
        self._ack_delay = ACK_LEAD_SLOTS
        self._started_for = (GUESSED_PERIOD_SLOTS, ACK_LEAD_SLOTS)
        self._start()

    def _start(self) -> None:
        period, ack_delay = self._started_for
        users = self._last.size
        prior = LinkPrior(
            np.full(users, PRIOR_MEAN_SNR_DB),
            np.full(users, PRIOR_DOPPLER_SLOTS),
            PRIOR_MEAN_DEVIATION_DB,
            PRIOR_DOPPLER_DEVIATION,
            NOISES_DB,
            HOLD_BLIND,
        )
        self._estimate = LinkEstimate(prior, doppler_grid(), period)
        self._tracker = GainTracker(self._table, self._estimate, self._size, ack_delay + period // 2)

    @property
    def estimate(self) -> LinkEstimate:
        """What has been learned of each link."""
        return self._estimate

    def decide(self, slot: int, report_db: NDArray[np.float32] | None, feedback: Feedback | None) -> Modes:
        """Take in what is new, then return each user's best mode."""
        assert report_db is not None
        if feedback is not None:
            self._ack_delay = slot - feedback.slot
        is_new = report_db != self._last
        self._last = report_db
        if is_new.any():
            self._watch(slot)
            self._estimate.update(report_db)
        return self._tracker.step(slot, report_db, is_new, feedback)

    def _watch(self, slot: int) -> None:
        """Learn the period from the slots at which reports change; start anew if it was guessed wrong."""
        if slot > WATCH_SLOTS:
            return
        self._heard_at.append(slot)
        gaps = np.diff(self._heard_at)
        period = int(gaps[1:].min()) if gaps.size > 1 else GUESSED_PERIOD_SLOTS
        if gaps.size > 2 and (period, self._ack_delay) != self._started_for:
            self._started_for = (period, self._ack_delay)
            self._start()
