"""`lfq-2020` as compiled code: features, network and timing of decisions of the LFQ paper and its code.

Source: arXiv 2007.02735, section III, and the authors' public code where the two differ (the code made the
published numbers): EWMA weights 2^-5 to 2^-14, decisions at every tenth arrival, rates read as zero until
the flow had 2^(4+k) packets in and out.
"""

# mypy: disable-error-code="no-any-return"
# Compiled code reads records, whose fields the type checker does not know.
from __future__ import annotations

import math

import numpy as np

from qos.compiled import compiled
from schedulers.packet.layout import Record, Records
from schedulers.packet.lfq_2020.memory import (
    AREA,
    AREA_BEFORE,
    AREA_UNTIL_S,
    ARRIVAL,
    ARRIVALS,
    BIAS_1,
    BIAS_2,
    BIAS_3,
    COUNTER,
    DECISION_EVERY,
    DEPARTURE,
    DEPARTURES,
    EXPERIMENT,
    EXPERIMENT_INPUTS,
    EXPERIMENT_LIMIT,
    EXPERIMENT_START_S,
    FIRST_SHIFT,
    FROZEN,
    HIDDEN,
    HIDDEN_1,
    HIDDEN_2,
    HIDDEN_3,
    INPUTS,
    LARGEST_LIMIT,
    LAST_ARRIVAL_S,
    LAST_DEPARTURE_S,
    LAST_LOSS_S,
    LIMIT,
    LOSS_AGE,
    OUTPUT,
    OUTPUT_BIAS,
    PARAMETERS,
    QUEUE,
    SCALES,
    SENT_BEFORE_BYTES,
    SMALLEST_LIMIT,
    VARIANCE,
)

LEAK = 0.01
QUEUE_UNIT = 100.0
AGE_UNIT_S = 10.0
RATE_UNIT = 10_000.0
_SINGLE = np.float32


@compiled
def _average(memory: Records, group: int, value: float) -> None:
    weight = 2.0**-FIRST_SHIFT
    for k in range(SCALES):
        memory[group + k] = weight * value + (1.0 - weight) * memory[group + k]
        weight *= 0.5


@compiled
def _layer(parameters: Records, weights: int, bias: int, inputs: Records, outputs: Records) -> None:
    """One layer with its leaky rectifier.

    The inner loop is a vector one over the outputs, for four inputs at once (60 and 256 are multiples), so
    that the outputs are read and written a quarter as often.
    """
    count = len(outputs)
    for j in range(count):
        outputs[j] = parameters[bias + j]
    for i in range(0, len(inputs), 4):
        start = weights + i * count
        a, b, c, d = inputs[i], inputs[i + 1], inputs[i + 2], inputs[i + 3]
        row_a = parameters[start : start + count]
        row_b = parameters[start + count : start + 2 * count]
        row_c = parameters[start + 2 * count : start + 3 * count]
        row_d = parameters[start + 3 * count : start + 4 * count]
        for j in range(count):
            outputs[j] += (a * row_a[j] + b * row_b[j]) + (c * row_c[j] + d * row_d[j])
    for j in range(count):
        if outputs[j] < 0.0:
            outputs[j] *= LEAK


@compiled
def evaluate(parameters: Records, inputs: Records) -> float:
    """Evaluate a network in the precision of its parameters: the limit wanted, in packets, not rounded."""
    first = np.empty(HIDDEN, parameters.dtype)
    second = np.empty(HIDDEN, parameters.dtype)
    _layer(parameters, HIDDEN_1, BIAS_1, inputs, first)
    _layer(parameters, HIDDEN_2, BIAS_2, first, second)
    _layer(parameters, HIDDEN_3, BIAS_3, second, first)
    total = parameters[OUTPUT_BIAS]
    for j in range(HIDDEN):
        total += parameters[OUTPUT + j] * first[j]
    return total


@compiled
def read_inputs(memory: Records) -> Records:
    """Read the 60 inputs: deviations as roots, intervals as rates once they have had enough packets."""
    inputs = np.empty(INPUTS)
    packets = min(memory[ARRIVALS], memory[DEPARTURES])
    for k in range(SCALES):
        inputs[k] = memory[QUEUE + k]
        inputs[10 + k] = math.sqrt(memory[VARIANCE + k])
        inputs[20 + k] = memory[LIMIT + k]
        enough = 2.0 ** (FIRST_SHIFT + k) <= packets
        arrival, departure = memory[ARRIVAL + k], memory[DEPARTURE + k]
        inputs[30 + k] = 1.0 / arrival / RATE_UNIT if enough and arrival != 0.0 else 0.0
        inputs[40 + k] = 1.0 / departure / RATE_UNIT if enough and departure != 0.0 else 0.0
        inputs[50 + k] = memory[LOSS_AGE + k]
    return inputs


