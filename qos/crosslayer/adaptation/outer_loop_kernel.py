"""The outer loop compiled: one slot of many users, and blocks of slots with their error draw.

All arrays of users are contiguous, so a block's cost is linear in slots x users and its memory is
that of the block.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qos.compiled import compiled
from qos.crosslayer.adaptation.arrays import Modes

Single = NDArray[np.float32]

MISSING, UNSENT = -2, -1
"""A slot without feedback; a slot in which nothing was sent."""


class LoopTables(NamedTuple):
    """A rule and a mode table as the compiled loop reads them.

    Attributes
    ----------
    choice
        The highest mode that meets the target at each grid point, -1 where none does; shape ``(G,)``.
    fallback
        What is sent where none does, -1 for silence; shape ``(G,)``.
    error_rate
        Block error rate of each mode at each grid point, shape ``(M, G)``.
    numbers
        First grid point in dB, grid points per dB, step up, step down, lowest and highest offset in dB,
        1 for anti-windup.
    """

    choice: Modes
    fallback: Modes
    error_rate: Single
    numbers: Single


class LoopFeedback(NamedTuple):
    """What came of earlier slots; arrays of users, or a row a slot in a history.

    Attributes
    ----------
    mode
        Mode sent, `UNSENT` or `MISSING`.
    ack
        Whether the block arrived.
    saturated
        Whether no mode met the target when it was sent.
    """

    mode: Modes
    ack: NDArray[np.bool_]
    saturated: NDArray[np.bool_]


@compiled
def outer_loop_slot(
    offset: Single,
    report_db: Single,
    fed: LoopFeedback,
    tables: LoopTables,
    modes: Modes,
    saturated: NDArray[np.bool_],
) -> None:
    """Move the offsets by the feedback, then pick modes into `modes`.

    With anti-windup a failure in a slot in which no mode met the target does not raise the offset, and
    a silent slot lets it sink towards 0.
    """
    numbers = tables.numbers
    start, per_db, up, down = numbers[0], numbers[1], numbers[2], numbers[3]
    low, high, anti = numbers[4], numbers[5], numbers[6] > 0
    last = tables.choice.size - 1
    for user in range(offset.size):
        value = offset[user]
        if fed.mode[user] >= 0:
            if fed.ack[user]:
                value -= down
            elif not (anti and fed.saturated[user]):
                value += up
        elif anti and fed.mode[user] == UNSENT and value > 0:
            value -= down
        value = min(max(value, low), high)
        offset[user] = value
        index = int(np.rint((report_db[user] - value - start) * per_db))
        index = min(max(index, 0), last)
        mode = tables.choice[index]
        saturated[user] = mode < 0
        modes[user] = mode if mode >= 0 else tables.fallback[index]


@compiled
def outer_loop_block(
    offset: Single,
    report_db: Single,
    snr_db: Single,
    uniform: Single,
    history: LoopFeedback,
    tables: LoopTables,
    modes: Modes,
    acks: NDArray[np.bool_],
) -> None:
    """Run `outer_loop_slot` and the error draw over a block of slots.

    `report_db`, `snr_db`, `uniform`, `modes` and `acks` have shape ``(slots, users)``; `history` holds
    the last slots, one row for each slot of acknowledgement delay, oldest first, and is left so that
    the next block continues.
    """
    start, per_db = tables.numbers[0], tables.numbers[1]
    slots, users = report_db.shape
    delay, last = history.mode.shape[0], tables.choice.size - 1
    for slot in range(slots):
        row = slot % delay
        fed = LoopFeedback(history.mode[row], history.ack[row], history.saturated[row])
        outer_loop_slot(offset, report_db[slot], fed, tables, modes[slot], history.saturated[row])
        for user in range(users):
            mode = modes[slot, user]
            index = int(np.rint((snr_db[slot, user] - start) * per_db))
            index = min(max(index, 0), last)
            acks[slot, user] = mode >= 0 and uniform[slot, user] >= tables.error_rate[mode, index]
            history.mode[row, user] = mode
            history.ack[row, user] = acks[slot, user]
    turn = slots % delay
    if turn:
        history.mode[:] = np.concatenate((history.mode[turn:], history.mode[:turn]))
        history.ack[:] = np.concatenate((history.ack[turn:], history.ack[:turn]))
        history.saturated[:] = np.concatenate((history.saturated[turn:], history.saturated[:turn]))


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
