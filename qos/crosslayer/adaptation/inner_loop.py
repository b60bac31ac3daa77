"""The inner loop: the highest mode whose error rate at the reported SNR meets a target."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from qos.crosslayer.adaptation.arrays import Modes
from qos.crosslayer.adaptation.contract import BLER_TABLE, REPORTS, Feedback, LinkKnowledge
from qos.crosslayer.adaptation.modetable import ModeTable
from qos.errors import ValueRefusedError


def check_target(target: float) -> float:
    """Return a block error target, refused where it is not between 0 and 1."""
    if not 0 < target < 1:
        raise ValueRefusedError(f"target {target:g}: a block error target lies between 0 and 1")
    return target


def highest_meeting(table: ModeTable, target: float) -> Modes:
    """Return the highest mode that meets `target` at each grid point, -1 where none does; shape ``(G,)``."""
    meets = (table.block_error_rate <= target) & table.usable[:, None]
    last = table.modes - 1 - np.argmax(meets[::-1], axis=0)
    return np.where(meets.any(axis=0), last, -1).astype(np.int8)


class InnerLoop:
    """Believes the report as it is, however old; the lowest mode where none meets the target.

    The same choice as the inner loop of Sionna SYS (`InnerLoopLinkAdaptation`).

    Parameters
    ----------
    knowledge
        What the policy is told; needs the table.
    target
        Block error rate that a mode may have at the reported SNR, in (0, 1).
    """

    told: ClassVar[tuple[str, ...]] = (REPORTS, BLER_TABLE)

    def __init__(self, knowledge: LinkKnowledge, target: float = 0.1) -> None:
        assert knowledge.table is not None
        self._table = knowledge.table
        lowest = np.int8(np.argmax(knowledge.table.usable))
        choice = highest_meeting(knowledge.table, check_target(target))
        self._choice = np.where(choice >= 0, choice, lowest).astype(np.int8)

    def decide(
        self,
        slot: int,  # noqa: ARG002
        report_db: NDArray[np.float32] | None,
        feedback: Feedback | None,  # noqa: ARG002
    ) -> Modes:
        """Return each user's highest mode that meets the target."""
        assert report_db is not None
        choice: Modes = self._choice[self._table.grid_index(report_db)]
        return choice