@compiled
def _settle(memory: Records, packets: int, now_s: float) -> None:
    memory[AREA] += packets * (now_s - memory[AREA_UNTIL_S])
    memory[AREA_UNTIL_S] = now_s


@compiled
def _experiment(memory: Records, part: Record, inputs: Records, now_s: float) -> None:
    """Leave the path: one packet less or more than the limit in force, until the flow ends."""
    middle = min(max(part.limit_packets, SMALLEST_LIMIT + 1), LARGEST_LIMIT - 1)
    part.limit_packets = int(middle + memory[EXPERIMENT])
    memory[EXPERIMENT_LIMIT] = part.limit_packets
    memory[EXPERIMENT_START_S] = now_s
    memory[SENT_BEFORE_BYTES] = part.sent_bytes
    memory[AREA_BEFORE] = memory[AREA]
    memory[FROZEN] = 1.0
    for k in range(INPUTS):
        memory[EXPERIMENT_INPUTS + k] = inputs[k]


@compiled
def _decide(memory: Records, parameters: Records, part: Record, now_s: float) -> None:
    inputs = read_inputs(memory)
    if memory[EXPERIMENT] != 0.0:
        _experiment(memory, part, inputs, now_s)
        return
    if len(parameters) == PARAMETERS:
        wanted = evaluate(parameters, inputs)
    else:
        wanted = float(evaluate(parameters.view(_SINGLE), inputs.astype(_SINGLE)))
    rounded = math.floor(abs(wanted) + 0.5)
    part.limit_packets = int(min(max(rounded if wanted > 0.0 else -rounded, SMALLEST_LIMIT), LARGEST_LIMIT))
    _average(memory, LIMIT, part.limit_packets / QUEUE_UNIT)


@compiled
def arrival(memory: Records, parameters: Records, part: Record, now_s: float) -> None:
    """Take an arrival in, before it is judged, and decide where a decision is due.

    Once the limit is frozen the network is not asked again, so its inputs are kept no longer.
    """
    _settle(memory, part.packets, now_s)
    if memory[FROZEN] != 0.0:
        return
    backlog = part.packets / QUEUE_UNIT
    _average(memory, QUEUE, backlog)
    weight = 2.0**-FIRST_SHIFT
    for k in range(SCALES):
        deviation = memory[QUEUE + k] - backlog
        memory[VARIANCE + k] = weight * deviation * deviation + (1.0 - weight) * memory[VARIANCE + k]
        weight *= 0.5
    _average(memory, ARRIVAL, now_s - memory[LAST_ARRIVAL_S])
    memory[LAST_ARRIVAL_S] = now_s
    memory[ARRIVALS] += 1.0
    if memory[COUNTER] % DECISION_EVERY == 0:
        if memory[COUNTER] == 0.0:
            _decide(memory, parameters, part, now_s)  # the authors' code decides twice on a first arrival
        if memory[FROZEN] == 0.0:
            _decide(memory, parameters, part, now_s)
    memory[COUNTER] += 1.0


@compiled
def fate(memory: Records, dropped: bool, now_s: float) -> None:
    """Learn what became of the arrival."""
    if memory[FROZEN] != 0.0:
        return
    if dropped:
        memory[LAST_LOSS_S] = now_s
    _average(memory, LOSS_AGE, (now_s - memory[LAST_LOSS_S]) / AGE_UNIT_S)


@compiled
def departure(memory: Records, packets_before: int, now_s: float) -> None:
    """Take a departure in.

    Parameters
    ----------
    memory
        The flow's row.
    packets_before
        Backlog before the departure.
    now_s
        The time.
    """
    _settle(memory, packets_before, now_s)
    if memory[FROZEN] != 0.0:
        return
    _average(memory, DEPARTURE, now_s - memory[LAST_DEPARTURE_S])
    memory[LAST_DEPARTURE_S] = now_s
    memory[DEPARTURES] += 1.0
