"""Training of `lfq-2020` as the LFQ paper does it (arXiv 2007.02735, section III), in our simulator.

Offline: each flow of a batch is simulated to a decision instant and continued twice, with one packet more
and one less; the better limit is the label. Online: each flow is simulated once, with one packet more or
less by a fair coin, and a critic's prediction of the reward says whether that was good.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.shared_memory import SharedMemory

import numpy as np
from numpy.typing import NDArray

from qos.simulation.scenario import Flow, Scenario, dumbbell
from qos.simulation.simulation import Simulation, prepare
from schedulers.packet.lfq_2020 import memory as place
from schedulers.packet.registry import UNLIMITED, queue

Float64 = NDArray[np.float64]

LEARNING_RATE = 0.01
OFFLINE_BATCH, ONLINE_BATCH = 20, 40
MSS_BYTES = 1446
REWARD_UNIT = 1e6
BASE_DURATION_S = 5.0
_LAYERS = (
    (place.HIDDEN_1, place.BIAS_1, place.INPUTS),
    (place.HIDDEN_2, place.BIAS_2, place.HIDDEN),
    (place.HIDDEN_3, place.BIAS_3, place.HIDDEN),
)
_LEAK = 0.01


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
    """

    mode: str
    alpha: float
    iterations: int
    seed: int = 1
    jobs: int = 2


@dataclass(frozen=True)
class Networks:
    """The actor's weights and the critic's; training changes them in place."""

    actor: Float64
    critic: Float64


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


def descend(weights: Float64, inputs: Float64, slope: Float64) -> None:
    """Take one step of gradient descent, in place.

    Parameters
    ----------
    weights
        A network.
    inputs
        Shape ``(n, 60)``.
    slope
        Derivative of the loss with respect to each output, shape ``(n,)``.
    """
    layers = _activations(weights, inputs)
    output = weights[place.OUTPUT : place.OUTPUT_BIAS].copy()
    weights[place.OUTPUT : place.OUTPUT_BIAS] -= LEARNING_RATE * (slope @ layers[-1])
    weights[place.OUTPUT_BIAS] -= LEARNING_RATE * slope.sum()
    error = slope[:, None] * output
    for number in range(len(_LAYERS) - 1, -1, -1):
        matrix, bias, count = _LAYERS[number]
        error = np.where(layers[number + 1] < 0, _LEAK * error, error)
        view = weights[matrix : matrix + count * place.HIDDEN].reshape(count, place.HIDDEN)
        before = error @ view.T
        view -= LEARNING_RATE * (layers[number].T @ error)
        weights[bias : bias + place.HIDDEN] -= LEARNING_RATE * error.sum(axis=0)
        error = before


def draw_scenario(seed: int, iteration: int, index: int) -> tuple[Scenario, float, float]:
    """Draw a flow as the paper does: the scenario, when the experiment may begin, and a coin of -1 or 1."""
    rng = np.random.default_rng([seed, iteration, index])
    rate_bps = round(rng.uniform(5e6, 25e6))
    rtt_s = rng.uniform(0.005, 0.025)
    sender = "newreno" if rng.random() < 0.5 else "bic"
    duration_s = BASE_DURATION_S + rng.uniform(-BASE_DURATION_S / 4, BASE_DURATION_S / 4)
    begin_s = rng.uniform(0, duration_s / 2)
    coin = -1.0 if rng.random() < 0.5 else 1.0
    scenario = dumbbell(
        (Flow(sender, "left", "right"),),
        rate_bps=rate_bps,
        rtt_s=rtt_s,
        queue=queue(
            "fq", flows=1, limit_packets=UNLIMITED, flow_limit_packets=UNLIMITED, per_packet="lfq-2020"
        ),
        duration_s=duration_s,
    )
    return scenario, begin_s, coin


def _finish(simulation: Simulation, direction: float, alpha: float) -> tuple[float, Float64] | None:
    """Experiment from here on to the end; give the reward and the flow's row, None if it never decided."""
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
    return (sent_bytes / elapsed_s - alpha * backlog * MSS_BYTES) / REWARD_UNIT, row


