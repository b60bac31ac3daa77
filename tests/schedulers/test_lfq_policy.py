"""The learned policy: its weights on disk, its bounds, and that it is the same compiled."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qos.errors import InputError
from schedulers.packet.limits import FlowCounters, QueueContext, first_limit_bytes, make_policy
from schedulers.packet.limits.lfq import company as among_others
from schedulers.packet.limits.lfq import memory as remembered
from schedulers.packet.limits.lfq import step
from schedulers.packet.limits.lfq.company import Beginning, company
from schedulers.packet.limits.lfq.memory import AGE_PACKETS, EVENTS, MEMORY, Float64, Poll
from schedulers.packet.limits.lfq.network import first_network, hidden_units, pack, side_by_side, unpack
from schedulers.packet.limits.lfq.policy import PREFERENCES, Lfq, as_poll
from schedulers.packet.limits.lfq.step import FEATURES, apply, evaluate
from schedulers.packet.limits.lfq.weights import FORMAT, SHIPPED, load_network, save_network
from schedulers.packet.limits.sawtooth import Sawtooth

ALONE = among_others.Sharing(1.0, 1e6)
CONTEXT = QueueContext(64, 50_000_000, 1514, 60_000, 3_028, 4_000_000)


def counters(rng: np.random.Generator, count: int, limit: np.ndarray, new: bool) -> FlowCounters:
    return FlowCounters(
        slot=np.arange(count),
        is_new=np.full(count, new),
        sent_bytes=rng.integers(0, 200_000, count),
        sent_packets=rng.integers(0, 140, count),
        dropped_packets=rng.integers(0, 3, count),
        backlog_bytes=rng.integers(0, 60_000, count),
        backlog_packets=rng.integers(0, 40, count),
        limit_bytes=limit,
    )


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 64), alpha=st.floats(0.1, 100))
def test_limits_stay_within_the_range_of_the_queue_whatever_is_counted(
    seed: int, count: int, alpha: float
) -> None:
    rng = np.random.default_rng(seed)
    policy = Lfq(CONTEXT, load_network(), alpha)
    limit = np.full(count, CONTEXT.initial_limit_bytes)
    for tick in range(5):
        limit = policy.limits(counters(rng, count, limit, tick == 0), float(rng.uniform(0.001, 1)))
        assert limit.dtype == np.int64
        assert (limit >= CONTEXT.min_limit_bytes).all()
        assert (limit <= CONTEXT.max_limit_bytes).all()


def test_a_flow_is_judged_by_itself_alone_where_the_others_send_the_same() -> None:
    rng = np.random.default_rng(3)
    one = counters(rng, 1, np.array([60_000]), new=True)
    policy = Lfq(CONTEXT, load_network(), 5.0)
    columns = [name for name in one.__slots__ if name not in ("slot", "quiet_s")]
    many = FlowCounters(np.arange(5), *(np.repeat(getattr(one, name), 5) for name in columns))
    limits = policy.limits(many, 0.02)
    assert len(set(limits.tolist())) == 1


def test_a_higher_price_of_delay_never_begins_with_a_longer_queue() -> None:
    starts = [first_limit_bytes(f"lfq:{name}", 10**9, 1514) for name in ("latency", "balanced", "throughput")]
    assert starts == sorted(starts, key=lambda size: size or 0)
    assert list(PREFERENCES.values()) == sorted(PREFERENCES.values(), reverse=True)


def test_a_first_limit_holds_an_initial_window_and_the_handshake_before_it() -> None:
    assert first_limit_bytes("lfq:balanced", 10_000_000, 1514) == 11 * 1514


def test_on_a_slow_link_a_first_window_is_shorter_where_delay_is_dear() -> None:
    limits = [first_limit_bytes(f"lfq:{name}", 2_000_000, 1514) for name in PREFERENCES]
    assert limits == [
        4 * 1514,
        int(among_others.FIRST_PRICE / PREFERENCES["balanced"] * 2_000_000 / 8),
        11 * 1514,
    ]


@pytest.mark.parametrize("frame_bytes", [1446.0, 1500.0, 1514.0, 1518.0, 9014.0])
def test_the_shortest_limit_holds_a_whole_frame(frame_bytes: float) -> None:
    network, memory = load_network(), np.zeros((MEMORY, 1))
    memory[AGE_PACKETS] = memory[EVENTS] = 100.0
    zero, least = np.zeros(1), frame_bytes
    limit = np.array([60_000.0])
    for _ in range(400):
        poll = Poll(zero + frame_bytes, zero + 1, zero, zero, limit, zero, zero)
        among = company(network.start, memory, ALONE, Beginning(least, least), least, frame_bytes)
        limit = apply(network, memory, poll, zero - 9.0, among, 1e6, frame_bytes)
    assert least <= limit <= (1 + step.WORTH_WRITING) * least


def test_weights_come_back_as_they_were_written(tmp_path: Path) -> None:
    network = first_network(7)
    save_network(tmp_path / "w.npz", network)
    assert np.allclose(pack(load_network(tmp_path / "w.npz")), pack(network), atol=1e-6)
    assert [path.name for path in tmp_path.iterdir()] == ["w.npz"]


@given(st.integers(1, 256))
def test_the_width_of_a_network_is_read_off_its_vector(hidden: int) -> None:
    numbers = hidden**2 + hidden * (FEATURES + 3) + FEATURES + 7
    assert hidden_units(numbers) == hidden
    for wrong in (numbers - 1, numbers + 1):
        with pytest.raises(ValueError, match="no network"):
            hidden_units(wrong)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_networks_side_by_side_say_the_mean_of_what_each_says(count: int) -> None:
    rng = np.random.default_rng(2)
    networks = [unpack(rng.normal(0.0, 0.3, len(pack(first_network(1))))) for _ in range(count)]
    joint = side_by_side(networks)
    x = rng.normal(0.0, 1.0, (FEATURES, 9)).astype(np.float32)
    assert evaluate(joint, x) == pytest.approx(np.mean([evaluate(n, x) for n in networks], axis=0), abs=1e-5)
    assert joint.pace == pytest.approx(np.mean([n.pace for n in networks], axis=0))
    assert joint.start == pytest.approx(np.mean([n.start for n in networks], axis=0))
    assert side_by_side([joint, networks[0]]).first.shape == (
        len(joint.first) + len(networks[0].first),
        FEATURES,
    )
    assert all(np.array_equal(a, b) for a, b in zip(unpack(pack(joint)), joint, strict=True))


def _damage(path: Path, how: str) -> None:
    theta = pack(first_network(1))
    if how == "missing":
        path.unlink()
    elif how == "truncated":
        path.write_bytes(path.read_bytes()[:500])
    elif how == "garbage":
        path.write_bytes(bytes(range(256)) * 20)
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "version":
        np.savez(path, format=FORMAT + 1, weights=theta)
    elif how == "nan":
        theta[5] = np.nan
        np.savez(path, format=FORMAT, weights=theta)
    elif how == "short":
        np.savez(path, format=FORMAT, weights=theta[:-1])
    else:
        np.savez(path, format=FORMAT, weights=np.array([{}], object))


DAMAGE = ["missing", "truncated", "garbage", "empty", "version", "nan", "short", "pickle"]


@pytest.mark.parametrize("how", DAMAGE)
def test_damaged_weights_are_refused_and_named(tmp_path: Path, how: str) -> None:
    path = tmp_path / "w.npz"
    save_network(path, first_network(1))
    _damage(path, how)
    with pytest.raises(InputError, match=r"w\.npz"):
        load_network(path)


@pytest.mark.parametrize("how", DAMAGE)
def test_with_damaged_weights_the_safe_rule_takes_over_and_says_so(
    tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "w.npz"
    save_network(path, first_network(1))
    _damage(path, how)
    with caplog.at_level(logging.WARNING):
        assert isinstance(make_policy("lfq", CONTEXT, path), Sawtooth)
    assert "sawtooth is used instead" in caplog.text


def test_the_shipped_weights_are_small_and_can_be_used() -> None:
    assert SHIPPED.stat().st_size < 50_000
    assert isinstance(make_policy("lfq:latency", CONTEXT), Lfq)
    assert len(load_network().first) <= 64
    assert all(
        np.array_equal(a, b) for a, b in zip(unpack(pack(load_network())), load_network(), strict=True)
    )


def polled(sent: list[int], dropped: list[int], limit: np.ndarray, quiet_s: float, new: bool) -> FlowCounters:
    """Counters of flows that keep five frames waiting."""
    count = len(sent)
    return FlowCounters(
        slot=np.arange(count),
        is_new=np.full(count, new),
        sent_bytes=np.array(sent) * 1514,
        sent_packets=np.array(sent),
        dropped_packets=np.array(dropped),
        backlog_bytes=np.full(count, 5 * 1514),
        backlog_packets=np.full(count, 5),
        limit_bytes=limit,
        quiet_s=np.full(count, quiet_s),
    )


def company_of(
    sent: list[float],
    rate_bps: float,
    rtt_s: float = 0.0,
    losses: float = 1.0,
    alpha: float = 5.0,
    packets: list[float] | float = 0.0,
) -> among_others.Company:
    """What flows may queue that have sent so much a second, so many packets, and lost some so often."""
    memory = np.zeros((remembered.MEMORY, len(sent)))
    memory[remembered.MEAN_SENT], memory[AGE_PACKETS] = sent, packets
    memory[remembered.EVENTS], memory[remembered.RTT_S] = losses, rtt_s
    beginning = among_others.beginning_of(load_network().start, rate_bps, alpha, 1514.0)
    sharing = among_others.sharing(memory, rate_bps / 8)
    return company(load_network().start, memory, sharing, beginning, 1514.0, 1514.0)


def test_many_flows_on_a_slow_link_begin_with_fewer_frames_each_and_have_less_room_for_repairs() -> None:
    alone, crowd = company_of([1e5], 10e6, losses=0.0), company_of([1e4] * 50, 10e6, losses=0.0)
    assert alone.least_bytes == crowd.least_bytes == 1514
    assert crowd.first_bytes.max() < 10 * 1514 <= alone.first_bytes.min()
    assert crowd.part_bytes == 1514 < alone.part_bytes


def test_where_many_begin_the_next_flow_may_queue_less_and_else_as_much_as_the_first_one() -> None:
    alone = company_of([1e5], 10e6)
    begin, go_on = (company_of([1e4] * 50, 10e6, losses=losses) for losses in (0.0, 1.0))
    assert alone.next_bytes == first_limit_bytes("lfq:balanced", 10_000_000, 1514)
    assert begin.next_bytes < alone.next_bytes / 4
    assert go_on.next_bytes == 11 * 1514


def test_a_first_window_beside_others_is_whole_however_dear_delay_is() -> None:
    """Others are those that go on: not a call, nor what has itself just begun."""

    def next_frames(sent: float, packets: float) -> float:
        return company_of([sent], 3e6, alpha=18.0, packets=packets).next_bytes / 1514

    assert next_frames(1e3, 1e4) < 5
    assert next_frames(3e5, among_others.ONGOING_PACKETS - 1) < 5
    assert next_frames(3e5, among_others.ONGOING_PACKETS) == 11


def test_pages_that_begin_together_beside_a_download_share_three_whole_first_windows() -> None:
    for pages, frames in ((2, 11.0), (3, 11.0), (6, 5.5)):
        sent, packets = [3e5] + [0.0] * pages, [1e4] + [1.0] * pages
        among = company_of(sent, 3e6, losses=0.0, alpha=18.0, packets=packets)
        assert among.first_bytes[1:] / 1514 == pytest.approx(frames)


def test_beside_a_download_a_page_keeps_its_first_limit_for_two_windows_and_alone_for_one() -> None:
    beside = company_of([1.2e6, 1e4], 10e6, losses=0.0, packets=[1e4, 20.0])
    alone = company_of([1e4], 10e6, losses=0.0)
    assert beside.young_packets.tolist() == [10, 30]
    assert alone.young_packets.tolist() == [10]
    limits = []
    for among in (beside, alone):
        count = len(among.first_bytes)
        memory = np.zeros((MEMORY, count))
        memory[AGE_PACKETS] = 20.0
        memory[remembered.LOG_LIMIT] = np.log(11 * 1514.0)
        memory[remembered.IN_FORCE] = limit = np.full(count, 11 * 1514.0)
        zero = np.zeros(count)
        poll = Poll(zero + 7_500, zero + 5, zero, zero, limit, zero, zero)
        apply(first_network(1), memory, poll, zero - 1.0, among, 1e6, 1514.0)
        limits.append(float(np.exp(memory[remembered.LOG_LIMIT, -1])))
    assert limits[0] == pytest.approx(11 * 1514.0)
    assert limits[1] < 11 * 1514.0


def test_unused_queues_get_less_at_once_and_more_only_after_a_while() -> None:
    standing = np.array([16_000.0, 0.0])
    among_others.welcome(standing, 3_000.0, 0.02)
    assert standing[0] == 3_000.0
    among_others.welcome(standing, 3_200.0, 0.02)
    assert standing[0] == 3_000.0  # hardly more
    for _ in range(round(among_others.WELCOME_S / 0.02) - 1):
        among_others.welcome(standing, 16_000.0, 0.02)
        assert standing[0] == 3_000.0
    among_others.welcome(standing, 16_000.0, 0.02)
    among_others.welcome(standing, 16_000.0, 0.02)
    assert standing[0] == 16_000.0


def test_a_crowd_lowers_the_limit_of_unused_queues_until_it_is_gone() -> None:
    context = replace(CONTEXT, initial_limit_bytes=first_limit_bytes("lfq", CONTEXT.rate_bps, 1514) or 0)
    policy = Lfq(context, load_network(), 5.0)
    assert policy.first_limit_bytes(0) == context.initial_limit_bytes
    policy.limits(polled([3] * 60, [0] * 60, np.full(60, 16_000), 0.0, new=True), 0.02)
    assert policy.first_limit_bytes(60) < context.initial_limit_bytes / 4
    assert policy.first_limit_bytes(0) == context.initial_limit_bytes


def link_after(sent: list[int], waiting: list[int]) -> Float64:
    """Give what is known of the link after polls of 20 ms: frames that left, and frames that wait then."""
    memory, link = np.zeros((MEMORY, 1)), np.zeros(remembered.LINK_MEMORY)
    for number, (gone, waits) in enumerate(zip(sent, waiting, strict=True)):
        counted = polled([gone], [0], np.array([60_000]), 0.0, number == 0)
        poll = as_poll(replace(counted, backlog_bytes=np.array([waits * 1514])))
        remembered.measure(memory, link, poll, 0.02, 1514.0)
        remembered.remember(memory, poll, 0.02)
    return link


def test_a_link_whose_rate_varies_is_told_from_a_steady_one_whose_polls_cut_frames() -> None:
    steady = link_after([20, 21, 20, 19] * 25, [10] * 100)
    fades = link_after([35, 5] * 50, [10] * 100)
    assert steady[remembered.LINK_VARIES] == 0.0
    assert fades[remembered.LINK_VARIES] > 0.3


def test_a_link_that_idles_is_seen_by_how_little_waits_and_how_often_nothing() -> None:
    full, idles = link_after([20] * 300, [10] * 300), link_after([20] * 300, [10, 0, 10] * 100)
    assert full[remembered.LINK_EMPTY] == 0.0
    assert idles[remembered.LINK_EMPTY] == pytest.approx(1 / 3, abs=0.05)
    assert full[remembered.LINK_LOW] == pytest.approx(1 / 11, abs=0.01)
    assert idles[remembered.LINK_LOW] == pytest.approx(1 / 3 + 2 / 33, abs=0.03)
    assert full[remembered.LINK_MEAN_WAITING] == pytest.approx(10 * 1514, rel=0.01)


def deaf_after(polls: int, sent: int, dropped: int, frames: int, every: int = 1) -> bool:
    """Say whether a flow is found deaf that loses packets in every so many polls, at a full queue."""
    memory, link = np.zeros((MEMORY, 1)), np.zeros(remembered.LINK_MEMORY)
    limit = np.array([frames * 1514])
    for number in range(polls):
        counted = polled([sent], [dropped if number % every == 0 else 0], limit, 0.0, number == 0)
        poll = as_poll(replace(counted, backlog_bytes=limit, backlog_packets=np.array([frames])))
        remembered.measure(memory, link, poll, 0.02, 1514.0)
        remembered.remember(memory, poll, 0.02)
        remembered.listen(memory, poll, 0.02, sent * 1514 / 0.02, 1514.0)
    return bool(memory[remembered.DEAF, 0])


def test_a_sender_that_goes_on_losing_at_a_full_queue_is_found_deaf() -> None:
    assert deaf_after(60, sent=20, dropped=5, frames=20)
    assert not deaf_after(10, sent=20, dropped=5, frames=20)  # an overshoot looks like that as well


def test_a_sender_is_not_taken_for_deaf_whose_window_fits_what_it_loses() -> None:
    """One in 200 lost: a sender that heeds losses has 17 packets in flight (Mathis et al. 1997)."""
    assert not deaf_after(300, sent=20, dropped=1, frames=15, every=10)
    assert not deaf_after(300, sent=20, dropped=1, frames=6)  # one in 21: 5.6 in flight


def test_a_deaf_sender_gets_no_room_for_repairs() -> None:
    network = first_network(1)
    limit = np.array([30_000.0])
    zero = np.zeros(1)
    sizes = []
    for deaf in (0.0, 1.0):
        memory = np.zeros((MEMORY, 1))
        memory[AGE_PACKETS] = memory[EVENTS] = 100.0
        memory[remembered.LOG_LIMIT], memory[remembered.IN_FORCE], memory[remembered.DEAF] = (
            np.log(12_000.0),
            limit,
            deaf,
        )
        poll = Poll(zero + 30_000, zero + 20, zero + 4, limit, limit, zero, zero)
        among = company(network.start, memory, ALONE, Beginning(1e4, 1e4), 1514.0, 1514.0)
        sizes.append(float(apply(network, memory, poll, zero, among, 1e6, 1514.0)[0]))
    assert sizes[1] < sizes[0] <= step.MOST_WISHES * 12_000


def test_a_flow_of_steady_rate_that_never_lost_a_packet_may_queue_a_burst_however_dear_delay_is() -> None:
    sizes = []
    for age in (step.UNTROUBLED_PACKETS - 1, step.UNTROUBLED_PACKETS):
        memory = np.zeros((MEMORY, 1))
        memory[AGE_PACKETS], memory[remembered.LOG_LIMIT] = age, np.log(3_000.0)
        memory[remembered.IN_FORCE] = limit = np.array([3_000.0])
        zero = np.zeros(1)
        poll = Poll(zero + 15_000, zero + 10, zero, zero, limit, zero, zero)
        network, beginning = first_network(1), Beginning(16_000.0, 3_000.0)
        among = company(network.start, memory, ALONE, beginning, 1514.0, 1514.0)
        sizes.append(float(apply(network, memory, poll, zero, among, 1e6, 1514.0)[0]))
    assert sizes == [3_000.0, 16_000.0]


def moved_by(polls: float, packets: float) -> float:
    """How far a limit of 20 frames moves, as a logarithm, so long after a loss, where the best one is longer.

    The flow has 10 Mbit/s over 24 ms: with the limit its window is 40 packets.
    """
    memory = np.zeros((MEMORY, 1))
    memory[AGE_PACKETS], memory[EVENTS] = 1e5, 5.0
    memory[remembered.RTT_S], memory[remembered.RATE] = 0.024, 20 * 1500 / 0.024
    memory[remembered.SINCE_POLLS], memory[remembered.SINCE_PACKETS] = polls, packets
    memory[remembered.IN_FORCE] = limit = np.array([20 * 1500.0])
    memory[remembered.LOG_LIMIT] = np.log(limit)
    zero = np.zeros(1)
    poll = Poll(zero + 15_000, zero + 10, zero, limit, limit, zero, zero)
    network, beginning = first_network(1), Beginning(1e4, 1e4)
    among = company(network.start, memory, ALONE, beginning, 1500.0, 1500.0)
    apply(network, memory, poll, zero + 1.0, among, 1e6, 1500.0)
    return float(memory[remembered.LOG_LIMIT, 0] - np.log(limit[0]))


def test_a_limit_settles_in_the_course_of_a_cycle_of_losses() -> None:
    early, late, later = (moved_by(polls, 100.0) for polls in (step.SETTLE_POLLS, 40.0, 80.0))
    assert early == moved_by(1.0, 100.0) > 0.0
    assert late == pytest.approx(early / 2)
    assert later == pytest.approx(early / 4)


def test_a_limit_that_a_flow_does_not_come_to_moves_at_full_pace_again() -> None:
    """NewReno loses a packet in 3/8 of its window's square, here 600; twice that is waited for."""
    assert moved_by(80.0, 1_199.0) < moved_by(80.0, 1_201.0) == moved_by(1.0, 1_201.0)


