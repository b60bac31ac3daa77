"""`qos adapt --dev`: what the stations of this host's radio can carry."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from qos.cli.common import CommandSettings, console, print_json
from qos.demands import FlowDemand
from qos.units import format_rate

if TYPE_CHECKING:
    from qos.crosslayer.station_fit import StationFit


def adapt_device(
    settings: CommandSettings, dev: str, demands: Sequence[FlowDemand], *, set_limits: bool = False
) -> None:
    """Print what each station of a Wi-Fi interface can carry of each class.

    Parameters
    ----------
    settings
        The global flags.
    dev
        The interface.
    demands
        Classes.
    set_limits
        Whether to set the stations' retry limits in the kernel, one for each access category.

    Raises
    ------
    InputError
        If the interface does not exist, is no radio, or no station is associated.
    KernelError
        If limits are to be set and the driver refuses.
    """
    from linux_qdisc.wifi_stations import read_stations
    from qos.crosslayer.station_fit import fit_station

    fits = [fit_station(station, demands) for station in read_stations(dev)]
    wanted = [category_limits(demands, fit) for fit in fits]
    if set_limits:
        from linux_qdisc.wifi_retries import limits_of_categories, set_retries

        for fit, limits in zip(fits, wanted, strict=True):
            if limits:
                set_retries(dev, limits_of_categories(limits), fit.address)
    if settings.as_json:
        stations = [
            asdict(fit) | {"retries_by_category": limits} for fit, limits in zip(fits, wanted, strict=True)
        ]
        print_json({"schema": 1, "device": dev, "retries_set": set_limits, "stations": stations})
        return
    from rich import box
    from rich.table import Table

    out = console(settings)
    if not sys.stdout.isatty():
        out.width = 10_000
    for fit, limits in zip(fits, wanted, strict=True):
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
        retries = ", ".join(f"{category} {number}" for category, number in limits.items())
        if retries:
            word = "set" if set_limits else "wanted (--set-retries sets them)"
            out.print(f"  retry limits {word}: {retries}", markup=False)


def category_limits(demands: Sequence[FlowDemand], fit: StationFit) -> dict[str, int]:
    """Give the retry limit of each Wi-Fi access category: the largest that a class carried in it needs."""
    from qos.profiles import find_profile

    limits: dict[str, int] = {}
    for demand, each in zip(demands, fit.classes, strict=True):
        if each.carried and each.retransmissions is not None:
            category = find_profile(demand.profile).access_category if demand.profile else "BE"
            limits[category] = max(limits.get(category, 0), each.retransmissions)
    return limits
