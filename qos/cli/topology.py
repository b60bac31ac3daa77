"""`qos topology list|show|check|convert`: the library, topology files and this host as data."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from qos.cli.common import CommandSettings, console, global_options, merge_settings, print_json, verb
from qos.errors import InputError, QosError, ValueRefusedError
from qos.units import NANOSECONDS_PER_SECOND, format_duration, format_rate

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from topologies.host import HostView
    from topologies.model import Link, Node, Topology

HOST = "host"


@click.group(
    name="topology", no_args_is_help=False, short_help="List, show, check, convert and draw topologies."
)
@global_options
@click.pass_context
def command(ctx: click.Context, /, **flags: object) -> None:
    """List, show, check, convert and draw topologies.

    A topology is NAME (of the library), FILE (.yaml, .yml, .json, .graphml, .gml) or the word
    host: the interfaces of this machine.
    """
    merge_settings(ctx, flags)


class _Source(click.ParamType[str]):
    name = "topology"

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> list[CompletionItem]:
        """Offer the library's names, host, and files."""
        from click.shell_completion import CompletionItem

        from topologies.files import library_names

        names = [name for name in [*library_names(), HOST] if name.startswith(incomplete)]
        return [CompletionItem(name) for name in names] or [CompletionItem(incomplete, type="file")]


def _read(name: str) -> tuple[Topology, tuple[str, ...], HostView | None, bool]:
    """Give the topology, notes, the host's details, and whether the file also had demands."""
    if name == HOST:
        from topologies.host import read_host

        view = read_host()
        return view.topology, view.notes, view, False
    from topologies.files import read

    loaded = read(name)
    return loaded.topology, loaded.notes, None, loaded.demands is not None


def _say(settings: CommandSettings, text: str) -> None:
    if settings.verbosity >= 0:
        print(f"qos: {text}", file=sys.stderr)


@verb(short_help="List the topologies of the library.")
def list_(settings: CommandSettings) -> None:
    """List the topologies of the library."""
    from topologies.files import library_names, load

    rows: list[dict[str, Any]] = []
    for name in library_names():
        topology = load(name)
        kinds = sorted({link.kind for link in topology.links.values()})
        counts = {"nodes": len(topology.nodes), "links": len(topology.links)}
        rows.append({"name": name, **counts, "kinds": kinds, "description": topology.description})
    if settings.as_json:
        print_json({"schema": 1, "topologies": rows})
        return
    cells = [[r["name"], r["nodes"], r["links"], ", ".join(r["kinds"]), r["description"]] for r in rows]
    _table(settings, "", ["name", ">nodes", ">links", "kinds", "description"], cells)


