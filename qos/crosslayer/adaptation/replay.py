"""Run a policy over a trace by the rules, and score any decisions by the same rules.

Score
-----
A block arrives where ``ack_uniform >= block error rate`` at the true SNR (nearest point of the table,
clamped at its ends). Spectral efficiency is the mean over all slots and users, idle slots included,
of the bits that arrived over the resource elements of a block; the block error rate counts the slots
in which something was sent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qos.crosslayer.adaptation.arrays import Modes
from qos.crosslayer.adaptation.bounds import acknowledged
from qos.crosslayer.adaptation.contract import ACKS, REPORTS, Feedback, LinkPolicy
from qos.crosslayer.adaptation.modetable import ModeTable
from qos.crosslayer.adaptation.ontime import TrafficCase, on_time_ratio
from qos.crosslayer.adaptation.trace import Trace
from qos.errors import InputError


def replay(
    policy: LinkPolicy,
    trace: Trace,
    table: ModeTable,
    progress: Callable[[int], None] | None = None,
) -> Modes:
    """Let `policy` decide slot by slot; return its modes, shape ``(slots, users)``.

    Parameters
    ----------
    policy
        A fresh policy; it is handed a slot's report and, `ack_delay_slots` later, what came of it.
    trace, table
        The channel and the modes.
    progress
        Called with the number of slots done since the last call.
    """
    modes = np.empty(trace.snr_db.shape, dtype=np.int8)
    arrived = np.zeros(trace.snr_db.shape, dtype=bool)
    rates = table.block_error_rate
    hears_acks, hears_reports = ACKS in policy.told, REPORTS in policy.told
    said = 0
    for slot in range(trace.slots):
        feedback = None
        past = slot - trace.ack_delay_slots
        if hears_acks and past >= 0:
            feedback = Feedback(past, modes[past].copy(), arrived[past].copy())
        report_db = trace.cqi_db[slot].copy() if hears_reports else None
        row = policy.decide(slot, report_db, feedback)
        modes[slot] = row
        index = table.grid_index(trace.snr_db[slot])
        arrived[slot] = (row >= 0) & (trace.ack_uniform[slot] >= rates[np.maximum(row, 0), index])
        if progress is not None and slot % 200 == 199:
            progress(slot + 1 - said)
            said = slot + 1
    if progress is not None:
        progress(trace.slots - said)
    return modes


@dataclass(frozen=True, slots=True)
class Score:
    """How decisions did on a trace.

    Attributes
    ----------
    bler
        Share of the blocks sent that failed; 0 where none was sent.
    spectral_efficiency
        Bits that arrived per resource element, over all slots.
    spectral_efficiency_by_doppler
        The same for the users of each Doppler shift in Hz.
    on_time
        Share of packets delivered on time, by load and deadline (``"0.5/30"``).
    """

    bler: float
    spectral_efficiency: float
    spectral_efficiency_by_doppler: dict[str, float]
    on_time: dict[str, float]


def check_decisions(modes: NDArray[np.integer], trace: Trace, table: ModeTable) -> None:
    """Refuse decisions of another shape than the trace's, or of modes that do not exist.

    Raises
    ------
    InputError
        With what is wrong.
    """
    if modes.shape != trace.snr_db.shape:
        raise InputError(f"decisions have shape {modes.shape}; the trace has {trace.snr_db.shape}")
    if modes.min() < -1 or modes.max() >= table.modes:
        raise InputError(
            f"decisions hold modes {modes.min()} to {modes.max()}; known: -1 to {table.modes - 1}"
        )


def score(
    modes: Modes, trace: Trace, table: ModeTable, cases: tuple[TrafficCase, ...], genie_modes: Modes
) -> Score:
    """Score decisions of shape ``(slots, users)``; `genie_modes` set the load that 1 means.

    Raises
    ------
    InputError
        If the decisions do not fit the trace.
    """
    check_decisions(modes, trace, table)
    arrived = acknowledged(modes, trace, table)
    bits = np.where(arrived, table.tb_size_bits[np.maximum(modes, 0)], 0)
    sent = int(np.count_nonzero(modes >= 0))
    per_user = bits.mean(axis=0) / table.num_re
    genie_bits = np.where(
        acknowledged(genie_modes, trace, table), table.tb_size_bits[np.maximum(genie_modes, 0)], 0
    )
    return Score(
        bler=(sent - int(np.count_nonzero(arrived))) / sent if sent else 0.0,
        spectral_efficiency=float(per_user.mean()),
        spectral_efficiency_by_doppler={
            str(float(fd)): float(per_user[trace.fd_hz == fd].mean()) for fd in np.unique(trace.fd_hz)
        },
        on_time={case.key: on_time_ratio(bits, genie_bits, trace, case) for case in cases},
    )
