"""Training of `lfq-2020` as the LFQ paper does it (arXiv 2007.02735, section III), in our simulator.

Offline: each flow of a batch is simulated to a decision instant and continued twice, with one packet more
and one less; the better limit is the label. Online: each flow is simulated once, with one packet more or
less by a fair coin, and a critic's prediction of the reward says whether that was good.

What learns is the paper's: plain stochastic gradient descent at a constant rate, whose iterates sway without
end. What is kept is more: beside the last iterate, an average of all of them with weights that grow with
the third power of their number (O. Shamir and T. Zhang, "Stochastic Gradient Descent for Non-smooth
Optimization", ICML 2013, polynomial-decay averaging with eta = 3). It changes nothing of the training.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from multiprocessing.context import ForkContext

import numpy as np
from numpy.typing import NDArray

from qos.simulation.scenario import Flow, Scenario, dumbbell
from qos.simulation.simulation import Simulation, prepare
from schedulers.packet.lfq_2020 import memory as place
from schedulers.packet.lfq_2020.weights import packed
from schedulers.packet.registry import UNLIMITED, QueueConfiguration, queue

Float64 = NDArray[np.float64]

LEARNING_RATE = 0.01
OFFLINE_BATCH, ONLINE_BATCH = 20, 40
MSS_BYTES = 1446
REWARD_UNIT = 1e6
AVERAGE_POWER = 3
"""The average's weight of iterate `t` grows as `t` to this power: 94 % of it are the later half of them."""
BASE_DURATION_S = 5.0
HELD_OUT_SEED = 2**31
"""Of the flows that a policy is judged by; seeds of training are smaller."""
_LAYERS = (
    (place.HIDDEN_1, place.BIAS_1, place.INPUTS),
    (place.HIDDEN_2, place.BIAS_2, place.HIDDEN),
    (place.HIDDEN_3, place.BIAS_3, place.HIDDEN),
)
_LEAK = 0.01
_SAMPLE_WIDTH = 3 + place.INPUTS
"""A sample as a row: label, opposite limit, reward, inputs."""
_PACKED = (place.PARAMETERS + 1) // 2
_LOOK_EVERY_S = 10.0


@dataclass(frozen=True)
class Plan:
    """How to train.

    Attributes
    ----------
    mode
        ``offline`` or ``online``.
    alpha
        Price of the queue in the reward, 1/s.
    iterations
        Batches.
    seed
        Of scenarios and first weights.
    jobs
        Processes.
    lag
        Batches that are simulated ahead: batch `n` uses the weights as they were before batch `n - lag` was
        learnt from (the first ones: the first weights). 0 is the paper's way; more keeps many processes busy
        but makes training less stable. The result does not depend on `jobs`.
    learning_rate
        Of both networks.
    """

    mode: str
    alpha: float
    iterations: int
    seed: int = 1
    jobs: int = 2
    lag: int = 0
    learning_rate: float = LEARNING_RATE


@dataclass(frozen=True)
class Networks:
    """The actor's weights, the critic's, and the actor's average so far; training changes them in place."""

    actor: Float64
    critic: Float64
    average: Float64

    @classmethod
    def beginning_with(cls, actor: Float64, critic: Float64) -> Networks:
        """Take networks of which there is no average yet; the actor itself is the first one."""
        return cls(actor, critic, actor.copy())


@dataclass(frozen=True)
class Step:
    """What a batch did: its number, mean absolute error of the actor, mean reward, mean label, weights."""

    iteration: int
    error: float
    reward: float
    limit_packets: float
    networks: Networks


@dataclass(frozen=True)
class Sample:
    """One experiment: inputs at the decision, the limit to learn, the reward, and the limit tried."""

    inputs: Float64
    label: float
    opposite: float
    reward: float


def first_weights(rng: np.random.Generator) -> Float64:
    """Draw a network as PyTorch's linear layers begin: uniform within 1 / sqrt(inputs)."""
    weights = np.empty(place.PARAMETERS)
    for matrix, bias, inputs in _LAYERS:
        bound = 1 / np.sqrt(inputs)
        weights[matrix:bias] = rng.uniform(-bound, bound, bias - matrix)
        weights[bias : bias + place.HIDDEN] = rng.uniform(-bound, bound, place.HIDDEN)
    bound = 1 / np.sqrt(place.HIDDEN)
    weights[place.OUTPUT :] = rng.uniform(-bound, bound, place.HIDDEN + 1)
    return weights