def test_time_spent_waiting_for_a_timeout_counts_as_lost_and_a_pause_without_a_loss_does_not() -> None:
    shares = []
    for unrepaired in (1e5, 0.0):
        memory = np.zeros((MEMORY, 1))
        memory[remembered.HELD_LEFT_BYTES] = unrepaired
        remembered.count_timeouts(memory, as_poll(polled([1], [0], np.array([60_000]), 1.0, False)), 0.02)
        shares.append((memory[remembered.TIMEOUTS, 0], memory[remembered.LOST_SLOW, 0]))
    assert shares[0] == (1.0, pytest.approx(1.0 - 0.97**50))
    assert shares[1] == (0.0, 0.0)


def test_a_call_beside_a_download_does_not_make_a_crowd() -> None:
    alone = company_of([1e6], 10e6)
    beside = company_of([1e6] + [2e3] * 20, 10e6)
    assert beside.early_bytes[0] == pytest.approx(alone.early_bytes[0], rel=0.1)


def test_the_handshake_and_the_first_window_tell_the_round_trip_time_to_half_an_interval() -> None:
    memory, link = np.zeros((MEMORY, 1)), np.zeros(remembered.LINK_MEMORY)
    for quiet_s, new, sent in ((0.0, True, 1), (0.06, False, 10), (0.02, False, 20)):
        poll = as_poll(polled([sent], [0], np.array([60_000]), quiet_s, new))
        remembered.measure(memory, link, poll, 0.02, 1514.0)
        remembered.remember(memory, poll, 0.02)
    assert memory[remembered.RTT_S, 0] == pytest.approx(0.07)