def _simulate(plan: Plan, weights: Float64, iteration: int, index: int) -> Sample | None:
    scenario, begin_s, coin = draw_scenario(plan.seed, iteration, index)
    simulation = Simulation(scenario)
    simulation.set_policy_parameters(weights)
    simulation.run_until(begin_s)
    if plan.mode == "online":
        done = _finish(simulation, coin, plan.alpha)
        if done is None:
            return None
        reward, row = done
        tried = float(row[place.EXPERIMENT_LIMIT])
        inputs = row[place.EXPERIMENT_INPUTS : place.WIDTH].copy()
        return Sample(inputs, tried, tried - 2 * coin, reward)
    other = simulation.snapshot().fork()
    lower, upper = _finish(simulation, -1.0, plan.alpha), _finish(other, 1.0, plan.alpha)
    if lower is None or upper is None:
        return None
    best = lower if lower[0] > upper[0] else upper
    inputs = lower[1][place.EXPERIMENT_INPUTS : place.WIDTH].copy()
    label = float(best[1][place.EXPERIMENT_LIMIT])
    return Sample(inputs, label, label, best[0])


class _Workers:
    """Processes that simulate; the weights lie in memory that they share."""

    def __init__(self, plan: Plan) -> None:
        prepare()
        self._shared = SharedMemory(create=True, size=place.PARAMETERS * 8)
        self.weights: Float64 = np.ndarray(place.PARAMETERS, np.float64, self._shared.buf)
        self._pool = None
        self._plan = plan
        if plan.jobs > 1:
            context = multiprocessing.get_context("fork")
            self._pool = context.Pool(plan.jobs, _attach, (self._shared.name, plan))

    def batch(self, iteration: int, size: int) -> list[Sample | None]:
        """Simulate the flows of a batch, in order."""
        if self._pool is None:
            return [_simulate(self._plan, self.weights, iteration, i) for i in range(size)]
        return self._pool.map(_work, [(iteration, i) for i in range(size)], chunksize=1)

    def close(self) -> None:
        """End the processes and free the memory."""
        if self._pool is not None:
            self._pool.terminate()
            self._pool.join()
        del self.weights
        self._shared.close()
        self._shared.unlink()


_HERE: dict[str, object] = {}


def _attach(name: str, plan: Plan) -> None:
    shared = SharedMemory(name)
    _HERE["shared"] = shared
    _HERE["weights"] = np.ndarray(place.PARAMETERS, np.float64, shared.buf)
    _HERE["plan"] = plan


def _work(job: tuple[int, int]) -> Sample | None:
    plan, weights = _HERE["plan"], _HERE["weights"]
    assert isinstance(plan, Plan)
    assert isinstance(weights, np.ndarray)
    return _simulate(plan, weights, *job)


def train(plan: Plan, networks: Networks | None = None, first_iteration: int = 0) -> Iterator[Step]:
    """Train, a batch at a time.

    Parameters
    ----------
    plan
        How.
    networks
        Weights to go on with; None: drawn from the seed.
    first_iteration
        Number of the first batch. Stopped and gone on with, training gives what it would have given.

    Yields
    ------
    Step
        After each batch that could be used.
    """
    if networks is None:
        rng = np.random.default_rng([plan.seed, 0])
        networks = Networks(first_weights(rng), first_weights(rng))
    workers = _Workers(plan)
    size = ONLINE_BATCH if plan.mode == "online" else OFFLINE_BATCH
    try:
        for iteration in range(first_iteration, plan.iterations):
            workers.weights[:] = networks.actor
            samples = workers.batch(iteration, size)
            if any(sample is None for sample in samples):
                continue  # as the paper: a batch with a flow that never decided counts not at all
            known = [sample for sample in samples if sample is not None]
            yield _learn(plan, iteration, networks, known)
    finally:
        workers.close()


def _learn(plan: Plan, iteration: int, networks: Networks, samples: list[Sample]) -> Step:
    inputs = np.array([sample.inputs for sample in samples])
    labels = np.array([sample.label for sample in samples])
    rewards = np.array([sample.reward for sample in samples])
    if plan.mode == "online":
        expected = predict(networks.critic, inputs)
        labels = np.where(rewards > expected, labels, [sample.opposite for sample in samples])
        descend(networks.critic, inputs, 2 * (expected - rewards) / len(samples))
    wrong = predict(networks.actor, inputs) - labels
    descend(networks.actor, inputs, np.sign(wrong) / len(samples))
    return Step(iteration, float(np.abs(wrong).mean()), float(rewards.mean()), float(labels.mean()), networks)
