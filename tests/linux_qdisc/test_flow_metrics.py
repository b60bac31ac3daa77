"""What Prometheus is told."""

from __future__ import annotations

import socket
import urllib.request
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from linux_qdisc.controller import Summary
from linux_qdisc.distribution import (
    DROPS,
    POLLS_AT_ONCE,
    FlowHistograms,
    Histogram,
    ObservedPoll,
    drain_rate,
)
from linux_qdisc.metrics import serve
from qos.errors import InputError


@pytest.fixture
def port() -> int:
    """A port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@given(st.lists(st.lists(st.floats(0, 200), max_size=8), max_size=8))
def test_a_histogram_counts_as_one_does_by_hand(rounds: list[list[float]]) -> None:
    histogram = Histogram(DROPS)
    for values in rounds:
        histogram.add(np.array(values))
    everything = [value for values in rounds for value in values]
    for bound, count in histogram.cumulated():
        assert count == sum(value <= float(bound) for value in everything)
    assert histogram.total == pytest.approx(sum(everything))


def test_a_queue_drains_at_the_rate_of_its_latest_poll_or_at_a_fair_share() -> None:
    sent, active = np.array([1500, 0, 1500]), np.array([3, 3, 1])
    rate = drain_rate(sent, np.array([0.02, 0.02, 0.01]), active, 3_600_000)
    # 1500 B in 20 ms; nothing sent, so a third of 450 kB/s; 1500 B in 10 ms.
    assert rate == pytest.approx([75_000, 150_000, 150_000])


def poll(backlog: list[int], dt_s: float) -> ObservedPoll:
    waiting = np.array(backlog)
    return ObservedPoll(waiting, waiting + 3000, np.full(len(backlog), 7500), np.arange(len(backlog)), dt_s)


def test_polls_counted_at_once_count_as_polls_counted_one_by_one() -> None:
    polls = [poll([1500, 6000], 0.02), None, poll([9000], 0.04), poll([0] * 5, 0.02)]
    at_once, one_by_one = FlowHistograms(), FlowHistograms()
    for seen in polls:
        at_once.observe(seen, 10**7, 0.001)
        one_by_one.observe(seen, 10**7, 0.001)
        one_by_one.count(10**7)
    at_once.count(10**7)
    for name in ("backlog_bytes", "limit_bytes", "sojourn_s", "drops", "loop_s"):
        one, other = getattr(at_once, name), getattr(one_by_one, name)
        assert one.cumulated() == other.cumulated()
        assert one.total == pytest.approx(other.total)
    assert at_once.sojourn_s.total == pytest.approx(0.004 + 0.016 + 0.048)


def test_polls_do_not_pile_up_where_nobody_asks() -> None:
    flows = FlowHistograms()
    for _ in range(POLLS_AT_ONCE):
        flows.observe(poll([1500], 0.02), 10**7, 0.001)
    assert flows.backlog_bytes.total == 1500 * POLLS_AT_ONCE


def summary() -> Summary:
    flows = FlowHistograms()
    waiting, limits = np.array([1500, 6000]), np.array([30_000, 9000])
    seen = ObservedPoll(waiting, limits, np.array([7500, 4000]), np.array([0, 3]), 0.02)
    flows.observe(seen, 10**7, 0.0015)
    flows.count(10**7)
    return Summary("v0", 2, 99, 3, 7500, 6000, 19_500.0, 0.0015, flows)


def test_every_figure_is_served_in_a_form_that_prometheus_reads(port: int) -> None:
    stop = serve(f"127.0.0.1:{port}", lambda: [summary()])
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            text = answer.read().decode()
    finally:
        stop()
    found = {family.name: family for family in text_string_to_metric_families(text)}
    assert len(found) == len(fields(Summary)) - 2 + 5
    samples = {
        (row.name, row.labels.get("le")): row.value for family in found.values() for row in family.samples
    }
    assert samples["qos_backlog_bytes", None] == 7500
    assert samples["qos_sent_bytes_total", None] == 99
    assert samples["qos_flow_backlog_bytes_bucket", "1500.0"] == 1
    assert samples["qos_flow_backlog_bytes_count", None] == 2
    assert samples["qos_flow_sojourn_seconds_sum", None] == pytest.approx(0.034)
    assert samples["qos_flow_dropped_packets_bucket", "2.0"] == 1
    assert samples["qos_poll_seconds_bucket", "0.002"] == 1
    assert all(row.labels["device"] == "v0" for family in found.values() for row in family.samples)


def test_a_taken_port_is_one_clear_error(port: int) -> None:
    stop = serve(f"127.0.0.1:{port}", list)
    try:
        with pytest.raises(InputError, match="in use"):
            serve(f"127.0.0.1:{port}", list)
    finally:
        stop()
