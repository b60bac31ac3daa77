"""`lfq-2020` decides what a plain numpy replay of the LFQ paper's rules decides, and shares as it should."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from qos.errors import InputError
from qos.simulation import Bulk, Flow, Simulation, dumbbell
from qos.simulation.freshness import discard_stale_code
from schedulers.packet.layout import NONE
from schedulers.packet.lfq_2020 import memory as place
from schedulers.packet.lfq_2020.weights import WEIGHTS, load_weights, packed, save_weights
from schedulers.packet.registry import queue

discard_stale_code()

from schedulers.packet.discipline import dequeue, enqueue  # noqa: E402
from schedulers.packet.lfq_2020.policy import evaluate  # noqa: E402
from schedulers.packet.memory import release, take  # noqa: E402

Float64 = NDArray[np.float64]
SCALES = 2.0 ** -(4 + np.arange(1, 11))


def network(weights: Float64, inputs: Float64) -> float:
    values = inputs
    for matrix, bias, count in ((0, 15360, 60), (15616, 81152, 256), (81408, 146944, 256)):
        raw = values @ weights[matrix : matrix + 256 * count].reshape(count, 256) + weights[bias : bias + 256]
        values = np.where(raw < 0, 0.01 * raw, raw)
    return float(values @ weights[147200:147456] + weights[147456])


class Replay:
    """One flow of the paper's policy, written from its description."""

    def __init__(self, weights: Float64) -> None:
        self.weights = weights
        self.queue, self.variance, self.limits, self.gap_in, self.gap_out, self.age = np.zeros((6, 10))
        self.last_in = self.last_out = self.last_loss = 0.0
        self.arrived = self.departed = self.backlog = 0
        self.limit = 1

    def average(self, old: Float64, value: float | Float64) -> Float64:
        return SCALES * value + (1 - SCALES) * old

    def decide(self) -> None:
        enough = min(self.arrived, self.departed) >= 1 / SCALES
        rates = [
            np.where(enough & (gap > 0), 1 / np.where(gap > 0, gap, 1) / 1e4, 0)
            for gap in (self.gap_in, self.gap_out)
        ]
        inputs = np.concatenate([self.queue, np.sqrt(self.variance), self.limits, *rates, self.age])
        wanted = network(self.weights, inputs)
        self.limit = int(np.clip(np.sign(wanted) * np.floor(abs(wanted) + 0.5), 1, 1000))
        self.limits = self.average(self.limits, self.limit / 100)

    def arrive(self, now_s: float) -> bool:
        self.queue = self.average(self.queue, self.backlog / 100)
        self.variance = self.average(self.variance, (self.queue - self.backlog / 100) ** 2)
        self.gap_in = self.average(self.gap_in, now_s - self.last_in)
        self.last_in = now_s
        self.arrived += 1
        if (self.arrived - 1) % 10 == 0:
            self.decide()
            if self.arrived == 1:
                self.decide()
        kept = self.backlog + 1 <= self.limit
        if not kept:
            self.last_loss = now_s
        self.age = self.average(self.age, (now_s - self.last_loss) / 10)
        self.backlog += kept
        return kept

    def depart(self, now_s: float) -> None:
        self.gap_out = self.average(self.gap_out, now_s - self.last_out)
        self.last_out = now_s
        self.departed += 1
        self.backlog -= 1