def told_rtt_s(*polls: tuple[bool, int, int]) -> float:
    """Give the round-trip time after polls of 20 ms without a pause: is it new, packets sent and dropped."""
    memory, link = np.zeros((MEMORY, 1)), np.zeros(remembered.LINK_MEMORY)
    for new, sent, dropped in polls:
        poll = as_poll(polled([sent], [dropped], np.array([60_000]), 0.0, new))
        remembered.measure(memory, link, poll, 0.02, 1514.0)
        remembered.remember(memory, poll, 0.02)
    return float(memory[remembered.RTT_S, 0])


def test_a_handshake_in_the_poll_before_the_first_window_tells_that_the_path_is_short() -> None:
    assert told_rtt_s((True, 1, 0), (False, 10, 0)) == pytest.approx(0.01)
    assert told_rtt_s((True, 11, 0), (False, 10, 0)) == 0.0


def test_a_first_window_that_loses_a_packet_tells_the_round_trip_time_too() -> None:
    assert told_rtt_s((True, 1, 0), (False, 9, 1)) == pytest.approx(0.01)
    assert told_rtt_s((True, 1, 0), (False, 0, 1), (False, 9, 1)) == pytest.approx(0.01)


def test_slow_start_over_a_long_path_is_given_a_longer_queue_and_may_fill_a_large_one() -> None:
    unknown, long_path = company_of([1e5], 5e6), company_of([1e5], 5e6, rtt_s=0.07)
    assert unknown.early_bytes[0] < long_path.early_bytes[0]
    assert long_path.early_bytes[0] == pytest.approx(load_network().start[2] * 5e6 / 8 * 0.07)
    assert company_of([1e6], 100e6, rtt_s=0.07).early_bytes[0] == pytest.approx(100e6 / 8 * 0.07)


def test_counters_without_the_time_of_quiet_are_taken_as_busy() -> None:
    context = QueueContext(4, 50_000_000, 1514, 60_000, 3_028, 4_000_000)
    told, untold = Lfq(context, load_network(), 4.0), Lfq(context, load_network(), 4.0)
    counted = polled([12, 3], [0, 1], np.array([60_000, 60_000]), 0.0, new=True)
    assert told.limits(counted, 0.02).tolist() == untold.limits(replace(counted, quiet_s=None), 0.02).tolist()