def _activations(weights: Float64, inputs: Float64) -> list[Float64]:
    layers = [inputs]
    for matrix, bias, count in _LAYERS:
        shape = weights[matrix : matrix + count * place.HIDDEN].reshape(count, place.HIDDEN)
        raw = layers[-1] @ shape + weights[bias : bias + place.HIDDEN]
        layers.append(np.where(raw < 0, _LEAK * raw, raw))
    return layers


def predict(weights: Float64, inputs: Float64) -> Float64:
    """Evaluate a network for inputs of shape ``(n, 60)``; shape ``(n,)``."""
    last = _activations(weights, inputs)[-1]
    output: Float64 = last @ weights[place.OUTPUT : place.OUTPUT_BIAS] + weights[place.OUTPUT_BIAS]
    return output


def descend(weights: Float64, inputs: Float64, slope: Float64, rate: float = LEARNING_RATE) -> None:
    """Take one step of gradient descent, in place.

    Parameters
    ----------
    weights
        A network.
    inputs
        Shape ``(n, 60)``.
    slope
        Derivative of the loss with respect to each output, shape ``(n,)``.
    rate
        Learning rate.
    """
    layers = _activations(weights, inputs)
    output = weights[place.OUTPUT : place.OUTPUT_BIAS].copy()
    weights[place.OUTPUT : place.OUTPUT_BIAS] -= rate * (slope @ layers[-1])
    weights[place.OUTPUT_BIAS] -= rate * slope.sum()
    error = slope[:, None] * output
    for number in range(len(_LAYERS) - 1, -1, -1):
        matrix, bias, count = _LAYERS[number]
        error = np.where(layers[number + 1] < 0, _LEAK * error, error)
        view = weights[matrix : matrix + count * place.HIDDEN].reshape(count, place.HIDDEN)
        before = error @ view.T
        view -= rate * (layers[number].T @ error)
        weights[bias : bias + place.HIDDEN] -= rate * error.sum(axis=0)
        error = before


@dataclass(frozen=True)
class _Draw:
    """What is drawn of a flow; `coin` is -1 or 1."""

    rate_bps: int
    rtt_s: float
    sender: str
    duration_s: float
    begin_s: float
    coin: float


def _draw(seed: int, iteration: int, index: int) -> _Draw:
    rng = np.random.default_rng([seed, iteration, index])
    rate_bps = round(rng.uniform(5e6, 25e6))
    rtt_s = rng.uniform(0.005, 0.025)
    sender = "newreno" if rng.random() < 0.5 else "bic"
    duration_s = BASE_DURATION_S + rng.uniform(-BASE_DURATION_S / 4, BASE_DURATION_S / 4)
    begin_s = rng.uniform(0, duration_s / 2)
    return _Draw(rate_bps, rtt_s, sender, duration_s, begin_s, -1.0 if rng.random() < 0.5 else 1.0)


def draw_scenario(seed: int, iteration: int, index: int) -> tuple[Scenario, float, float]:
    """Draw a flow as the paper does: the scenario, when the experiment may begin, and a coin of -1 or 1."""
    drawn = _draw(seed, iteration, index)
    scenario = dumbbell(
        (Flow(drawn.sender, "left", "right"),),
        rate_bps=drawn.rate_bps,
        rtt_s=drawn.rtt_s,
        queue=_queue(),
        duration_s=drawn.duration_s,
    )
    return scenario, drawn.begin_s, drawn.coin


@cache
def _queue() -> QueueConfiguration:
    return queue("fq", flows=1, limit_packets=UNLIMITED, flow_limit_packets=UNLIMITED, per_packet="lfq-2020")


def _longest_first(plan: Plan, iteration: int, size: int) -> list[int]:
    """Order a batch's flows by the packets to simulate: so processes come to its end together."""
    branches = 1 if plan.mode == "online" else 2

    def packets(index: int) -> float:
        drawn = _draw(plan.seed, iteration, index)
        return drawn.rate_bps * (drawn.begin_s + branches * (drawn.duration_s - drawn.begin_s))

    return sorted(range(size), key=packets, reverse=True)


@dataclass(frozen=True)
class _Trial:
    inputs: Float64
    limit: float
    reward: float


