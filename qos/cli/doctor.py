"""`qos doctor`: what this kernel and this user can do."""

from __future__ import annotations

import sys
from dataclasses import asdict

import click

from qos.cli.common import CommandSettings, console, print_json, verb
from qos.errors import MissingPieceError


@verb(short_help="Say what this kernel and this user can do, and what is missing.")
@click.argument("device", metavar="[DEV]", required=False)
def command(settings: CommandSettings, device: str | None) -> None:
    """Try what `qos attach` needs in a namespace of its own, and say what is missing.

    Exits with 0 if attach would work here, and with 5 if an essential piece is missing.
    """
    from linux_qdisc.probe import OK, probe

    checks = probe(device)
    lacking = [row.name for row in checks if row.is_essential and row.status != OK]
    if settings.as_json:
        rows = [asdict(row) for row in checks]
        print_json({"schema": 1, "ready": not lacking, "checks": rows})
        sys.exit(MissingPieceError.exit_code if lacking else 0)
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("check", "status", "found", "what follows"):
        table.add_column(title, no_wrap=title == "check")
    for row in checks:
        follows = row.consequence if row.status != OK or row.detail else ""
        table.add_row(row.name, row.status, row.detail, follows)
    console(settings).print(table)
    if lacking:
        raise MissingPieceError(f"'qos attach' will not work here without {', '.join(lacking)}")
