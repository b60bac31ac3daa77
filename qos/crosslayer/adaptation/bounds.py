"""What no policy can do: choices made with the true SNR, or with the error draw itself."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qos.crosslayer.adaptation.arrays import Modes
from qos.crosslayer.adaptation.contract import ACKS_AHEAD, BLER_TABLE, NO_TRANSMISSION, TRUE_SNR
from qos.crosslayer.adaptation.modetable import ModeTable
from qos.crosslayer.adaptation.trace import Trace

GENIE_TOLD = (TRUE_SNR, BLER_TABLE)
CLAIRVOYANT_TOLD = (TRUE_SNR, ACKS_AHEAD, BLER_TABLE)
CHUNK_CELLS = 1 << 20
"""Slots x users worked on at a time: bounds the memory, not the trace."""


def acknowledged(modes: Modes, trace: Trace, table: ModeTable) -> NDArray[np.bool_]:
    """Say which blocks arrive: those sent whose draw is at least their block error rate.

    `modes` has shape ``(slots, users)`` or that of one row of the trace's arrays.
    """
    out = np.empty(trace.snr_db.shape, dtype=bool)
    for rows in chunks(trace):
        rate = table.error_rate(modes[rows], trace.snr_db[rows])
        out[rows] = (modes[rows] >= 0) & (trace.ack_uniform[rows] >= rate)
    return out


def chunks(trace: Trace) -> list[slice]:
    """Cut the slots into pieces of at most `CHUNK_CELLS` slots x users."""
    rows = max(1, CHUNK_CELLS // trace.users)
    return [slice(start, min(start + rows, trace.slots)) for start in range(0, trace.slots, rows)]


def genie(trace: Trace, table: ModeTable) -> Modes:
    """Pick the mode of most expected bits at the true SNR; shape ``(slots, users)``."""
    best = np.argmax(table.expected_bits(), axis=0).astype(np.int8)
    return np.concatenate([best[table.grid_index(trace.snr_db[rows])] for rows in chunks(trace)])


def clairvoyant(trace: Trace, table: ModeTable) -> Modes:
    """Pick the largest block that will be acknowledged, idle if none; shape ``(slots, users)``."""
    out = np.full(trace.snr_db.shape, NO_TRANSMISSION, dtype=np.int8)
    order = np.argsort(table.tb_size_bits, kind="stable")
    for rows in chunks(trace):
        index = table.grid_index(trace.snr_db[rows])
        for mode in order:
            if table.usable[mode]:
                arrives = trace.ack_uniform[rows] >= table.block_error_rate[mode][index]
                out[rows][arrives] = mode
    return out
