"""`qos adapt --dev`: what the stations of this host's radio can carry."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict

from qos.cli.common import CommandSettings, console, print_json
from qos.demands import FlowDemand
from qos.units import format_rate


def adapt_device(settings: CommandSettings, dev: str, demands: Sequence[FlowDemand]) -> None:
    """Print what each station of a Wi-Fi interface can carry of each class.

    Raises
    ------
    InputError
        If the interface does not exist, is no radio, or no station is associated.
    """
    from linux_qdisc.wifi_stations import read_stations
    from qos.crosslayer.station_fit import fit_station

    fits = [fit_station(station, demands) for station in read_stations(dev)]
    if settings.as_json:
        print_json({"schema": 1, "device": dev, "stations": [asdict(fit) for fit in fits]})
        return
    from rich import box
    from rich.table import Table

    out = console(settings)
    if not sys.stdout.isatty():
        out.width = 10_000
    for fit in fits:
        signal = "" if fit.signal_dbm is None else f", signal {fit.signal_dbm} dBm"
        errors = "unknown" if fit.error_rate is None else f"{fit.error_rate:.1%}"
        rate = format_rate(round(fit.goodput_bps))
        out.print(f"{dev} {fit.address}{signal}: carries about {rate}, error rate {errors}", markup=False)
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        for column in ("class", "carried", "source rate", "retries", "why"):
            table.add_column(column)
        for each in fit.classes:
            rate = "-" if each.source_bps is None else format_rate(int(each.source_bps))
            limit = "-" if each.retransmissions is None else str(each.retransmissions)
            table.add_row(each.name, "yes" if each.carried else "no", rate, limit, each.reason)
        out.print(table)
        for note in fit.notes:
            out.print(f"  note: {note}", markup=False)
