"""The baseline that adapts nothing: one mode for ever."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from qos.crosslayer.adaptation.arrays import Modes
from qos.crosslayer.adaptation.contract import Feedback, LinkKnowledge
from qos.errors import ValueRefusedError


class Fixed:
    """Sends one mode in every slot.

    Parameters
    ----------
    knowledge
        What the policy is told; only the number of users and the modes' sizes count.
    mode
        The mode; None takes the middle one of those that exist.

    Raises
    ------
    ValueRefusedError
        If there is no such mode.
    """

    told: ClassVar[tuple[str, ...]] = ()

    def __init__(self, knowledge: LinkKnowledge, mode: int | None = None) -> None:
        usable = np.nonzero(knowledge.usable)[0]
        if mode is None:
            mode = int(usable[usable.size // 2])
        if mode not in usable:
            raise ValueRefusedError(
                f"policy fixed: no mode {mode}; modes with an error rate: {usable[0]} to {usable[-1]}"
            )
        self._modes = np.full(knowledge.users, mode, dtype=np.int8)

    def decide(
        self,
        slot: int,  # noqa: ARG002
        report_db: NDArray[np.float32] | None,  # noqa: ARG002
        feedback: Feedback | None,  # noqa: ARG002
    ) -> Modes:
        """Return the one mode."""
        return self._modes
