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
from linux_qdisc.distribution import DROPS, FlowHistograms, Histogram, sojourn_estimate_s
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


def test_the_sojourn_is_backlog_over_rate() -> None:
    backlog, sent = np.array([3000, 1500, 0]), np.array([1500, 0, 1500])
    waits_s = sojourn_estimate_s(backlog, sent, 0.02, 3_600_000)
    # Rates: 75 kB/s; nothing sent, so a third of 450 kB/s; nothing waits.
    assert waits_s == pytest.approx([0.04, 0.01, 0.0])


def summary() -> Summary:
    flows = FlowHistograms()
    flows.observe(np.array([1500, 6000]), np.array([30_000, 9000]), np.array([0.004, 0.03]), np.array([0, 3]))
    flows.loop_s.add(np.array([0.0015]))
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
