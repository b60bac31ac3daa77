"""Policies by the names that users write: ``lfq``, ``lfq:latency``, ``sawtooth``, ``fixed:30kb``."""

from __future__ import annotations

import difflib
import logging
from pathlib import Path

from qos.errors import InputError, ValueRefusedError
from qos.units import parse_size
from schedulers.packet.limits.contract import LimitPolicy, QueueContext
from schedulers.packet.limits.fixed import Fixed
from schedulers.packet.limits.lfq.company import start_limit_bytes
from schedulers.packet.limits.lfq.online import Learner
from schedulers.packet.limits.lfq.policy import DEFAULT_PREFERENCE, PREFERENCES, Lfq, check_alpha
from schedulers.packet.limits.lfq.weights import SHIPPED, load_network
from schedulers.packet.limits.sawtooth import Sawtooth

DEFAULT_POLICY = "lfq"
"""The best policy that is shipped."""

LEARNER_SEED = 1
MAX_FIXED_LIMIT_BYTES = 2**31 - 1

_SPELLINGS = ("fixed:SIZE", "lfq", "lfq:latency|balanced|throughput|ALPHA", "sawtooth")
_LOG = logging.getLogger("qos.limits")


def policy_names() -> tuple[str, ...]:
    """Name every policy as the user spells it."""
    return _SPELLINGS


def fixed_limit_bytes(spelling: str) -> int | None:
    """Return the size in ``fixed:SIZE``, or None for a policy that is not fixed.

    Raises
    ------
    ValueRefusedError
        If the size is missing, malformed or out of range.
    """
    name, _, argument = spelling.partition(":")
    if name != "fixed":
        return None
    if not argument:
        raise ValueRefusedError("policy 'fixed' needs a size; write fixed:30kb")
    size = parse_size(argument)
    if not 1 <= size <= MAX_FIXED_LIMIT_BYTES:
        raise ValueRefusedError(f"policy {spelling!r}: the size must be at least 1 byte and below 2 GiB")
    return size


def lfq_alpha(spelling: str) -> float | None:
    """Return the price of delay in ``lfq``, ``lfq:PREFERENCE`` or ``lfq:ALPHA``; None for another policy.

    Raises
    ------
    ValueRefusedError
        If the preference is unknown or alpha out of range.
    """
    name, colon, argument = spelling.partition(":")
    if name != "lfq":
        return None
    if not colon:
        return PREFERENCES[DEFAULT_PREFERENCE]
    if argument in PREFERENCES:
        return PREFERENCES[argument]
    try:
        alpha = float(argument)
    except ValueError:
        near = difflib.get_close_matches(argument, PREFERENCES, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueRefusedError(
            f"policy {spelling!r}: neither a preference ({', '.join(PREFERENCES)}) nor an alpha{hint}"
        ) from None
    check_alpha(alpha)
    return alpha


def first_limit_bytes(spelling: str, rate_bps: int, mtu_bytes: int) -> int | None:
    """Return the limit that a policy wants for a queue before it has seen anything; None: any.

    Raises
    ------
    ValueRefusedError
        If the policy is refused by `check_policy`.
    """
    alpha = lfq_alpha(spelling)
    if alpha is None:
        return fixed_limit_bytes(spelling)
    try:
        network = load_network(SHIPPED)
    except InputError:
        return None
    return int(start_limit_bytes(network.start, rate_bps, alpha, mtu_bytes))


def check_policy(spelling: str) -> None:
    """Refuse a policy that `make_policy` could not make.

    Raises
    ------
    ValueRefusedError
        If the name is unknown or its argument malformed.
    """
    name, colon, _ = spelling.partition(":")
    known = list(dict.fromkeys(entry.partition(":")[0] for entry in _SPELLINGS))
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueRefusedError(f"unknown policy {spelling!r}; known: {', '.join(_SPELLINGS)}{hint}")
    if name == "sawtooth" and colon:
        raise ValueRefusedError(f"policy {name!r} takes no argument; got {spelling!r}")
    fixed_limit_bytes(spelling)
    lfq_alpha(spelling)


def make_policy(
    spelling: str, context: QueueContext, weights: Path = SHIPPED, *, learn: bool = False
) -> LimitPolicy:
    """Make the policy that a user named, for one queue.

    Weights of ``lfq`` that cannot be used are reported in the log, and `sawtooth`, the safe rule, is made
    instead: a queue never stays without a policy.

    Parameters
    ----------
    spelling
        As the user wrote it.
    context
        The queue.
    weights
        The file with the weights of ``lfq``.
    learn
        ``lfq`` goes on learning on the flows that it sees; see `schedulers.packet.limits.lfq.online`.

    Raises
    ------
    ValueRefusedError
        If the name is unknown or its argument malformed.
    """
    check_policy(spelling)
    limit_bytes = fixed_limit_bytes(spelling)
    if limit_bytes is not None:
        return Fixed(context, limit_bytes)
    alpha = lfq_alpha(spelling)
    if alpha is not None:
        try:
            learner = Learner(context.slots, alpha, LEARNER_SEED) if learn else None
            return Lfq(context, load_network(weights), alpha, learner)
        except InputError as problem:
            _LOG.warning("%s; the policy sawtooth is used instead", problem)
    return Sawtooth(context)
