"""`qos detach`: give an interface back."""

from __future__ import annotations

import click

from qos.cli.common import CommandSettings, print_json, verb
from qos.errors import InputError


@verb(short_help="Remove the fair queue and restore what was there.")
@click.argument("device", metavar="DEV")
def command(settings: CommandSettings, device: str) -> None:
    """Remove the fair queue from DEV and restore what was there."""
    from linux_qdisc.release import detach

    problems = detach(device)
    if settings.as_json:
        print_json({"schema": 1, "device": device, "not_restored": problems})
    if problems:
        raise InputError(f"{device} is free, but not all could be restored: {'; '.join(problems)}")