@pytest.mark.parametrize("name", WEIGHTS)
def test_limits_and_drops_are_those_of_a_plain_replay(name: str) -> None:
    flows = (Flow("newreno", "left", "right", Bulk()),) * 2
    scenario = dumbbell(flows, rate_bps=10_000_000, rtt_s=0.01, queue=queue("lfq-2020"), duration_s=1.0)
    simulation = Simulation(scenario)
    simulation.set_policy_parameters(load_weights(name))
    state = simulation.state
    root = state.control[0]
    replays = [Replay(load_weights(name)) for _ in flows]
    rng = np.random.default_rng(7)
    now_ns, drops = 0, 0
    for number in range(6_000):
        now_ns += int(rng.exponential(500_000 if number % 1000 < 700 else 2_000_000))
        state.control["now_ns"] = now_ns
        flow = int(rng.random() < 0.3)
        index = int(take(root))
        packet = state.packets[index]
        packet["flow"], packet["size_bytes"], packet["flags"] = flow, 1498, 0
        kept = bool(enqueue(root, 0, index))
        assert kept == replays[flow].arrive(now_ns * 1e-9), number
        assert state.subqueues["limit_packets"][flow] == replays[flow].limit, number
        drops += not kept
        if rng.random() < 0.6:
            index = int(dequeue(root, 0))
            if index != NONE:
                replays[int(state.packets["flow"][index])].depart(now_ns * 1e-9)
                release(root, index)
    assert drops > 100


def test_flows_that_always_wait_get_equal_bytes_whatever_their_packets() -> None:
    flows = (Flow("newreno", "left", "right", Bulk()),) * 3
    scenario = dumbbell(flows, rate_bps=10_000_000, rtt_s=0.01, queue=queue("lfq-2020"), duration_s=1.0)
    state = Simulation(scenario).state
    root = state.control[0]
    sizes, got = (1498, 700, 300), np.zeros(3)
    for step in range(2_000):
        state.control["now_ns"] = step * 1_000_000
        for flow, size in enumerate(sizes):
            while state.subqueues["packets"][flow] < 6:
                index = int(take(root))
                packet = state.packets[index]
                packet["flow"], packet["size_bytes"], packet["flags"] = flow, size, 0
                if not enqueue(root, 0, index):
                    break
        index = int(dequeue(root, 0))
        got[int(state.packets["flow"][index])] += int(state.packets["size_bytes"][index])
        release(root, index)
        # The bound of deficit round robin: quantum + largest packet.
        assert got.max() - got.min() <= 1500 + 1500


def test_an_experiment_keeps_one_packet_more_or_less_than_the_limit_in_force() -> None:
    flow = Flow("newreno", "left", "right")
    scenario = dumbbell(
        (flow,), rate_bps=15_000_000, rtt_s=0.015, queue=queue("lfq-2020", flows=1), duration_s=3.0
    )
    simulation = Simulation(scenario)
    simulation.run_until(1.0)
    before = int(simulation.state.subqueues["limit_packets"][0])
    snapshot = simulation.snapshot()
    found = []
    for direction in (-1.0, 1.0):
        simulation.rewind(snapshot)
        simulation.state.memory[0, place.EXPERIMENT] = direction
        seen = set()
        for time_s in (1.2, 2.0, 3.0):
            simulation.run_until(time_s)
            seen.add(int(simulation.state.subqueues["limit_packets"][0]))
        assert seen == {simulation.state.memory[0, place.EXPERIMENT_LIMIT]}
        found.append(seen.pop())
    middle = max(before, 2)
    assert found == [middle - 1, middle + 1]


@pytest.mark.parametrize("name", WEIGHTS)
def test_single_precision_agrees_with_double(name: str) -> None:
    weights = load_weights(name)
    inputs = np.random.default_rng(3).uniform(0, 0.5, place.INPUTS)
    single = packed(weights).view(np.float32)
    exact = network(weights, inputs)
    assert evaluate(weights, inputs) == pytest.approx(exact, rel=1e-9)
    assert float(evaluate(single, inputs.astype(np.float32))) == pytest.approx(exact, rel=1e-4, abs=1e-3)


def test_weights_that_cannot_be_used_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("schedulers.packet.lfq_2020.weights._FOLDER", tmp_path)
    load_weights.cache_clear()
    for broken in (b"", b"PK\x03\x04 no archive", None):
        path = tmp_path / f"{WEIGHTS[0]}.npz"
        if broken is None:
            save_weights(path, np.full(place.PARAMETERS, np.nan))
        else:
            path.write_bytes(broken)
        with pytest.raises(InputError, match=WEIGHTS[0]):
            load_weights(WEIGHTS[0])
    load_weights.cache_clear()
