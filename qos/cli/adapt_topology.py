"""`qos adapt TOPOLOGY` and `qos adapt --dev`: what each wireless link can carry, and with which settings."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from qos.cli.common import CommandSettings, console, print_json
from qos.errors import InputError, QosError, ValueRefusedError
from qos.units import format_rate

if TYPE_CHECKING:
    from qos.crosslayer.harq import Combining
    from qos.crosslayer.link_design import ClassDesign, LinkModel
    from qos.crosslayer.link_simulation import LinkCheck
    from qos.crosslayer.radio.link_budget import RadioFigures
    from qos.demands import FlowDemand
    from topologies.links import WirelessLink
    from topologies.model import Topology

DEFAULT_CLASSES = ("voice", "conversational-video", "gaming", "cloud-gaming", "streaming-video", "bulk")
SEED = 1


@dataclass(frozen=True, slots=True)
class TopologyRequest:
    """What the command line asks of a topology, or of a radio of this host.

    Attributes
    ----------
    topology_path
        Name of the library or file, or None with `dev`.
    link
        ``A:B`` or the id of a link; None: every wireless link.
    demands
        Each ``PROFILE``, ``PROFILE,rate=2mbit`` or ``rate=2mbit,delay=50ms,loss=0.01``.
    dev
        A Wi-Fi interface of this host in place of a topology.
    harq
        What the receiver does with failed attempts; None: as in 802.11.
    set_retries
        With `dev`: set the stations' retry limits in the kernel.
    radio
        Figures that the topology does not say, ``KEY=VALUE,...`` with the fields of `RadioFigures`.
    interference
        Whether co-channel links count as always on.
    """

    topology_path: str | None
    link: str | None
    demands: tuple[str, ...]
    dev: str | None
    harq: Combining | None = None
    set_retries: bool = False
    radio: str | None = None
    interference: bool = False


def adapt_topology(settings: CommandSettings, request: TopologyRequest) -> None:
    """Print the settings of the wireless links of a topology, or what a Wi-Fi device can carry.

    Raises
    ------
    ValueRefusedError
        If a flag has a value that cannot be used.
    InputError
        If the topology has no wireless link.
    """
    path = request.topology_path
    if request.dev is not None:
        if path is not None or request.link is not None or request.harq is not None:
            raise ValueRefusedError(
                "--dev takes no TOPOLOGY, no --link and no --harq: it reads the radio of this host"
            )
        from qos.cli.adapt_device import adapt_device

        adapt_device(
            settings,
            request.dev,
            demands_of(request.demands, "here", "there"),
            set_limits=request.set_retries,
        )
        return
    if path is None:
        raise ValueRefusedError("name a TOPOLOGY (see 'qos topology list'), or a radio with --dev")
    from topologies.files import load

    topology = load(path)
    links = choose_links(topology, request.link, path)
    classes = {each.id: demands_of(request.demands, each.source, each.target) for each in links}
    rows = _design_all(settings, topology, links, classes, request)
    if settings.as_json:
        documents = [_document(*row) for row in rows]
        print_json({"schema": 1, "topology": topology.name, "seed": SEED, "links": documents})
        return
    for row in rows:
        _show(settings, *row)


def demands_of(texts: Sequence[str], source: str, destination: str) -> tuple[FlowDemand, ...]:
    """Read the demands of the command line; without any, the usual classes.

    Raises
    ------
    ValueRefusedError
        If a text is no demand; names the flag.
    """
    from qos.demands import FlowDemand

    demands = []
    for text in texts or DEFAULT_CLASSES:
        entry: dict[str, Any] = {"source": source, "destination": destination}
        for part in text.split(","):
            key, equals, value = part.partition("=")
            if not equals:
                key, value = "profile", part
            if key.strip() in entry:
                raise ValueRefusedError(f"--demand {text}: {key.strip()} is given twice")
            entry[key.strip()] = _plain(value.strip())
        demands.append(FlowDemand.from_mapping(entry, f"--demand {text}"))
    return tuple(demands)


def _plain(value: str) -> str | float | int:
    """Give a number where the text is one: a rate or a time keeps its unit and stays text."""
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value


def choose_links(topology: Topology, link: str | None, path: str) -> tuple[WirelessLink, ...]:
    """Select one wireless link by its ends or id, or all of them.

    Raises
    ------
    ValueRefusedError
        If the link does not exist or is not wireless.
    InputError
        If the topology has no wireless link.
    """
    from topologies.links import WirelessLink

    radio = tuple(each for each in topology.links.values() if isinstance(each, WirelessLink))
    if not radio:
        raise InputError(f"{path}: the topology has no wireless link; 'qos topology show' lists its links")
    if link is None:
        return radio
    ends = set(link.split(":"))
    chosen = tuple(each for each in radio if each.id == link or {each.source, each.target} == ends)
    if not chosen:
        known = ", ".join(f"{each.source}:{each.target}" for each in radio[:8])
        raise ValueRefusedError(f"--link {link}: no such wireless link in {path}; there are {known}")
    return chosen


Row = tuple["LinkModel", "tuple[ClassDesign, ...]", "tuple[LinkCheck, ...]", "tuple[str, ...]"]


def _design_all(
    settings: CommandSettings,
    topology: Topology,
    links: Sequence[WirelessLink],
    classes: dict[str, tuple[FlowDemand, ...]],
    request: TopologyRequest,
) -> list[Row]:
    from rich.progress import Progress

    from qos.crosslayer.link_design import design_link, model_link
    from qos.crosslayer.link_simulation import simulate_link
    from qos.crosslayer.radio.link_budget import interferers, total_interference_dbm

    figures = radio_figures(request.radio)
    rows: list[Row] = []
    quiet = settings.verbosity < 0 or not sys.stderr.isatty()
    with Progress(console=console(settings, stderr=True), transient=True, disable=quiet) as progress:
        task = progress.add_task("links", total=len(links))
        for link in links:
            near = interferers(topology, link, figures)
            heard = total_interference_dbm(near) if request.interference else None
            try:
                model = model_link(topology, link, figures, heard)
                designs = design_link(model, classes[link.id], request.harq)
            except QosError as error:
                raise type(error)(f"link {link.id}: {error}") from None
            strong = [each for each in near if each.power_dbm > model.budget.noise_dbm - 10]
            counted = "in the SNR" if request.interference else "not in the SNR (--interference)"
            notes = tuple(
                f"{each.link} is on the same channel: {each.power_dbm:.0f} dBm from {each.sender}, noise "
                f"{model.budget.noise_dbm:.0f} dBm; {counted}"
                for each in strong
            ) + _rain_note(model, figures)
            rows.append((model, designs, simulate_link(model, designs, SEED), notes))
            progress.advance(task)
    return rows


def radio_figures(text: str | None) -> RadioFigures:
    """Read ``KEY=VALUE,...`` into the figures of the radios.

    Raises
    ------
    ValueRefusedError
        If a key is unknown, or a value is no number or out of range.
    """
    from qos.crosslayer.radio.link_budget import RadioFigures

    known = [each.name for each in fields(RadioFigures)]
    given: dict[str, Any] = {}
    for part in filter(None, (text or "").split(",")):
        key, _, value = (each.strip() for each in part.partition("="))
        if key not in known:
            raise ValueRefusedError(f"--radio {text}: no figure {key!r}; there are {', '.join(known)}")
        given[key] = value if key == "path_loss" else _plain(value)
        if key != "path_loss" and isinstance(given[key], str):
            raise ValueRefusedError(f"--radio {text}: {key} needs a number, got {value!r}")
    return RadioFigures(**given)


def _rain_note(model: LinkModel, figures: RadioFigures) -> tuple[str, ...]:
    """Tell the share of the year in which rain leaves the slowest mode its SNR, where rain is asked for."""
    from qos.crosslayer.radio.rain import rain_availability

    link = model.link
    if not figures.rain_mm_per_h or link.distance_m is None or link.frequency_hz < 1e9:
        return ()
    rain = -dict(model.budget.items).get("rain", 0.0)
    margin = model.budget.snr_db + rain - 10 * math.log10(float(model.table.snr_for(0.01)[0]))
    if margin < 0:
        return (f"rain: the slowest mode lacks {-margin:.1f} dB even in clear sky",)
    share = rain_availability(margin, link.distance_m, link.frequency_hz, figures.rain_mm_per_h)
    return (
        f"rain: {margin:.1f} dB above the slowest mode in clear sky, enough for {share:.3%} of the year "
        "(ITU-R P.530; the model ends at 99.999 %)",
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _document(
    model: LinkModel, designs: Sequence[ClassDesign], checks: Sequence[LinkCheck], notes: Sequence[str]
) -> dict[str, Any]:
    budget = model.budget
    return {
        "link": model.link.id,
        "source": model.link.source,
        "target": model.link.target,
        "budget": {
            "items_db": dict(budget.items),
            "received_dbm": budget.received_dbm,
            "noise_dbm": budget.noise_dbm,
            "interference_dbm": budget.interference_dbm,
            "snr_db": budget.snr_db,
            "source": budget.source,
        },
        "mode_table": model.table.name,
        "slot_s": model.slot_s,
        "doppler_per_slot": model.doppler_slot,
        "classes": [_class_document(*pair) for pair in zip(designs, checks, strict=True)],
        "notes": list(notes),
    }


def _class_document(each: ClassDesign, check: LinkCheck) -> dict[str, Any]:
    found = each.performance
    names = each.demand.profile or each.demand.name or "demand"
    return {
        "class": names,
        "carried": not each.refused,
        "reason": each.refused,
        "retransmissions": each.retransmissions,
        "thresholds_db": [round(float(value), 4) for value in found.thresholds_db],
        "spectral_efficiency": each.spectral_efficiency,
        "harq": None if each.harq is None else each.harq.combining,
        "power_dbm": each.power_dbm,
        "admissible_bps": each.admissible_bps,
        "source_bps": each.source_bps,
        "delay_bound_s": each.demand.delay_bound_s,
        "predicted": {"loss": each.loss, "loss_slow_channel": each.slow_loss, "late": each.late},
        "simulated": {
            "rate_bps": check.rate_bps,
            "loss": check.loss,
            "late": check.late,
            "mean_delay_s": _finite(check.mean_delay_s),
        },
    }


def _rate(value: float | None) -> str:
    return "-" if not value else format_rate(int(float(f"{value:.3g}")))


def _show(
    settings: CommandSettings,
    model: LinkModel,
    designs: Sequence[ClassDesign],
    checks: Sequence[LinkCheck],
    notes: Sequence[str],
) -> None:
    out = console(settings)
    if not sys.stdout.isatty():
        out.width = 10_000
    budget = model.budget
    out.print(
        f"{model.link.id}: mean SNR {budget.snr_db:.1f} dB ({budget.source}), Nakagami m {model.fading.m:g}, "
        f"Doppler {model.link.doppler_hz:g} Hz, modes {model.table.name}",
        markup=False,
    )
    parts = ", ".join(f"{name} {value:.1f}" for name, value in budget.items)
    out.print(f"  budget: {parts}; received {budget.received_dbm:.1f} dBm, noise {budget.noise_dbm:.1f} dBm")
    out.print(_class_table(designs, checks))
    out.print(_threshold_table(model, designs))
    for each in designs:
        if each.refused:
            out.print(f"  {each.demand.profile or 'demand'} is not carried: {each.refused}", markup=False)
    for note in notes:
        out.print(f"  note: {note}", markup=False)
    out.print()


def _new_table(columns: Sequence[str]) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        table.add_column(column, justify="left" if column in ("class", "mode") else "right")
    return table


def _class_table(designs: Sequence[ClassDesign], checks: Sequence[LinkCheck]) -> Any:
    columns = ("class", "retries", "power dBm", "admits", "source rate", "delay bound")
    table = _new_table((*columns, "loss", "simulated", "late <=", "simulated", "mean delay"))
    for each, check in zip(designs, checks, strict=True):
        bound = each.demand.delay_bound_s
        ran = check.rate_bps > 0
        table.add_row(
            each.demand.profile or each.demand.name or "demand",
            str(each.retransmissions),
            "-" if each.source_bps is None else f"{each.power_dbm:.0f}",
            _rate(each.admissible_bps),
            _rate(each.source_bps),
            "-" if bound is None else f"{bound * 1e3:g} ms",
            f"{max(each.slow_loss, each.loss):.1e}",
            f"{check.loss:.1e}" if ran else "-",
            f"{each.late:.1e}" if each.late else "-",
            f"{check.late:.1e}" if ran and each.late else "-",
            f"{check.mean_delay_s * 1e3:.2f} ms" if ran and math.isfinite(check.mean_delay_s) else "-",
        )
    return table


def _threshold_table(model: LinkModel, designs: Sequence[ClassDesign]) -> Any:
    names = [each.demand.profile or each.demand.name or "demand" for each in designs]
    table = _new_table(("mode", "bit/symbol", *(f"{name} dB" for name in names)))
    for index, mode in enumerate(model.table.modes):
        levels = [f"{each.performance.thresholds_db[index]:.2f}" for each in designs]
        table.add_row(mode.name, f"{mode.bits_per_symbol:.2f}", *levels)
    return table
