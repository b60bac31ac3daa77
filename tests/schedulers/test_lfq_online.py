"""Learning on live flows: it goes where the reward rises, and gives up what turns out worse."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linux_qdisc.learning import WeightsChoice, check_weights, default_weights
from qos.errors import InputError
from schedulers.packet.limits import FlowCounters, QueueContext
from schedulers.packet.limits.lfq import online
from schedulers.packet.limits.lfq.network import first_network
from schedulers.packet.limits.lfq.online import FEATURES, Fortune, Learner
from schedulers.packet.limits.lfq.policy import Lfq
from schedulers.packet.limits.lfq.weights import load_learned, load_network, save_network

CONTEXT = QueueContext(16, 50_000_000, 1514, 60_000, 3_028, 4_000_000)
ALPHA = 4.0
NOTHING = first_network(1)._replace(direct=np.zeros((1, FEATURES)), bias=np.zeros(1))
SLOT = np.arange(3)
X = np.full((FEATURES, 3), 0.1)
POLL_S = 0.125  # exact in binary
EPISODE_POLLS = int(online.EPISODE_S / POLL_S)
BLOCK_POLLS = online.ARMS * EPISODE_POLLS


def play(learner: Learner, blocks: int, fare: Callable[[float], tuple[float, float]]) -> None:
    """Play blocks; `fare` gives use and delay from what is added to the distance."""
    for _ in range(blocks * BLOCK_POLLS):
        used, delay_s = fare(float(learner.shift(X)[0]))
        fortune = Fortune(np.full(3, used), np.full(3, delay_s), np.ones(3, np.bool_))
        learner.observe(SLOT, np.zeros(3, np.bool_), X, fortune, POLL_S)


def shifts(learner: Learner) -> set[float]:
    """What the arms of a block add to the distance."""
    found = set()
    for _ in range(BLOCK_POLLS):
        found.add(round(float(learner.shift(X)[0]), 6))
        play_one(learner)
    return found


def learned_shift(learner: Learner) -> float:
    """What was learned adds to the distance."""
    added = learner.network(NOTHING)
    return float((added.direct @ X)[0, 0] + added.bias[0])


def play_one(learner: Learner) -> None:
    nothing = Fortune(np.zeros(3), np.zeros(3), np.zeros(3, np.bool_))
    learner.observe(SLOT, np.zeros(3, np.bool_), X, nothing, POLL_S)


def test_before_it_has_learned_it_tries_a_little_more_and_a_little_less_than_what_was_shipped() -> None:
    assert shifts(Learner(3, ALPHA, 1)) == {0.0, online.PUSH, -online.PUSH}


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_it_goes_the_way_in_which_the_reward_rises(sign: float) -> None:
    learner = Learner(3, ALPHA, 1)
    play(learner, 40, lambda shift: (0.8 + sign * 0.05 * shift, 0.005))
    assert learner.standing.learned_blocks == 40
    assert sign * learned_shift(learner) > 0.05
    assert learner.standing.gain > 0
    assert learner.standing.roll_backs == 0


def test_what_was_learned_is_the_mean_of_where_the_actor_was_and_so_behind_it() -> None:
    learner = Learner(3, ALPHA, 1)
    play(learner, 4, lambda shift: (0.8 + 0.05 * shift, 0.005))
    actor = max(shifts(learner)) - online.PUSH
    assert 0.0 < learned_shift(learner) < 0.9 * actor < online.MOST_SHIFT


def test_a_policy_that_does_worse_than_the_shipped_one_is_given_up() -> None:
    shipped = first_network(1)
    learned = shipped._replace(bias=shipped.bias + 0.5)
    learner = Learner(3, ALPHA, 1)
    assert learner.go_on_from(shipped, learned, 7)
    rng = np.random.default_rng(1)

    # The exploration sees nothing, so only the comparison can tell.
    play(
        learner,
        online.LEAST_GUARD_BLOCKS,
        lambda shift: (0.8 - 0.1 * (0.3 < shift < 0.7) + rng.normal(0, 0.01), 0.005),
    )
    assert learner.standing.roll_backs == 1
    assert learned_shift(learner) == 0.0
    assert learner.network(shipped).bias == shipped.bias


def test_a_flow_that_does_not_want_its_share_teaches_nothing() -> None:
    learner = Learner(3, ALPHA, 1)
    for _ in range(2 * BLOCK_POLLS):
        calm = Fortune(1.0 + learner.shift(X), np.zeros(3), np.zeros(3, np.bool_))
        learner.observe(SLOT, np.zeros(3, np.bool_), X, calm, POLL_S)
    assert learner.standing.learned_blocks == 0


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_limits_stay_within_the_range_of_the_queue_while_it_learns(seed: int) -> None:
    rng = np.random.default_rng(seed)
    policy = Lfq(CONTEXT, load_network(), ALPHA, Learner(16, ALPHA, seed))
    limit = np.full(16, CONTEXT.initial_limit_bytes)
    for tick in range(30):
        counters = FlowCounters(
            slot=np.arange(16),
            is_new=np.full(16, tick == 0),
            sent_bytes=rng.integers(0, 200_000, 16),
            sent_packets=rng.integers(0, 140, 16),
            dropped_packets=rng.integers(0, 3, 16),
            backlog_bytes=rng.integers(0, 60_000, 16),
            backlog_packets=rng.integers(0, 40, 16),
            limit_bytes=limit,
        )
        limit = policy.limits(counters, 1.0)
        assert (limit >= CONTEXT.min_limit_bytes).all()
        assert (limit <= CONTEXT.max_limit_bytes).all()


def test_what_was_learned_is_saved_and_taken_up_again(tmp_path: Path) -> None:
    choice = WeightsChoice(tmp_path / "eth0.npz", learn=True)
    policy = choice.make_policy("lfq:4", CONTEXT)
    assert isinstance(policy, Lfq)
    assert policy.learner is not None
    play(policy.learner, 30, lambda shift: (0.8 + 0.05 * shift, 0.005))
    choice.save(policy)
    assert [path.name for path in tmp_path.iterdir()] == ["eth0.npz"]
    again = choice.make_policy("lfq:4", CONTEXT)
    assert isinstance(again, Lfq)
    assert again.learner is not None
    assert again.learner.standing.learned_blocks == 30
    assert learned_shift(again.learner) == pytest.approx(learned_shift(policy.learner), rel=1e-4)
    # The file is one of ordinary weights as well, for another host or the simulator.
    exported = WeightsChoice(tmp_path / "eth0.npz").make_policy("lfq:4", CONTEXT)
    assert isinstance(exported, Lfq)
    assert exported.learner is None
    assert exported.network.bias > policy.network.bias


def test_a_damaged_file_is_named_and_learning_begins_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "eth0.npz"
    path.write_bytes(b"PK\x03\x04 nonsense")
    with pytest.raises(InputError, match=r"eth0\.npz: not a \.npz of arrays"):
        check_weights(path, learn=True)
    with caplog.at_level(logging.WARNING):
        policy = WeightsChoice(path, learn=True).make_policy("lfq", CONTEXT)
    assert "eth0.npz" in caplog.text
    assert isinstance(policy, Lfq)
    assert policy.learner is not None
    assert policy.learner.standing.learned_blocks == 0


@pytest.mark.parametrize("width", ["another", "the same"])
def test_what_was_learned_beside_other_weights_is_not_taken_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, width: str
) -> None:
    learner = Learner(3, ALPHA, 1)
    path = tmp_path / "eth0.npz"
    shipped = load_network()
    other = shipped._replace(second=shipped.second + 0.1) if width == "the same" else first_network(5)
    save_network(path, other, learner.standing)
    with caplog.at_level(logging.WARNING):
        policy = WeightsChoice(path, learn=True).make_policy("lfq", CONTEXT)
    assert "other weights" in caplog.text
    assert isinstance(policy, Lfq)


def test_weights_that_nobody_learned_are_no_file_to_learn_into(tmp_path: Path) -> None:
    save_network(tmp_path / "w.npz", first_network(5))
    check_weights(tmp_path / "w.npz", learn=False)
    with pytest.raises(InputError, match="without --learn"):
        load_learned(tmp_path / "w.npz")


def test_a_file_that_cannot_be_written_is_said_and_nothing_ends(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    choice = WeightsChoice(tmp_path / "gone" / "eth0.npz", learn=True)
    with caplog.at_level(logging.WARNING):
        choice.save(choice.make_policy("lfq", CONTEXT))
    assert "cannot be written" in caplog.text


def test_the_default_file_is_where_the_service_manager_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/somewhere")
    assert default_weights("eth0") == Path("/var/lib/somewhere/eth0.npz")


def test_ingress_is_learned_apart() -> None:
    choice = WeightsChoice(Path("/x/eth0.npz"), learn=True)
    assert choice.for_ingress().path == Path("/x/eth0-ingress.npz")
    assert WeightsChoice(Path("/x/eth0.npz")).for_ingress().path == Path("/x/eth0.npz")
