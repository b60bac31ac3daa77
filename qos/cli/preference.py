"""`--prefer` and `--alpha`: what the learned policy gives up delay or throughput for."""

from __future__ import annotations

import click

from qos.errors import ValueRefusedError

PREFERENCE = click.Choice(["latency", "balanced", "throughput"])


def with_preference(policy: str, prefer: str | None, alpha: float | None) -> str:
    """Write a preference into the spelling of a policy.

    Parameters
    ----------
    policy
        As the user spelled it; may be empty where nothing is polled.
    prefer, alpha
        The flags; None where not given.

    Raises
    ------
    ValueRefusedError
        If both are given, or the policy is not lfq, or already says a preference itself.
    """
    if prefer is None and alpha is None:
        return policy
    flag = "--prefer" if alpha is None else "--alpha"
    if prefer is not None and alpha is not None:
        raise ValueRefusedError("--prefer and --alpha say the same thing; give one of them")
    if policy != "lfq":
        raise ValueRefusedError(f"{flag} is for the policy lfq, not {policy or 'a queue without a policy'!r}")
    return f"lfq:{prefer}" if alpha is None else f"lfq:{alpha:g}"
