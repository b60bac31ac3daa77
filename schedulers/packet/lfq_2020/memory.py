"""Where `lfq-2020` keeps what it knows of a flow: places in a row of float64, and sizes of its network."""

from __future__ import annotations

SCALES = 10
"""EWMAs a group, with weights 2^-5 to 2^-14 (k = 1..10: 2^-(4+k))."""
FIRST_SHIFT = 5
INPUTS = 60
HIDDEN = 256

# First places of the six groups of EWMAs, in the order of the input vector.
QUEUE = 0
VARIANCE = 10
LIMIT = 20
ARRIVAL = 30
DEPARTURE = 40
LOSS_AGE = 50
LAST_ARRIVAL_S = 60
LAST_DEPARTURE_S = 61
LAST_LOSS_S = 62
ARRIVALS = 63
DEPARTURES = 64
COUNTER = 65
"""Arrivals so far, as the timing of decisions counts them."""

EXPERIMENT = 66
"""-1 or 1: at the next decision try one packet less or more, and keep that; 0: no experiment."""
FROZEN = 67
EXPERIMENT_START_S = 68
EXPERIMENT_LIMIT = 69
"""The limit tried."""
SENT_BEFORE_BYTES = 70
AREA_BEFORE = 71
"""Packet-seconds of backlog before the experiment."""
AREA = 72
AREA_UNTIL_S = 73
EXPERIMENT_INPUTS = 74
"""The input vector at the experiment, `INPUTS` places."""
WIDTH = EXPERIMENT_INPUTS + INPUTS

DECISION_EVERY = 10
SMALLEST_LIMIT, LARGEST_LIMIT = 1, 1000

HIDDEN_1 = 0
BIAS_1 = HIDDEN_1 + INPUTS * HIDDEN
HIDDEN_2 = BIAS_1 + HIDDEN
BIAS_2 = HIDDEN_2 + HIDDEN * HIDDEN
HIDDEN_3 = BIAS_2 + HIDDEN
BIAS_3 = HIDDEN_3 + HIDDEN * HIDDEN
OUTPUT = BIAS_3 + HIDDEN
OUTPUT_BIAS = OUTPUT + HIDDEN
PARAMETERS = OUTPUT_BIAS + 1
"""Numbers in the network: 147,457. Matrices are stored with a row an input."""
