"""The outer loop: an offset on the reported SNR that acknowledgements move towards an error target."""

from __future__ import annotations

from collections import deque
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from qos.crosslayer.adaptation.arrays import Modes
from qos.crosslayer.adaptation.contract import ACKS, BLER_TABLE, REPORTS, Feedback, LinkKnowledge
from qos.crosslayer.adaptation.inner_loop import check_target, highest_meeting
from qos.crosslayer.adaptation.modetable import ModeTable
from qos.crosslayer.adaptation.outer_loop_kernel import MISSING, OuterLoopRule, Single, outer_loop_slot
from qos.errors import ValueRefusedError


def compile_rule(table: ModeTable, rule: OuterLoopRule) -> tuple[Modes, Modes, Single]:
    """Turn a rule into what the compiled loop reads: choice and fallback per grid point, numbers.

    Raises
    ------
    ValueRefusedError
        If a number is out of range or the table's SNR points are not evenly spaced.
    """
    check_target(rule.target)
    if not 0 < rule.step_db < np.inf:
        raise ValueRefusedError(f"step {rule.step_db:g}: an outer loop's step must be more than 0 dB")
    if not 0 < rule.silent_above <= 1:
        raise ValueRefusedError(f"silent_above {rule.silent_above:g}: must be more than 0, at most 1")
    if table.grid_step_db is None:
        raise ValueRefusedError("an outer loop needs a table whose SNR points are evenly spaced")
    choice = highest_meeting(table, rule.target)
    lowest = int(np.argmax(table.usable))
    hopeless = table.block_error_rate[lowest] > rule.silent_above
    fallback = np.where(hopeless, -1, lowest).astype(np.int8)
    down = rule.step_db * rule.target / (1 - rule.target)
    numbers = (
        table.snr_grid_db[0], 1 / table.grid_step_db, rule.step_db, down,
        -rule.limit_db, rule.limit_db, float(rule.anti_windup),
    )  # fmt: skip
    return choice, fallback, np.array(numbers, dtype=np.float32)


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
        self._choice, self._fallback, self._rule = compile_rule(knowledge.table, rule)
        users = knowledge.users
        self._offset_db = np.zeros(users, dtype=np.float32)
        self._nothing = np.full(users, MISSING, dtype=np.int8)
        self._false = np.zeros(users, dtype=np.bool_)
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
        fed_mode, fed_ack, fed_saturated = self._nothing, self._false, self._false
        if feedback is not None:
            fed_mode, fed_ack = feedback.mode, feedback.acknowledged
            fed_saturated = self._saturated.popleft()
        modes = np.empty_like(fed_mode)
        saturated = np.empty_like(fed_ack)
        outer_loop_slot(
            self._offset_db, report_db, fed_mode, fed_ack, fed_saturated,
            self._choice, self._fallback, self._rule, modes, saturated,
        )  # fmt: skip
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
