"""The place where a limit policy that decides at every packet hooks into the compiled queue.

A policy has a number (`QUEUE_DTYPE`'s `policy`) and three functions: before a packet is judged, after its
fate is known, after a packet departed. They may read and write the sub-queue's record (its
``limit_packets`` and ``limit_bytes``), one row of float64 memory of the sub-queue's own, and the
parameters that all share. See docs/simulate.md, "Limit policies".
"""

# mypy: disable-error-code="no-any-return"
# Compiled code reads records, whose fields the type checker does not know.
from __future__ import annotations

import numpy as np
from numba import carray  # type: ignore[attr-defined]

from qos.compiled import compiled, inlined
from schedulers.packet.layout import Record, Records
from schedulers.packet.lfq_2020 import policy as lfq_2020
from schedulers.packet.memory import address, queues, subqueues
from schedulers.packet.per_packet_names import NUMBERS

SHARE_OF_RATE = NUMBERS["share"]
LFQ_2020 = NUMBERS["lfq-2020"]

_FLOAT64 = np.float64


@inlined
def memory_of(root: Record, subqueue_index: int) -> Records:
    """View the memory of one sub-queue, float64, shape ``(memory_width,)``."""
    table = carray(address(root.memory), (root.memory_count, root.memory_width), _FLOAT64)
    return table[subqueue_index]


@inlined
def parameters_of(root: Record) -> Records:
    """View the parameters of the policies, float64, one dimension."""
    return carray(address(root.parameters), root.parameters_count, _FLOAT64)


@compiled
def before_admission(root: Record, queue_index: int, subqueue_index: int) -> None:
    """Let the policy look at an arrival and set the limit before the packet is judged."""
    policy = queues(root)[queue_index].policy
    if policy == SHARE_OF_RATE:
        _share_limit(root, subqueue_index)
    elif policy == LFQ_2020:
        memory = memory_of(root, subqueue_index)
        part = subqueues(root)[subqueue_index]
        lfq_2020.arrival(memory, parameters_of(root), part, root.now_ns * 1e-9)


@compiled
def after_fate(root: Record, queue_index: int, subqueue_index: int, dropped: bool) -> None:
    """Tell the policy what became of the arrival."""
    if queues(root)[queue_index].policy == LFQ_2020:
        lfq_2020.fate(memory_of(root, subqueue_index), dropped, root.now_ns * 1e-9)


@compiled
def after_departure(root: Record, queue_index: int, subqueue_index: int) -> None:
    """Tell the policy of a departure from its sub-queue."""
    policy = queues(root)[queue_index].policy
    if policy == SHARE_OF_RATE:
        _share_departure(root, subqueue_index)
    elif policy == LFQ_2020:
        before = subqueues(root)[subqueue_index].packets + 1
        lfq_2020.departure(memory_of(root, subqueue_index), before, root.now_ns * 1e-9)


@compiled
def _share_limit(root: Record, subqueue_index: int) -> None:
    """`share`: a flow may queue what it sends in `parameters[0]` s, at least `parameters[1]` packets."""
    gap_s = memory_of(root, subqueue_index)[0]
    if gap_s > 0.0:
        parameters = parameters_of(root)
        limit = max(parameters[0] / gap_s, parameters[1])
        subqueues(root)[subqueue_index].limit_packets = int(min(limit, 1e6))


@compiled
def _share_departure(root: Record, subqueue_index: int) -> None:
    """`share`: average the time between departures of a busy queue, with weight 1/32."""
    memory = memory_of(root, subqueue_index)
    now_s = root.now_ns * 1e-9
    if memory[1] > 0.0 and subqueues(root)[subqueue_index].packets > 0:
        gap_s = now_s - memory[1]
        memory[0] = gap_s if memory[0] == 0.0 else memory[0] + (gap_s - memory[0]) / 32.0
    memory[1] = now_s
