"""The outer loop: an offset on the reported SNR that acknowledgements move towards an error target."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from qos.crosslayer.adaptation.arrays import Modes
from qos.crosslayer.adaptation.contract import ACKS, BLER_TABLE, REPORTS, Feedback, LinkKnowledge
from qos.crosslayer.adaptation.inner_loop import check_target, highest_meeting
from qos.crosslayer.adaptation.modetable import ModeTable
from qos.crosslayer.adaptation.outer_loop_kernel import (
    MISSING,
    LoopFeedback,
    LoopTables,
    OuterLoopRule,
    Single,
    outer_loop_block,
    outer_loop_slot,
)
from qos.errors import ValueRefusedError

MOST_POINTS = 100_000


def evenly_spaced(table: ModeTable) -> ModeTable:
    """Return the table on evenly spaced SNR points, each with the rates of the nearest point it had."""
    if table.grid_step_db is not None:
        return table
    low, high = table.snr_grid_db[0], table.snr_grid_db[-1]
    step = max(float(np.diff(table.snr_grid_db).min()), (high - low) / MOST_POINTS)
    grid = np.arange(low, high + step / 2, step)
    return replace(
        table, snr_grid_db=grid, block_error_rate=table.block_error_rate[:, table.grid_index(grid)]
    )


def compile_rule(table: ModeTable, rule: OuterLoopRule) -> LoopTables:
    """Turn a rule and a mode table into what the compiled loop reads.

    Raises
    ------
    ValueRefusedError
        If a number is out of range.
    """
    check_target(rule.target)
    if not 0 < rule.step_db < np.inf:
        raise ValueRefusedError(f"step {rule.step_db:g}: an outer loop's step must be more than 0 dB")
    if not 0 < rule.silent_above <= 1:
        raise ValueRefusedError(f"silent_above {rule.silent_above:g}: must be more than 0, at most 1")
    table = evenly_spaced(table)
    assert table.grid_step_db is not None
    choice = highest_meeting(table, rule.target)
    lowest = int(np.argmax(table.usable))
    hopeless = table.block_error_rate[lowest] > rule.silent_above
    fallback = np.where(hopeless, -1, lowest).astype(np.int8)
    down = rule.step_db * rule.target / (1 - rule.target)
    numbers = (
        table.snr_grid_db[0], 1 / table.grid_step_db, rule.step_db, down,
        -rule.limit_db, rule.limit_db, float(rule.anti_windup),
    )  # fmt: skip
    rates = table.block_error_rate.astype(np.float32)
    return LoopTables(choice, fallback, rates, np.array(numbers, dtype=np.float32))


class PlainOuterLoop:
    """The outer loop as published, decision for decision that of Sionna SYS.

    Parameters
    ----------
    knowledge
        What the policy is told; needs the table.
    rule
        The numbers of the loop.
    """

    told: ClassVar[tuple[str, ...]] = (REPORTS, ACKS, BLER_TABLE)

    def __init__(self, knowledge: LinkKnowledge, rule: OuterLoopRule = OuterLoopRule()) -> None:  # noqa: B008
        assert knowledge.table is not None
        self._tables = compile_rule(knowledge.table, rule)
        users = knowledge.users
        self._offset_db = np.zeros(users, dtype=np.float32)
        false = np.zeros(users, dtype=np.bool_)
        self._nothing = LoopFeedback(np.full(users, MISSING, dtype=np.int8), false, false)
        self._saturated: deque[NDArray[np.bool_]] = deque()

    @property
    def offset_db(self) -> Single:
        """The offset of each user in dB, shape ``(users,)``."""
        return self._offset_db

    def decide(
        self,
        slot: int,  # noqa: ARG002
        report_db: NDArray[np.float32] | None,
        feedback: Feedback | None,
    ) -> Modes:
        """Move the offsets, then return each user's highest mode that meets the target."""
        assert report_db is not None
        fed = self._nothing
        if feedback is not None:
            fed = LoopFeedback(feedback.mode, feedback.acknowledged, self._saturated.popleft())
        modes = np.empty_like(fed.mode)
        saturated = np.empty_like(fed.ack)
        outer_loop_slot(self._offset_db, report_db, fed, self._tables, modes, saturated)
        self._saturated.append(saturated)
        return modes


class OuterLoop(PlainOuterLoop):
    """The outer loop with anti-windup and the choice to stay silent.

    Where not even the lowest mode meets the target, a failure says nothing about the offset, so it
    stays; where the lowest mode would fail with more than `silent_above`, nothing is sent and the
    offset sinks towards 0 so that silence ends.
    """

    DEFAULT: ClassVar[OuterLoopRule] = OuterLoopRule(step_db=0.1, anti_windup=True, silent_above=0.9)

    def __init__(self, knowledge: LinkKnowledge, rule: OuterLoopRule = DEFAULT) -> None:
        super().__init__(knowledge, rule)


class OuterLoopRun:
    """An outer loop with its error draw over `users`, run block by block: for large simulations.

    Cost is linear in slots x users; memory is that of a block, so a long run is fed in pieces.

    Parameters
    ----------
    table
        The modes; unevenly spaced SNR points are replaced by even ones (`evenly_spaced`).
    rule
        The numbers of the loop.
    users
        Number of users.
    ack_delay_slots
        Slots until a block's acknowledgement is known, at least 1.
    """

    def __init__(self, table: ModeTable, rule: OuterLoopRule, users: int, ack_delay_slots: int) -> None:
        if ack_delay_slots < 1:
            raise ValueRefusedError(f"acknowledgement delay {ack_delay_slots}: must be at least 1 slot")
        self._tables = compile_rule(table, rule)
        self.offset_db = np.zeros(users, dtype=np.float32)
        shape = (ack_delay_slots, users)
        self._history = LoopFeedback(
            np.full(shape, MISSING, dtype=np.int8),
            np.zeros(shape, dtype=np.bool_),
            np.zeros(shape, dtype=np.bool_),
        )

    def run(self, report_db: Single, snr_db: Single, uniform: Single) -> tuple[Modes, NDArray[np.bool_]]:
        """Run a block; return modes and acknowledgements.

        Parameters
        ----------
        report_db, snr_db, uniform
            Reports, true SNR and draws in [0, 1), float32, shape ``(slots, users)``, as in `Trace`.
        """
        modes = np.empty(report_db.shape, dtype=np.int8)
        acks = np.empty(report_db.shape, dtype=np.bool_)
        outer_loop_block(self.offset_db, report_db, snr_db, uniform, self._history, self._tables, modes, acks)
        return modes, acks
