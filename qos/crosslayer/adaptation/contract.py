"""The contract of a link adaptation policy: reports and acknowledgements in, modes out.

A policy decides slot by slot for many users at once and is handed only what is known at that slot,
so a causal decision needs no discipline: the future is not there to be looked at. What it is told
about the link beforehand is a `LinkKnowledge` whose other fields are None.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from qos.crosslayer.adaptation.arrays import Float, Modes
from qos.crosslayer.adaptation.modetable import ModeTable
from qos.crosslayer.adaptation.trace import Trace

REPORTS = "reports"
ACKS = "acks"
MEAN_SNR = "mean_snr"
DOPPLER = "doppler"
REPORT_AGE = "report_age"
REPORT_NOISE = "report_noise"
BLER_TABLE = "bler_table"
TRUE_SNR = "true_snr"
ACKS_AHEAD = "acks_ahead"

TOLD_WORDS = (
    REPORTS, ACKS, MEAN_SNR, DOPPLER, REPORT_AGE, REPORT_NOISE, BLER_TABLE, TRUE_SNR, ACKS_AHEAD,
)  # fmt: skip
"""What a policy may be told; the last two only for the bounds."""

NO_TRANSMISSION = -1
"""The mode of a slot that is left idle."""


@dataclass(frozen=True, slots=True)
class LinkKnowledge:
    """What a policy is told once; None where it is not told.

    Attributes
    ----------
    users
        Number of users.
    tb_size_bits
        Bits of a block of each mode, shape ``(M,)``: every sender knows what it sends.
    usable
        Modes that exist, shape ``(M,)``.
    table
        The block error rates, or None.
    mean_snr_db, doppler_slots
        Mean SNR in dB and Doppler shift times slot length, shape ``(users,)``, or None.
    report_age_slots, report_period_slots
        Age of a report when it first comes, and slots between reports, or None.
    report_noise_db
        Standard deviation of a report's error in dB, or None.
    """

    users: int
    tb_size_bits: NDArray[np.int64]
    usable: NDArray[np.bool_]
    table: ModeTable | None = None
    mean_snr_db: Float | None = None
    doppler_slots: Float | None = None
    report_age_slots: int | None = None
    report_period_slots: int | None = None
    report_noise_db: float | None = None


@dataclass(frozen=True, slots=True)
class Feedback:
    """What came of one earlier slot, known now.

    Attributes
    ----------
    slot
        The slot that this is about.
    mode
        Mode sent then, shape ``(users,)``; -1 where nothing was sent.
    acknowledged
        True where the block arrived, shape ``(users,)``; False where nothing was sent.
    """

    slot: int
    mode: Modes
    acknowledged: NDArray[np.bool_]


class LinkPolicy(Protocol):
    """Picks each user's mode, slot by slot."""

    told: ClassVar[tuple[str, ...]]
    """What the policy uses, in words of `TOLD_WORDS`."""

    def decide(self, slot: int, report_db: NDArray[np.float32] | None, feedback: Feedback | None) -> Modes:
        """Return the mode of each user in this slot, shape ``(users,)``; -1 to stay silent.

        Parameters
        ----------
        slot
            Number of the slot; slots come in order, each once.
        report_db
            The last report of each user in dB, shape ``(users,)``; None for a policy without reports.
        feedback
            The newest acknowledgements, None while there are none or for a policy without them.
        """
        ...


def knowledge_for(told: tuple[str, ...], trace: Trace, table: ModeTable) -> LinkKnowledge:
    """Give of a trace's facts those that a policy is told, and no others."""
    aged = REPORT_AGE in told
    return LinkKnowledge(
        users=trace.users,
        tb_size_bits=table.tb_size_bits,
        usable=table.usable,
        table=table if BLER_TABLE in told else None,
        mean_snr_db=trace.mean_snr_db if MEAN_SNR in told else None,
        doppler_slots=trace.fd_hz * trace.slot_s if DOPPLER in told else None,
        report_age_slots=trace.cqi_delay_slots if aged else None,
        report_period_slots=trace.cqi_period_slots if aged else None,
        report_noise_db=trace.cqi_noise_std_db if REPORT_NOISE in told else None,
    )
