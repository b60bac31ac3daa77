"""Per-flow buffer limit policies, driven by polled counters."""

from schedulers.packet.limits.contract import FlowCounters, LimitPolicy, QueueContext
from schedulers.packet.limits.registry import (
    DEFAULT_POLICY,
    check_policy,
    first_limit_bytes,
    make_policy,
    policy_names,
)

__all__ = [
    "DEFAULT_POLICY",
    "FlowCounters",
    "LimitPolicy",
    "QueueContext",
    "check_policy",
    "first_limit_bytes",
    "make_policy",
    "policy_names",
]
