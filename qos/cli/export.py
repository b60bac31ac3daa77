"""`qos export`: a plan as files for other tools."""

from __future__ import annotations

from pathlib import Path

import click

from qos.cli.common import CommandSettings, print_json, verb


@verb(short_help="Write a plan as containerlab topology, netplan or host files.")
@click.argument("plan_file", metavar="PLAN", type=click.Path())
@click.option(
    "--format",
    "format_name",
    required=True,
    type=click.Choice(["containerlab", "netplan", "hosts"]),
    help="hosts: /etc/qos/IFACE.yaml for qos@IFACE.",
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder, made if need be.")
@click.option("--image", default="qos-engine:latest", show_default=True, help="For containerlab.")
@click.option("--force", is_flag=True, help="Write into a folder that is not empty.")
def command(
    settings: CommandSettings, plan_file: str, format_name: str, out: Path, image: str, force: bool
) -> None:
    """Write files for every Linux node of PLAN: a lab of containers, addresses and routes, or queues.

    Interfaces that the topology does not name get names (eth0, eth1, ...), and the files say so.
    """
    from qos.plan_export import export
    from qos.plan_files import load_plan

    written = export(load_plan(plan_file), format_name, out, image=image, force=force)
    if settings.as_json:
        print_json({"schema": 1, "format": format_name, "files": [str(path) for path in written]})
    elif settings.verbosity >= 0:
        for path in written:
            print(path)