def _try(simulation: Simulation, direction: float, alpha: float) -> _Trial | None:
    """Experiment from here on to the end; None if the flow never came to a decision."""
    end_s = simulation.scenario.duration_s
    simulation.state.memory[0, place.EXPERIMENT] = direction
    simulation.run_until(end_s)
    row = simulation.state.memory[0]
    if row[place.FROZEN] == 0.0:
        return None
    part = simulation.state.subqueues[0]
    elapsed_s = end_s - row[place.EXPERIMENT_START_S]
    sent_bytes = float(part["sent_bytes"]) - row[place.SENT_BEFORE_BYTES]
    backlog = (row[place.AREA] - row[place.AREA_BEFORE]) / elapsed_s
    reward = (sent_bytes / elapsed_s - alpha * backlog * MSS_BYTES) / REWARD_UNIT
    inputs = row[place.EXPERIMENT_INPUTS : place.WIDTH].copy()
    return _Trial(inputs, float(row[place.EXPERIMENT_LIMIT]), float(reward))


def _simulate(plan: Plan, weights: Float64, iteration: int, index: int) -> Sample | None:
    scenario, begin_s, coin = draw_scenario(plan.seed, iteration, index)
    simulation = Simulation(scenario)
    simulation.set_policy_parameters(weights)
    simulation.run_until(begin_s)
    if plan.mode == "online":
        trial = _try(simulation, coin, plan.alpha)
        if trial is None:
            return None
        return Sample(trial.inputs, trial.limit, trial.limit - 2 * coin, trial.reward)
    snapshot = simulation.snapshot()
    lower = _try(simulation, -1.0, plan.alpha)
    simulation.rewind(snapshot)
    upper = _try(simulation, 1.0, plan.alpha)
    if lower is None or upper is None:
        return None
    best = lower if lower.reward > upper.reward else upper
    return Sample(best.inputs, best.limit, best.limit, best.reward)


def held_out_rewards(weights: Float64, alpha: float, flows: int) -> Float64:
    """Give the rewards of whole flows that no training draws, without experiments; shape ``(flows,)``."""
    rewards = np.empty(flows)
    for index in range(flows):
        scenario, _, _ = draw_scenario(HELD_OUT_SEED, 0, index)
        simulation = Simulation(scenario)
        simulation.set_policy_parameters(weights)
        simulation.run_until(scenario.duration_s)
        queue_record = simulation.state.queues[0]
        backlog_s = float(queue_record["area_packets_ns"]) * 1e-9
        sent_bytes = float(queue_record["sent_bytes"])
        rewards[index] = (sent_bytes - alpha * backlog_s * MSS_BYTES) / scenario.duration_s / REWARD_UNIT
    return rewards


class _Shared:
    """What the processes share: for each batch in flight the weights and the samples, and who does what.

    Batch `n` has the place `n % places`. A flow of a published batch is waiting work; whoever takes it gets
    the next ticket, which says batch and place in the batch's order. So it does not matter who simulates
    what.
    """

    def __init__(self, context: ForkContext, plan: Plan) -> None:
        self.size = ONLINE_BATCH if plan.mode == "online" else OFFLINE_BATCH
        self.places = plan.lag + 1
        weights = context.RawArray("d", self.places * _PACKED)
        samples = context.RawArray("d", self.places * self.size * _SAMPLE_WIDTH)
        self.weights = np.frombuffer(weights, np.float64).reshape(self.places, _PACKED)
        self.samples = np.frombuffer(samples, np.float64).reshape(self.places, self.size, _SAMPLE_WIDTH)
        order = context.RawArray("q", self.places * self.size)
        self.order = np.frombuffer(order, np.int64).reshape(self.places, self.size)
        self.ticket = context.Value("q", 0)
        self.waiting = context.Semaphore(0)
        self.finished = [context.Semaphore(0) for _ in range(self.places)]

    def publish(self, batch: int, order: list[int], weights: Float64) -> None:
        """Let a batch be simulated with these weights, its flows in this order."""
        self.weights[batch % self.places] = packed(weights)
        self.order[batch % self.places] = order
        for _ in range(self.size):
            self.waiting.release()

    def simulate_one(self, plan: Plan, first: int) -> None:
        """Simulate the next flow; `first` is the batch with which the tickets began."""
        with self.ticket.get_lock():
            ticket = self.ticket.value
            self.ticket.value += 1
        batch = first + ticket // self.size
        place = batch % self.places
        index = int(self.order[place, ticket % self.size])
        weights = self.weights[place]
        weights.setflags(write=False)
        sample = _simulate(plan, weights, batch, index)
        row = self.samples[place, index]
        row[:] = np.nan
        if sample is not None:
            row[:3] = sample.label, sample.opposite, sample.reward
            row[3:] = sample.inputs
        self.finished[place].release()


