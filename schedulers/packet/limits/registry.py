"""Policies by the names that users write: ``sawtooth``, ``fixed:30kb``."""

from __future__ import annotations

import difflib

from qos.errors import ValueRefusedError
from qos.units import parse_size
from schedulers.packet.limits.contract import LimitPolicy, QueueContext
from schedulers.packet.limits.fixed import Fixed
from schedulers.packet.limits.sawtooth import Sawtooth

DEFAULT_POLICY = "sawtooth"
"""The best policy that is shipped."""

MAX_FIXED_LIMIT_BYTES = 2**31 - 1

_SPELLINGS = ("fixed:SIZE", "sawtooth")


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


def check_policy(spelling: str) -> None:
    """Refuse a policy that `make_policy` could not make.

    Raises
    ------
    ValueRefusedError
        If the name is unknown or its argument malformed.
    """
    name, colon, _ = spelling.partition(":")
    known = [entry.partition(":")[0] for entry in _SPELLINGS]
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueRefusedError(f"unknown policy {spelling!r}; known: {', '.join(_SPELLINGS)}{hint}")
    if name != "fixed" and colon:
        raise ValueRefusedError(f"policy {name!r} takes no argument; got {spelling!r}")
    fixed_limit_bytes(spelling)


def make_policy(spelling: str, context: QueueContext) -> LimitPolicy:
    """Make the policy that a user named, for one queue.

    Raises
    ------
    ValueRefusedError
        If the name is unknown or its argument malformed.
    """
    check_policy(spelling)
    limit_bytes = fixed_limit_bytes(spelling)
    if limit_bytes is not None:
        return Fixed(context, limit_bytes)
    return Sawtooth(context)
