"""The changes that `ruin` tries, many thousands a second (compiled).

A round takes a demand that was left out and some of its rivals out of the schedule, makes room and puts in
what fits. Room is made by sliding: in each period of the demand a moment is drawn, what begins before it
slides to the left, the rest to the right, each into the next gap, as in the justification of project
schedules (Valls, Ballestin and Quintanilla, Justification and RCPSP, Eur. J. Oper. Res. 165, 2005). So the
slots that are left over here and there become one gap. Places are found on bit masks of the starts at which
a task would meet another, from the ranges of `rival_table`.
"""

from __future__ import annotations

from math import exp
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from qos.compiled import compiled, inlined, released
from schedulers.entanglement.bitsets import Words, next_free, next_taken, take, word_count
from schedulers.entanglement.packing import IntArray
from schedulers.entanglement.rival_table import RivalTable

BoolArray = npt.NDArray[np.bool_]

MOST_RUINED = 8
MOST_TRIED = 200
"""Tasks that a round tries to put in."""

MOST_SLID = 48
"""Tasks that a round slides."""

STEADY_SHARE = 0.5
"""How often a task gets the same offset in every period where it can, in place of any free starts."""

ALL_ONE_WAY = 0.3
"""How often everything in a period slides to the left; as often, to the right."""

LOWEST, HIGHEST, EDGE = 0, 1, 2
"""Rules to pick one of the free starts: the first, the last, an end of some run of free starts."""

LOWEST_SHARE, HIGHEST_SHARE = 0.4, 0.2
"""How often a round picks by the first two rules."""

NO_LIMIT = -1

_FINENESS = 1024
_BEFORE_ALL = -(1 << 62)


class Ground(NamedTuple):
    """What does not change while a schedule does; times in slots, one row a task.

    Attributes
    ----------
    horizon
        Length of the schedule.
    period, exec_time, weight
        Of each task; `weight` is what admitting it is worth.
    jitter
        How far its offsets may lie apart, or `NO_LIMIT`.
    kept, same_offset
        Whether it must be admitted, and whether it must have the same offset in every period.
    instances_of
        ``instances_of[i] : instances_of[i + 1]`` are its instances in `State.start`.
    rivals
        Who meets whom.
    """

    horizon: int
    period: IntArray
    exec_time: IntArray
    weight: IntArray
    jitter: IntArray
    kept: BoolArray
    same_offset: BoolArray
    instances_of: IntArray
    rivals: RivalTable


class State(NamedTuple):
    """A schedule: which tasks are in, the start of each of their instances, and ``[value]``."""

    placed: BoolArray
    start: IntArray
    value: IntArray

    def copy(self) -> State:
        """Make an independent copy."""
        return State(self.placed.copy(), self.start.copy(), self.value.copy())


class Room(NamedTuple):
    """Arrays to work in, for one thread: masks of starts, tasks, instances, moments."""

    blocked: Words
    common: Words
    changed: IntArray
    among: IntArray
    instance: IntArray
    owner: IntArray
    begin: IntArray
    moment: IntArray


