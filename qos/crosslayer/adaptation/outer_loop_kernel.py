"""The outer loop compiled: one slot of many users, and blocks of slots with their error draw.

All arrays of users are contiguous, so a block's cost is linear in slots x users and its memory is
that of the block.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qos.compiled import compiled
from qos.crosslayer.adaptation.arrays import Modes
from qos.crosslayer.adaptation.modetable import ModeTable

Single = NDArray[np.float32]

MISSING, UNSENT = -2, -1
"""A slot without feedback; a slot in which nothing was sent."""


@compiled
def outer_loop_slot(
    offset: Single,
    report_db: Single,
    fed_mode: Modes,
    fed_ack: NDArray[np.bool_],
    fed_saturated: NDArray[np.bool_],
    choice: Modes,
    fallback: Modes,
    rule: Single,
    modes: Modes,
    saturated: NDArray[np.bool_],
) -> None:
    """Move the offsets by the feedback, then pick modes into `modes`.

    `choice` is the highest mode that meets the target at each grid point (-1: none), `fallback` what
    is sent where none does (-1: silence); `rule` is (first grid point dB, 1/step, step up dB, step
    down dB, lowest offset dB, highest offset dB, 1 for anti-windup). With anti-windup a slot in which
    no mode met the target does not raise the offset, and a silent slot lets it sink towards 0.
    """
    start, per_db, up, down = rule[0], rule[1], rule[2], rule[3]
    low, high, anti = rule[4], rule[5], rule[6] > 0
    last = choice.size - 1
    for user in range(offset.size):
        value = offset[user]
        if fed_mode[user] >= 0:
            if fed_ack[user]:
                value -= down
            elif not (anti and fed_saturated[user]):
                value += up
        elif anti and fed_mode[user] == UNSENT and value > 0:
            value -= down
        value = min(max(value, low), high)
        offset[user] = value
        index = int(np.rint((report_db[user] - value - start) * per_db))
        index = min(max(index, 0), last)
        mode = choice[index]
        saturated[user] = mode < 0
        modes[user] = mode if mode >= 0 else fallback[index]


@compiled
def outer_loop_block(
    offset: Single,
    report_db: Single,
    snr_db: Single,
    uniform: Single,
    history_mode: Modes,
    history_ack: NDArray[np.bool_],
    history_saturated: NDArray[np.bool_],
    error_rate: Single,
    choice: Modes,
    fallback: Modes,
    rule: Single,
    modes: Modes,
    acks: NDArray[np.bool_],
) -> None:
    """Run `outer_loop_slot` and the error draw over a block of slots.

    `report_db`, `snr_db`, `uniform`, `modes` and `acks` have shape ``(slots, users)``; the three
    histories hold the last slots, one row for each slot of acknowledgement delay, oldest first, and
    are left so that the next block continues.
    """
    start, per_db = rule[0], rule[1]
    slots, users = report_db.shape
    delay, last = history_mode.shape[0], choice.size - 1
    for slot in range(slots):
        row = slot % delay
        outer_loop_slot(
            offset,
            report_db[slot],
            history_mode[row],
            history_ack[row],
            history_saturated[row],
            choice,
            fallback,
            rule,
            modes[slot],
            history_saturated[row],
        )
        for user in range(users):
            mode = modes[slot, user]
            index = int(np.rint((snr_db[slot, user] - start) * per_db))
            index = min(max(index, 0), last)
            acks[slot, user] = mode >= 0 and uniform[slot, user] >= error_rate[mode, index]
            history_mode[row, user] = mode
            history_ack[row, user] = acks[slot, user]
    turn = slots % delay
    if turn:
        for array in (history_mode,):
            array[:] = np.concatenate((array[turn:], array[:turn]))
        for flags in (history_ack, history_saturated):
            flags[:] = np.concatenate((flags[turn:], flags[:turn]))


@dataclass(frozen=True, slots=True)
class OuterLoopRule:
    """The numbers of an outer loop.

    Attributes
    ----------
    target
        Block error rate aimed at, in (0, 1).
    step_db
        Rise of the offset in dB after a failure; it sinks by ``step_db target / (1 - target)`` after
        a success (Sampath et al., VTC 1997; Pedersen et al., 2005).
    limit_db
        The offset stays within plus and minus this.
    anti_windup
        Failures that no mode could have avoided leave the offset alone.
    silent_above
        Stay silent where the lowest mode's error rate is above this; 1 never stays silent.
    """

    target: float = 0.1
    step_db: float = 1.0
    limit_db: float = 20.0
    anti_windup: bool = False
    silent_above: float = 1.0


class OuterLoopState:
    """State of an outer loop over `users`, run block by block (`run`).

    Parameters
    ----------
    table
        The modes; its SNR points must be evenly spaced.
    rule
        The numbers of the loop.
    users
        Number of users.
    ack_delay_slots
        Slots until a block's acknowledgement is known, at least 1.
    """

    def __init__(self, table: ModeTable, rule: OuterLoopRule, users: int, ack_delay_slots: int) -> None:
        from qos.crosslayer.adaptation.outer_loop import compile_rule

        self._choice, self._fallback, self._rule = compile_rule(table, rule)
        self._error_rate = table.block_error_rate.astype(np.float32)
        self.offset_db = np.zeros(users, dtype=np.float32)
        self._mode = np.full((ack_delay_slots, users), MISSING, dtype=np.int8)
        self._ack = np.zeros((ack_delay_slots, users), dtype=np.bool_)
        self._saturated = np.zeros((ack_delay_slots, users), dtype=np.bool_)

    def run(self, report_db: Single, snr_db: Single, uniform: Single) -> tuple[Modes, NDArray[np.bool_]]:
        """Run a block; arrays are ``(slots, users)`` float32, the modes and acknowledgements returned too."""
        modes = np.empty(report_db.shape, dtype=np.int8)
        acks = np.empty(report_db.shape, dtype=np.bool_)
        outer_loop_block(
            self.offset_db, report_db, snr_db, uniform, self._mode, self._ack, self._saturated,
            self._error_rate, self._choice, self._fallback, self._rule, modes, acks,
        )  # fmt: skip
        return modes, acks