def _table(settings: CommandSettings, title: str, columns: list[str], rows: list[list[object]]) -> None:
    """Print an aligned table; a column whose name starts with `>` is set to the right."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False
    )
    for column in columns:
        right = column.startswith(">")
        table.add_column(column.lstrip(">"), justify="right" if right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text("" if cell is None else str(cell)) for cell in row))
    out = console(settings)
    if not sys.stdout.isatty():
        out.width = 10_000  # on a pipe nothing is cut or folded: the reader is a program
    out.print(table)
    out.print()


def _node_row(node: Node) -> list[object]:
    where = "" if node.latitude is None else f"{node.latitude:.4f}, {node.longitude:.4f}"
    qubits = f"{node.communication_qubits}+{node.storage_qubits}" if node.kind.startswith("quantum") else ""
    return [node.id, node.kind, node.label, where, qubits, " ".join(node.interfaces)]


def _delay(delay_s: float) -> str:
    return format_duration(round(delay_s * NANOSECONDS_PER_SECOND)) if delay_s < 1e9 else f"{delay_s:g}s"


def _properties(link: Link) -> str:
    """Say in one cell what a link can do."""
    from topologies.links import WiredLink, WirelessLink

    if isinstance(link, WiredLink):
        back = f" / {format_rate(link.reverse_rate_bps)} back" if link.reverse_rate_bps else ""
        loss = f", loss {link.loss_probability:g}" if link.loss_probability else ""
        return f"{format_rate(link.rate_bps)}{back}, {_delay(link.delay_s)}{loss}"
    if isinstance(link, WirelessLink):
        snr = "" if link.snr_db is None else f", SNR {link.snr_db:g} dB"
        far = "" if link.distance_m is None else f", {link.distance_m:g} m"
        width = f"{link.bandwidth_hz / 1e6:g} MHz at {link.frequency_hz / 1e9:g} GHz"
        return f"{width}{snr}{far}, Doppler {link.doppler_hz:g} Hz"
    points = f", {len(link.capabilities)} working points" if link.capabilities else ""
    table = f", table {link.table}" if link.table else ""
    return f"{link.length_m / 1000:g} km{points}{table}"


def _show_tables(settings: CommandSettings, topology: Topology, view: HostView | None) -> None:
    title = f"{topology.name or 'unnamed'}: {len(topology.nodes)} nodes, {len(topology.links)} links"
    console(settings).print(
        title + (f" - {topology.description}" if topology.description else ""), markup=False
    )
    nodes = [_node_row(node) for node in topology.nodes.values()]
    headings = ["node", "kind", "label", "latitude, longitude", "qubits", "interfaces"]
    used = [i for i in range(len(headings)) if i < 2 or any(row[i] for row in nodes)]
    _table(settings, "", [headings[i] for i in used], [[row[i] for i in used] for row in nodes])
    links = [[k.id, k.kind, k.source, k.target, _properties(k)] for k in topology.links.values()]
    _table(settings, "", ["link", "kind", "from", "to", "properties"], [list(row) for row in links])
    if view is None:
        return
    rows: list[list[object]] = [
        [
            i.name,
            i.kind or "hardware",
            "up" if i.up else "down",
            i.mtu_bytes,
            " ".join(i.addresses),
            "; ".join(i.qdiscs),
        ]
        for i in view.interfaces
    ]
    _table(settings, "", ["interface", "kind", "state", ">mtu", "addresses", "qdiscs"], rows)
    routes: list[list[object]] = [[r.destination, r.gateway, r.interface, r.metric] for r in view.routes]
    _table(settings, "", ["route", "gateway", "interface", ">metric"], routes)


@verb(short_help="Show a topology as tables, JSON or a drawing.")
@click.argument("source", type=_Source(), metavar="NAME|FILE|host")
@click.option(
    "--plot", type=click.Path(dir_okay=False), metavar="FILE", help="Draw into FILE (.png, .svg, .pdf)."
)
def show(settings: CommandSettings, source: str, plot: str | None) -> None:
    """Show a topology of the library, of a file, or of this host."""
    if plot is not None:
        from qos.drawing import SUFFIXES

        if not plot.lower().endswith(SUFFIXES):
            raise ValueRefusedError(
                f"--plot {plot}: a drawing needs one of the suffixes {', '.join(SUFFIXES)}"
            )
    topology, notes, view, _ = _read(source)
    if plot is not None:
        from qos.drawing import draw

        draw(topology, plot)
    for note in notes:
        _say(settings, f"{source}: {note}")
    if not settings.as_json:
        _show_tables(settings, topology, view)
        return
    from topologies.document import describe_item

    document: dict[str, Any] = {"schema": 1, "name": topology.name, "description": topology.description}
    document["nodes"] = [describe_item(node, plain=True) for node in topology.nodes.values()]
    document["links"] = [describe_item(link, plain=True) for link in topology.links.values()]
    if view is not None:
        document["interfaces"] = [asdict(interface) for interface in view.interfaces]
        document["routes"] = [asdict(route) for route in view.routes]
    document["notes"] = list(notes)
    print_json(document)


@verb(short_help="Check topology files; exit code 1 if one is wrong.")
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=_Source())
@click.pass_context
def check(ctx: click.Context, settings: CommandSettings, files: tuple[str, ...]) -> None:
    """Check topology files and name every problem with its line or key."""
    from topologies.guards import TopologyFileError

    results: list[dict[str, Any]] = []
    for name in files:
        try:
            topology, notes, _, _ = _read(name)
        except TopologyFileError as error:
            results.append({"file": name, "ok": False, "problems": list(error.problems)})
        except QosError as error:
            results.append({"file": name, "ok": False, "problems": [str(error)]})
        else:
            counts = {"nodes": len(topology.nodes), "links": len(topology.links)}
            results.append({"file": name, "ok": True, "problems": [], **counts, "notes": list(notes)})
    if settings.as_json:
        print_json({"schema": 1, "files": results})
    else:
        for result in results:
            for text in result["problems"]:
                print(f"qos: {result['file']}: {' '.join(text.split())}", file=sys.stderr)
            for note in result.get("notes", []):
                _say(settings, f"{result['file']}: {note}")
            if result["ok"] and settings.verbosity >= 0:
                print(f"{result['file']}: ok, {result['nodes']} nodes, {result['links']} links")
    if not all(result["ok"] for result in results):
        ctx.exit(1)


@verb(short_help="Convert a topology to another format.")
@click.argument("source", type=_Source(), metavar="NAME|FILE|host")
@click.argument("target", type=click.Path(), metavar="FILE")
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
def convert(settings: CommandSettings, source: str, target: str, force: bool) -> None:
    """Write a topology of the library, of a file, or of this host into FILE.

    The suffix of FILE chooses the format: .yaml, .yml, .json, .graphml or .gml. Every format
    carries every field; a section `demands` is no part of a topology and is left out.
    """
    from topologies.files import SUFFIXES, save

    suffix = os.path.splitext(target)[1].lower()
    if suffix not in SUFFIXES:
        raise ValueRefusedError(f"{target}: unknown suffix {suffix!r}; expected one of {', '.join(SUFFIXES)}")
    if not force and os.path.lexists(target):
        raise InputError(f"{target}: exists already; --force replaces it")
    topology, notes, _, had_demands = _read(source)
    save(topology, target, overwrite=force)
    lost = ("the section demands is no part of a topology and was left out",) if had_demands else ()
    for note in (*notes, *lost):
        _say(settings, f"{source}: {note}")
    if settings.as_json:
        counts = {"nodes": len(topology.nodes), "links": len(topology.links)}
        print_json({"schema": 1, "file": target, **counts, "notes": [*notes, *lost]})


for _name, _verb in (("list", list_), ("show", show), ("check", check), ("convert", convert)):
    command.add_command(_verb, name=_name)
