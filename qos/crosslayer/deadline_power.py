"""Mode and power under a packet deadline, with the least energy: a Markov decision process and its judge.

Packets of `units` arrive every `period` slots and expire three periods later. With one queue in order, the
units in the queue and the slot of the period say all about every packet's age, so that the state is
(channel, units, slot of the period). The channel is the SNR and whether it rises or falls: a channel that
rises is worth waiting for (a first-order chain does not know that; Clarke fading is smooth over a slot).
Value iteration gives for each state the best choice: a mode with its power, or silence to wait for a better
channel. The fixed design sends at full power, in the fastest mode within a target error rate, whenever
there is something to send.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qos.crosslayer.channel.doppler import clarke_snr
from qos.crosslayer.channel.fading import NakagamiFading
from qos.crosslayer.energy import PowerModel, SlotChoices, slot_choices
from qos.crosslayer.guards import check_count, check_positive
from qos.crosslayer.modes import ModeTable
from qos.errors import InfeasibleError

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

Decide = Callable[[int, Whole], tuple[Whole, Floats, Floats]]
"""From the slot and the queues: units sent, energy, and error rate, each of shape (users,)."""

STATES = 24
"""Levels of the SNR, equally likely."""
TRENDS = 4
"""Rates of change of the SNR within a level, equally likely."""
_COUNTED_SLOTS, _COUNTED_USERS, _COUNTING_SEED = 4000, 250, 719
_CYCLES = 60
PERIODS = 3


@dataclass(frozen=True)
class DeadlineTraffic:
    """Periodic packets with a deadline of three periods.

    Attributes
    ----------
    units
        Units of a packet; a unit is what a mode of `unit_bits` bits a symbol sends in a slot.
    period
        Slots between packets.
    unit_bits
        Bits a symbol of one unit a slot; the rates of the modes are multiples of it.
    """

    units: int
    period: int = 10
    unit_bits: float = 0.25

    def __post_init__(self) -> None:
        check_count("units", self.units, 1)
        check_count("period", self.period, 1)
        check_positive("unit bits", self.unit_bits)

    @property
    def deadline(self) -> int:
        """Deadline in slots."""
        return PERIODS * self.period

    def packets(self, table: ModeTable) -> Whole:
        """Units a slot of each mode."""
        return np.rint(table.rates / self.unit_bits).astype(np.int64)


@dataclass(frozen=True, eq=False)
class TrendChannel:
    """Clarke fading as a chain whose states are a level of the SNR and its change since the last slot.

    Attributes
    ----------
    edges
        SNRs (power ratios) between the levels, shape (STATES - 1,).
    trend_edges
        Ratios of the SNR to that of the slot before, between the trends of each level, shape
        (STATES, TRENDS - 1).
    transition
        Probabilities from state to state, shape (STATES TRENDS, STATES TRENDS); state = level TRENDS + trend.
    """

    edges: Floats
    trend_edges: Floats
    transition: Floats

    def levels(self, snr: Floats) -> Whole:
        """Level of each SNR, same shape."""
        return np.asarray(np.searchsorted(self.edges, snr, side="right"))

    def states(self, snr: Floats) -> Whole:
        """State in each slot, shape (slots, users) as `snr`; the first slot counts as steady."""
        level = self.levels(snr)
        return _states(self.trend_edges, level, _change(snr))


def _change(snr: Floats) -> Floats:
    return np.asarray(np.concatenate([np.ones((1, snr.shape[1])), snr[1:] / snr[:-1]]))


def _states(trend_edges: Floats, level: Whole, change: Floats) -> Whole:
    state = level * TRENDS
    for edge in range(TRENDS - 1):
        state += change >= trend_edges[level, edge]
    return state


def trend_channel(fading: NakagamiFading, doppler_slot: float) -> TrendChannel:
    """Count the chain in a draw of Clarke fading of its own (always the same draw)."""
    edges = fading.quantile(np.arange(1, STATES) / STATES)
    snr = clarke_snr(fading, doppler_slot, _COUNTED_SLOTS, _COUNTED_USERS, _COUNTING_SEED)
    level = np.searchsorted(edges, snr, side="right")
    change = _change(snr)
    parts = np.arange(1, TRENDS) / TRENDS
    trend_edges = np.ones((STATES, TRENDS - 1))
    for here in range(STATES):
        inside = change[1:][level[1:] == here]
        if inside.size:
            trend_edges[here] = np.quantile(inside, parts)
    state = _states(trend_edges, level, change)[1:]
    count = STATES * TRENDS
    pairs = state[:-1] * count + state[1:]
    counted = np.bincount(pairs.ravel(), minlength=count * count).reshape(count, count).astype(float)
    counted[np.arange(count), np.arange(count)] += counted.sum(axis=1) == 0  # a state never seen stays
    return TrendChannel(edges, trend_edges, counted / counted.sum(axis=1, keepdims=True))


@dataclass(frozen=True, eq=False)
class DeadlinePolicy:
    """What to do in each state.

    Attributes
    ----------
    channel
        The channel states.
    choices
        What each level of the SNR offers.
    action
        Choice by slot of the period, channel state and units in the queue.
    """

    channel: TrendChannel
    choices: SlotChoices
    action: Whole


def plan(
    table: ModeTable,
    fading: NakagamiFading,
    channel: TrendChannel,
    traffic: DeadlineTraffic,
    power: PowerModel,
    late_price: float,
) -> DeadlinePolicy:
    """Find the policy of least energy plus price of late packets, by value iteration.

    Parameters
    ----------
    table, fading, channel
        Modes, and the channel at reference power with its chain (`trend_channel`).
    traffic
        Packets.
    power
        What sending costs.
    late_price
        Energy that a late packet counts as, more than 0.
    """
    check_positive("price of a late packet", late_price)
    # A level offers what its lower end could do: no error rate is better than planned by much.
    centre = fading.quantile((np.arange(STATES) + 0.4) / STATES)
    choices = slot_choices(table, centre, traffic.packets(table), power)
    room = PERIODS * traffic.units
    queue = np.arange(room + 1)
    after = np.maximum(queue[None, None] - choices.packets[..., None], 0)
    level = np.repeat(np.arange(STATES), TRENDS)
    after, arrive, energy = after[level], choices.arrive[level, :, None], choices.energy[level, :, None]
    state = np.arange(level.size)[:, None, None]
    action = np.zeros((traffic.period, level.size, room + 1), dtype=np.int64)
    value = np.zeros((level.size, room + 1))
    left = np.minimum(queue, (PERIODS - 1) * traffic.units)
    late = (queue > (PERIODS - 1) * traffic.units) * late_price
    for _ in range(_CYCLES):
        ahead = value[:, left + traffic.units] + late
        for slot in range(traffic.period - 1, -1, -1):
            expected = channel.transition @ ahead
            worth = arrive * expected[state, after] + (1 - arrive) * expected[:, None, :]
            worth = worth + energy
            worth[:, 1:, 0] = np.inf
            action[slot] = np.argmin(worth, axis=1)
            ahead = np.min(worth, axis=1)
        value = ahead - ahead[0, 0]
    return DeadlinePolicy(channel, choices, action)


def plan_for_on_time(
    table: ModeTable,
    fading: NakagamiFading,
    doppler_slot: float,
    traffic: DeadlineTraffic,
    power: PowerModel,
    on_time: float,
    trial: EnergyTrial,
) -> DeadlinePolicy:
    """Find the cheapest price of lateness whose policy reaches an on-time ratio in a trial.

    Raises
    ------
    InfeasibleError
        If no price reaches it.
    """
    scale = float(power.energy(np.zeros(1))[0])
    low, high = math.log(0.1 * scale), math.log(1e5 * scale)
    channel = trend_channel(fading, doppler_slot)
    best = plan(table, fading, channel, traffic, power, math.exp(high))
    reached = run_planned(table, traffic, trial, best).on_time
    if reached < on_time:
        raise InfeasibleError(
            f"no policy brings a share of {on_time:g} of the packets in time; the best brings {reached:.4f}"
        )
    for _ in range(10):
        middle = (low + high) / 2
        policy = plan(table, fading, channel, traffic, power, math.exp(middle))
        if run_planned(table, traffic, trial, policy).on_time >= on_time:
            best, high = policy, middle
        else:
            low = middle
    return best


@dataclass(frozen=True)
class EnergyFigures:
    """What a policy spent and delivered.

    Attributes
    ----------
    energy_per_unit
        Energy over the units of the packets that came in time.
    on_time
        Share of the packets that came in time.
    """

    energy_per_unit: float
    on_time: float


@dataclass(frozen=True, eq=False)
class EnergyTrial:
    """Drawn fading and error draws, the same for every policy.

    Attributes
    ----------
    snr
        SNR at reference power, shape (slots, users).
    uniform
        Error draws, same shape.
    """

    snr: Floats
    uniform: Floats


def draw_trial(
    fading: NakagamiFading, doppler_slot: float, *, slots: int = 6000, users: int = 100, seed: int = 1
) -> EnergyTrial:
    """Draw a trial on Clarke fading."""
    fading_seed, error_seed = np.random.SeedSequence(seed).spawn(2)
    snr = clarke_snr(fading, doppler_slot, slots, users, fading_seed)
    return EnergyTrial(snr, np.random.default_rng(error_seed).random(snr.shape))


def run_planned(
    table: ModeTable, traffic: DeadlineTraffic, trial: EnergyTrial, policy: DeadlinePolicy
) -> EnergyFigures:
    """Run a planned policy; within a state it uses the state's power and mode at the SNR that is."""
    level, state = policy.channel.levels(trial.snr), policy.channel.states(trial.snr)
    gain = _gains(table, policy)

    def decide(slot: int, queue: Whole) -> tuple[Whole, Floats, Floats]:
        here = level[slot]
        choice = policy.action[slot % traffic.period, state[slot], queue]
        sent = policy.choices.packets[here, choice]
        snr = trial.snr[slot] * gain[here, choice]
        error = table.error_rate(np.maximum(choice - 1, 0), snr)
        return sent, policy.choices.energy[here, choice], error

    return _run(traffic, trial, decide)