class _Workers:
    """Processes that simulate; with one job, this one."""

    def __init__(self, plan: Plan, first: int) -> None:
        prepare()
        context = multiprocessing.get_context("fork")
        self._plan, self._first = plan, first
        self._shared = _Shared(context, plan)
        self._order = _longest_first(plan, first, self._shared.size)
        self._processes = [
            context.Process(target=_serve, args=(self._shared, plan, first), daemon=True)
            for _ in range(plan.jobs if plan.jobs > 1 else 0)
        ]
        for process in self._processes:
            process.start()

    def publish(self, batch: int, weights: Float64) -> None:
        """Begin a batch, and order the next one while this one is simulated."""
        self._shared.publish(batch, self._order, weights)
        self._order = _longest_first(self._plan, batch + 1, self._shared.size)

    def samples(self, batch: int) -> Float64 | None:
        """Wait for the oldest batch; give a row a flow, None if a flow never decided.

        Raises
        ------
        RuntimeError
            If a process died.
        """
        shared = self._shared
        for _ in range(shared.size):
            if not self._processes:
                shared.waiting.acquire()
                shared.simulate_one(self._plan, self._first)
            while not shared.finished[batch % shared.places].acquire(timeout=_LOOK_EVERY_S):
                if not all(process.is_alive() for process in self._processes):
                    raise RuntimeError("a process of the training ended before its time")
        rows: Float64 = shared.samples[batch % shared.places]
        return None if np.isnan(rows[:, 0]).any() else rows

    def close(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.terminate()
            process.join()


def _serve(shared: _Shared, plan: Plan, first: int) -> None:
    while True:
        shared.waiting.acquire()
        shared.simulate_one(plan, first)


def train(plan: Plan, networks: Networks | None = None, first_iteration: int = 0) -> Iterator[Step]:
    """Train, a batch at a time.

    Parameters
    ----------
    plan
        How.
    networks
        Weights to go on with; None: drawn from the seed.
    first_iteration
        Number of the first batch. Without lag, training that was stopped and goes on gives what it would
        have given.

    Yields
    ------
    Step
        After each batch that could be used.
    """
    if networks is None:
        rng = np.random.default_rng([plan.seed, 0])
        networks = Networks.beginning_with(first_weights(rng), first_weights(rng))
    workers = _Workers(plan, first_iteration)
    try:
        for iteration in range(first_iteration, min(first_iteration + plan.lag, plan.iterations)):
            workers.publish(iteration, networks.actor)
        for iteration in range(first_iteration, plan.iterations):
            if iteration + plan.lag < plan.iterations:
                workers.publish(iteration + plan.lag, networks.actor)
            samples = workers.samples(iteration)
            if samples is not None:  # as the paper: a batch with a flow that never decided counts not at all
                yield _learn(plan, iteration, networks, samples)
    finally:
        workers.close()


def _learn(plan: Plan, iteration: int, networks: Networks, samples: Float64) -> Step:
    labels, opposites, rewards = samples[:, 0], samples[:, 1], samples[:, 2]
    inputs = samples[:, _SAMPLE_WIDTH - place.INPUTS :]
    if plan.mode == "online":
        expected = predict(networks.critic, inputs)
        labels = np.where(rewards > expected, labels, opposites)
        descend(networks.critic, inputs, 2 * (expected - rewards) / len(samples), plan.learning_rate)
    wrong = predict(networks.actor, inputs) - labels
    descend(networks.actor, inputs, np.sign(wrong) / len(samples), plan.learning_rate)
    share = (AVERAGE_POWER + 1) / (iteration + 1 + AVERAGE_POWER)
    networks.average[:] += share * (networks.actor - networks.average)
    return Step(iteration, float(np.abs(wrong).mean()), float(rewards.mean()), float(labels.mean()), networks)