def new_room(ground: Ground) -> Room:
    """Make the arrays to work in."""
    words = word_count(ground.horizon)
    tasks, instances = ground.period.size, ground.instances_of[-1]
    return Room(
        np.zeros(words, dtype=np.uint64),
        np.zeros(words, dtype=np.uint64),
        np.empty(2 * tasks + MOST_SLID + MOST_RUINED, dtype=np.int64),
        np.empty(tasks + MOST_RUINED, dtype=np.int64),
        np.empty(instances, dtype=np.int64),
        np.empty(instances, dtype=np.int64),
        np.empty(instances, dtype=np.int64),
        np.empty(ground.horizon // ground.period.min() + 1, dtype=np.int64),
    )


@inlined
def _block(ground: Ground, state: State, task: int, blocked: Words) -> None:
    """Mark the starts at which a task would meet what is placed."""
    rivals = ground.rivals
    blocked[:] = np.uint64(0)
    for number in range(rivals.ranges_of[task], rivals.ranges_of[task + 1]):
        other = rivals.other[number]
        if not state.placed[other]:
            continue
        for instance in range(ground.instances_of[other], ground.instances_of[other + 1]):
            first = max(0, state.start[instance] - rivals.high[number] + 1)
            end = min(ground.horizon, state.start[instance] - rivals.low[number] + 1)
            if first < end:
                take(blocked, first, end)


@compiled
def _last_free(row: Words, begin: int, end: int) -> int:
    """Find the last free slot in ``[begin, end)``, or -1."""
    last = -1
    slot = next_free(row, begin)
    while slot < end:
        last = next_taken(row, slot, end) - 1
        slot = next_free(row, last + 1)
    return last


@compiled
def _edge(row: Words, begin: int, end: int, random: np.random.Generator) -> int:
    """Draw an end of a run of free slots in ``[begin, end)``: there a task lies next to another."""
    found, count = -1, 0
    slot = next_free(row, begin)
    while slot < end:
        after = next_taken(row, slot, end)
        count += 2
        draw = random.random() * count
        if draw < 1:
            found = slot
        elif draw < 2:
            found = after - 1
        slot = next_free(row, after)
    return found


@compiled
def _pick(row: Words, begin: int, end: int, rule: int, random: np.random.Generator) -> int:
    """Pick a free slot in ``[begin, end)`` by a rule; -1 if there is none."""
    if rule == EDGE:
        return _edge(row, begin, end, random)
    if rule == HIGHEST:
        return _last_free(row, begin, end)
    slot = next_free(row, begin)
    return slot if slot < end else -1


@compiled
def _fold(blocked: Words, common: Words, period: int, width: int, count: int, slack: int) -> None:
    """Mark the offsets from which some period has no free start within `slack` slots."""
    common[:] = np.uint64(0)
    for release in range(0, count * period, period):
        slot = next_taken(blocked, release, release + width)
        while slot < release + width:
            after = min(next_free(blocked, slot), release + width)
            end = after if after == release + width else after - slack
            if slot < end:
                take(common, slot - release, end - release)
            slot = next_taken(blocked, after, release + width)


@inlined
def _put(ground: Ground, state: State, task: int, rule: int, room: Room, random: np.random.Generator) -> bool:
    """Put a task where it fits, if it fits anywhere."""
    blocked, common = room.blocked, room.common
    _block(ground, state, task, blocked)
    period, width = ground.period[task], ground.period[task] - ground.exec_time[task] + 1
    first, count = ground.instances_of[task], ground.horizon // period
    for release in range(0, ground.horizon, period):
        if next_free(blocked, release) >= release + width:
            return False
    base, slack = -1, 0
    if count > 1 and (ground.same_offset[task] or random.random() < STEADY_SHARE):
        _fold(blocked, common, period, width, count, 0)
        base = _pick(common, 0, width, rule, random)
    if base < 0 and count > 1:
        if ground.same_offset[task]:
            return False
        if ground.jitter[task] != NO_LIMIT:
            slack = ground.jitter[task]
            _fold(blocked, common, period, width, count, slack)
            base = _pick(common, 0, width, rule, random)
            if base < 0:
                return False
    for number in range(count):
        release = number * period
        if base < 0:
            state.start[first + number] = _pick(blocked, release, release + width, rule, random)
        else:
            end = release + min(width, base + slack + 1)
            state.start[first + number] = _pick(blocked, release + base, end, rule, random)
    state.placed[task] = True
    state.value[0] += ground.weight[task]
    return True


@compiled
def _shuffle(tasks: IntArray, count: int, chosen: int, random: np.random.Generator) -> None:
    """Bring as many tasks as are to be chosen, drawn from the first `count`, to the front."""
    for place in range(min(chosen, count)):
        other = place + int(random.random() * (count - place))
        tasks[place], tasks[other] = tasks[other], tasks[place]


@compiled
def _draw_moments(ground: Ground, centre: int, moment: IntArray, random: np.random.Generator) -> None:
    period = ground.period[centre]
    for number in range(ground.horizon // period):
        draw = random.random()
        if draw < ALL_ONE_WAY:
            moment[number] = 0
        elif draw < 2 * ALL_ONE_WAY:
            moment[number] = ground.horizon
        else:
            moment[number] = number * period + int(random.random() * period)


@compiled
def _make_room(
    ground: Ground, state: State, centre: int, room: Room, changes: int, random: np.random.Generator
) -> int:
    """Slide the rivals of a task apart; say how many changes there are now."""
    rivals, among = ground.rivals, room.among
    count = 0
    for number in range(rivals.near_of[centre], rivals.near_of[centre + 1]):
        task = rivals.near[number]
        free = ground.jitter[task] == NO_LIMIT and not ground.same_offset[task]
        if state.placed[task] and (free or ground.period[task] == ground.horizon):
            among[count] = task
            count += 1
    slid = min(count, MOST_SLID)
    if slid < count:
        _shuffle(among, count, slid, random)
    size = 0
    for task in among[:slid]:
        room.changed[changes] = task
        changes += 1
        for instance in range(ground.instances_of[task], ground.instances_of[task + 1]):
            room.instance[size], room.owner[size] = instance, task
            room.begin[size] = state.start[instance]
            size += 1
    order = np.argsort(room.begin[:size])
    _draw_moments(ground, centre, room.moment, random)
    for at in order:
        _slide(ground, state, centre, room, at, True)
    for at in order[::-1]:
        _slide(ground, state, centre, room, at, False)
    return changes


@inlined
def _slide(ground: Ground, state: State, centre: int, room: Room, at: int, left: bool) -> None:
    """Slide one instance as far as it goes, if this is the way for it."""
    begin, task = room.begin[at], room.owner[at]
    if (begin < room.moment[begin // ground.period[centre]]) != left:
        return
    _block(ground, state, task, room.blocked)
    release = begin - begin % ground.period[task]
    if left:
        state.start[room.instance[at]] = next_free(room.blocked, release)
    else:
        end = release + ground.period[task] - ground.exec_time[task] + 1
        state.start[room.instance[at]] = _last_free(room.blocked, begin, end)


@compiled
def _draw_left_out(ground: Ground, state: State, random: np.random.Generator) -> int:
    """Draw one of the tasks that are left out and worth something; -1 if there is none."""
    found, count = -1, 0
    for task in range(ground.period.size):
        if not state.placed[task] and ground.weight[task] > 0:
            count += 1
            if random.random() * count < 1:
                found = task
    return found


@compiled
def _ruin(
    ground: Ground, state: State, centre: int, room: Room, changes: int, random: np.random.Generator
) -> int:
    """Take some rivals of a task out; say how many changes there are now."""
    rivals = ground.rivals
    count = 0
    for number in range(rivals.near_of[centre], rivals.near_of[centre + 1]):
        if state.placed[rivals.near[number]]:
            room.among[count] = rivals.near[number]
            count += 1
    ruined = min(count, 1 + int(random.random() * MOST_RUINED))
    _shuffle(room.among, count, ruined, random)
    for task in room.among[:ruined]:
        state.placed[task] = False
        state.value[0] -= ground.weight[task]
        room.changed[changes] = task
        changes += 1
    return changes


@compiled
def _recreate(
    ground: Ground, state: State, centre: int, room: Room, changes: int, random: np.random.Generator
) -> int:
    """Put in what fits, the task itself and those to be kept first; say how many changes there are now."""
    rivals, among = ground.rivals, room.among
    must = 0
    count = 0
    for number in range(rivals.near_of[centre], rivals.near_of[centre + 1]):
        task = rivals.near[number]
        if state.placed[task] or (ground.weight[task] <= 0 and not ground.kept[task]):
            continue
        among[count] = task
        if ground.kept[task]:
            among[count], among[must] = among[must], task
            must += 1
        count += 1
    if count - must > MOST_TRIED:
        _shuffle(among[must:], count - must, MOST_TRIED, random)
        count = must + MOST_TRIED
    key = np.empty(count, dtype=np.int64)
    for place in range(count):
        worth = ground.weight[among[place]] * random.random()
        key[place] = _BEFORE_ALL if place < must else -int(_FINENESS * worth)
    draw = random.random()
    rule = LOWEST if draw < LOWEST_SHARE else HIGHEST if draw < LOWEST_SHARE + HIGHEST_SHARE else EDGE
    room.changed[changes] = centre
    changes += 1
    _put(ground, state, centre, rule, room, random)
    for place in np.argsort(key):
        room.changed[changes] = among[place]
        if _put(ground, state, among[place], rule, room, random):
            changes += 1
    return changes


@compiled
def _keeps(ground: Ground, state: State, changed: IntArray) -> bool:
    gone = 0
    for task in changed:
        gone += ground.kept[task] and not state.placed[task]
    return gone == 0


@compiled
def _copy(ground: Ground, source: State, target: State, changed: IntArray) -> None:
    """Make a schedule like another where they differ."""
    target.value[0] = source.value[0]
    for task in changed:
        target.placed[task] = source.placed[task]
        for instance in range(ground.instances_of[task], ground.instances_of[task + 1]):
            target.start[instance] = source.start[instance]


@released
def try_changes(
    ground: Ground,
    room: Room,
    present: State,
    best: State,
    bound: int,
    rounds: int,
    temperature: float,
    room_share: float,
    random: np.random.Generator,
) -> bool:
    """Change a schedule for some rounds.

    Parameters
    ----------
    ground, room
        The tasks, and arrays to work in.
    present
        The schedule; changed.
    best
        The best so far; replaced when a better one is found.
    bound
        Value at which to stop.
    rounds
        How many changes to try.
    temperature
        A change that loses ``x`` is accepted with probability ``exp(-x / temperature)``.
    room_share
        How many of the rounds make room, from 0 to 1.
    random
        Of the random choices.

    Returns
    -------
    bool
        Whether there is anything left to do: the bound is not met, and some task is left out.
    """
    trial = State(present.placed.copy(), present.start.copy(), present.value.copy())
    everyone = np.arange(ground.period.size)
    for _ in range(rounds):
        centre = _draw_left_out(ground, present, random)
        if centre < 0 or best.value[0] >= bound:
            return False
        changes = 0
        if random.random() < room_share:
            changes = _make_room(ground, trial, centre, room, changes, random)
        changes = _ruin(ground, trial, centre, room, changes, random)
        changes = _recreate(ground, trial, centre, room, changes, random)
        changed = room.changed[:changes]
        lost = present.value[0] - trial.value[0]
        good = lost <= 0 or random.random() < exp(-lost / temperature)
        if not (good and _keeps(ground, trial, changed)):
            _copy(ground, present, trial, changed)
            continue
        _copy(ground, trial, present, changed)
        if present.value[0] > best.value[0]:
            _copy(ground, present, best, everyone)
    return bool(best.value[0] < bound)
