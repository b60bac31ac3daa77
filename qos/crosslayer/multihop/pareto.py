"""The points that no other beats in three figures: a staircase over two of them, swept by the third."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qos.compiled import compiled

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]


def undominated(loss: Floats, delay: Floats, cost: Floats) -> Whole:
    """Find the points that no other equals or beats in all three (the first of equals stays), by rising cost.

    Parameters
    ----------
    loss, delay, cost
        Figures of each point, less is better, all of one length.
    """
    return _sweep(np.lexsort((delay, loss, cost)), loss, delay)


@compiled
def _sweep(order: Whole, loss: Floats, delay: Floats) -> Whole:
    # Along the staircase the loss rises and the delay falls; a point is beaten by some earlier (cheaper) one
    # if and only if it is by the last step whose loss is not above its own.
    kept = np.empty(len(order), dtype=np.int64)
    step_loss, step_delay = np.empty(len(order)), np.empty(len(order))
    count, steps = 0, 0
    for index in order:
        here_loss, here_delay = loss[index], delay[index]
        low, high = 0, steps
        while low < high:
            middle = (low + high) // 2
            if step_loss[middle] <= here_loss:
                low = middle + 1
            else:
                high = middle
        if low > 0 and step_delay[low - 1] <= here_delay:
            continue
        kept[count] = index
        count += 1
        start = low - 1 if low > 0 and step_loss[low - 1] == here_loss else low
        end = start
        while end < steps and step_delay[end] >= here_delay:
            end += 1
        shift = start + 1 - end
        if shift > 0:
            for place in range(steps, start, -1):
                step_loss[place], step_delay[place] = step_loss[place - 1], step_delay[place - 1]
        elif shift < 0:
            for place in range(end, steps):
                step_loss[place + shift], step_delay[place + shift] = step_loss[place], step_delay[place]
        step_loss[start], step_delay[start] = here_loss, here_delay
        steps += shift
    return kept[:count]
