"""A Prometheus endpoint: per interface, summed and as distributions over its flows."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from linux_qdisc.controller import Summary
from linux_qdisc.settings import split_address
from qos.errors import InputError

_GAUGES = {
    "active_flows": "Flows that sent or waited in the latest poll",
    "backlog_bytes": "Bytes that wait in all queues",
    "backlog_largest_bytes": "Bytes that wait in the fullest queue",
    "limit_mean_bytes": "Mean limit of the queues in use",
    "loop_s": "Seconds that the latest turn of the control loop took",
}
_COUNTERS = {
    "sent_bytes": "Bytes sent since the tree was made",
    "dropped_packets": "Packets dropped since the tree was made",
}
_HISTOGRAMS = {
    "backlog_bytes": ("flow_backlog_bytes", "Bytes waiting, of each active flow at each poll"),
    "limit_bytes": ("flow_limit_bytes", "Limit, of each active flow at each poll"),
    "sojourn_s": ("flow_sojourn_seconds", "Backlog over rate, of each active flow at each poll"),
    "drops": ("flow_dropped_packets", "Packets dropped since the poll before, of each active flow"),
    "loop_s": ("poll_seconds", "Time that a turn of the control loop took"),
}


class _Collector:
    """Reads the figures when somebody asks for them."""

    def __init__(self, read: Callable[[], list[Summary]]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        """Yield one family for each figure."""
        rows = self._read()
        for name, text in _GAUGES.items():
            unit_name = "loop_seconds" if name == "loop_s" else name
            gauge = GaugeMetricFamily(f"qos_{unit_name}", text, labels=["device"])
            for row in rows:
                gauge.add_metric([row.device], getattr(row, name))
            yield gauge
        for name, text in _COUNTERS.items():
            counter = CounterMetricFamily(f"qos_{name}", text, labels=["device"])
            for row in rows:
                counter.add_metric([row.device], getattr(row, name))
            yield counter
        for name, (metric, text) in _HISTOGRAMS.items():
            histogram = HistogramMetricFamily(f"qos_{metric}", text, labels=["device"])
            for row in rows:
                counted = getattr(row.flows, name)
                histogram.add_metric([row.device], buckets=counted.cumulated(), sum_value=counted.total)
            yield histogram


def serve(address: str, read: Callable[[], list[Summary]]) -> Callable[[], None]:
    """Serve metrics at ``ADDR:PORT`` from a thread; return what stops it.

    Raises
    ------
    InputError
        If the address is not of this host or the port is taken.
    """
    host, port = split_address(address)
    registry = CollectorRegistry()
    registry.register(_Collector(read))
    try:
        server, thread = start_http_server(port, addr=host, registry=registry)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        what = "is in use by another program" if taken else f"cannot be used ({error.strerror})"
        raise InputError(f"--metrics {address}: the address {what}") from None

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return stop
