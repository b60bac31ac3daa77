"""What ``lfq`` learns on an interface: where it is kept, taken up again, and saved while the loop runs."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from qos.errors import InputError
from schedulers.packet.limits import LimitPolicy, QueueContext, make_policy
from schedulers.packet.limits.lfq.policy import Lfq
from schedulers.packet.limits.lfq.weights import SHIPPED, load_learned, load_network, save_network

log = logging.getLogger(__name__)
SAVE_S = 60.0
"""What was learned is saved this often, and when the loop ends."""


def default_weights(device: str) -> Path:
    """Give the file in which ``--learn`` keeps what it learns on a device.

    It stands in ``$STATE_DIRECTORY`` (systemd sets it), else in ``/var/lib/qos`` as root, else in
    ``$XDG_STATE_HOME/qos``.
    """
    named = os.environ.get("STATE_DIRECTORY")
    if named:
        return Path(named) / f"{device}.npz"
    if os.geteuid() == 0:
        return Path("/var/lib/qos") / f"{device}.npz"
    home = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(home) / "qos" / f"{device}.npz"


def check_weights(path: Path, *, learn: bool) -> None:
    """Refuse a file of weights that cannot be used, before anything changes.

    Parameters
    ----------
    path
        The file. To learn into, it need not be there yet.
    learn
        Whether it is learned into.

    Raises
    ------
    InputError
        If the file is damaged, of another version, or missing (without `learn`), or its directory cannot
        be made.
    """
    if not learn:
        load_network(path)
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise InputError(f"{path.parent}: {problem.strerror}; name another file with --weights") from None
    if path.exists():
        load_learned(path)


@dataclass(frozen=True, slots=True)
class WeightsChoice:
    """Which weights ``lfq`` uses on one tree.

    Attributes
    ----------
    path
        The file; None for the shipped ones.
    learn
        Whether it goes on learning, into `path`.
    """

    path: Path | None = None
    learn: bool = False

    def for_ingress(self) -> WeightsChoice:
        """Give that of the tree that shapes what comes in: what is learned there is kept apart."""
        if self.path is None or not self.learn:
            return self
        return WeightsChoice(self.path.with_name(f"{self.path.stem}-ingress{self.path.suffix}"), self.learn)

    def make_policy(self, spelling: str, context: QueueContext) -> LimitPolicy:
        """Make the policy of a tree, with what was learned before."""
        if not self.learn or self.path is None:
            return make_policy(spelling, context, self.path or SHIPPED)
        policy = make_policy(spelling, context, learn=True)
        if isinstance(policy, Lfq) and policy.learner is not None and self.path.exists():
            try:
                learned, standing = load_learned(self.path)
            except InputError as problem:
                log.warning("%s; learning begins anew", problem)
                return policy
            if not policy.learner.go_on_from(policy.network, learned, standing.learned_blocks):
                log.warning("%s: learned beside other weights than the shipped; it begins anew", self.path)
        return policy

    def save(self, policy: LimitPolicy) -> None:
        """Save what a policy has learned; a file that cannot be written never ends a loop."""
        if self.path is None or not isinstance(policy, Lfq) or policy.learner is None:
            return
        try:
            save_network(self.path, policy.learner.network(policy.network), policy.learner.standing)
        except InputError as problem:
            log.warning("%s", problem)