def _gains(table: ModeTable, policy: DeadlinePolicy) -> Floats:
    """Power over the reference of every choice, from its planned probability to arrive."""
    error = np.clip(1 - policy.choices.arrive[:, 1:], 1e-300, 1)
    snr = np.log(table.a[None] / error) / table.g[None]
    return np.concatenate([np.ones((len(snr), 1)), snr / policy.choices.snr[:, None]], axis=1)


def run_fixed(
    table: ModeTable, traffic: DeadlineTraffic, power: PowerModel, trial: EnergyTrial, target: float = 0.01
) -> EnergyFigures:
    """Run the fixed design: reference power, fastest mode within the target, whenever there are packets."""
    mode = np.searchsorted(table.snr_for(target), trial.snr, side="right")
    packets = np.concatenate([[0], traffic.packets(table)])
    error = table.error_rate(np.maximum(mode - 1, 0), trial.snr)
    cost = float(power.energy(np.zeros(1))[0])

    def decide(slot: int, queue: Whole) -> tuple[Whole, Floats, Floats]:
        sent = np.where(queue > 0, packets[mode[slot]], 0)
        return sent, np.where(sent > 0, cost, 0.0), error[slot]

    return _run(traffic, trial, decide)


def _run(traffic: DeadlineTraffic, trial: EnergyTrial, decide: Decide) -> EnergyFigures:
    slots, users = trial.snr.shape
    queue = np.full(users, traffic.units, dtype=np.int64)
    spent, late, packets = 0.0, 0, 0
    spare = (PERIODS - 1) * traffic.units
    for slot in range(slots):
        sent, energy, error = decide(slot, queue)
        arrived = trial.uniform[slot] >= error
        spent += float(energy.sum())
        queue = np.maximum(queue - np.where(arrived, sent, 0), 0)
        if slot % traffic.period == traffic.period - 1:
            late += int((queue > spare).sum())
            packets += users
            queue = np.minimum(queue, spare) + traffic.units
    on_time = 1 - late / packets
    return EnergyFigures(spent / max((packets - late) * traffic.units, 1), on_time)
