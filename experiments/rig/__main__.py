"""Run a command on the rig's kernel: ``python -m experiments.rig [OPTIONS] COMMAND...``."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import click

from experiments.rig.boot import Request, run
from experiments.rig.packages import RigMissingError

MISSING = 5


@click.command(context_settings={"ignore_unknown_options": True})
@click.option(
    "--timeout", "timeout_s", type=float, default=600.0, help="Seconds it may take, by the guest's clock."
)
@click.option("--memory", "memory_mib", type=int, default=1024, help="The guest's memory in MiB.")
@click.option(
    "--slowdown", type=click.IntRange(1, 100), default=1, help="Slow the guest's clock so many times."
)
@click.option(
    "--virtual", "is_virtual", is_flag=True, help="The clock stands still while it computes, jumps when idle."
)
@click.option("--out", type=click.Path(path_type=Path), help="Folder for what is written under $RIG_OUT.")
@click.argument("words", nargs=-1, required=True, type=click.UNPROCESSED)
def main(
    timeout_s: float,
    memory_mib: int,
    slowdown: int,
    is_virtual: bool,
    out: Path | None,
    words: tuple[str, ...],
) -> None:
    """Run COMMAND as root of a kernel that has every packet scheduler, and exit with its exit code."""
    # As an exception, so that the guest is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    environment = {"PYTHONPATH": os.environ["PYTHONPATH"]} if "PYTHONPATH" in os.environ else {}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    environment |= {"PATH": path}
    request = Request(
        words, timeout_s, memory_mib, slowdown, environment, out, show=True, is_virtual=is_virtual
    )
    try:
        finished = run(request)
    except RigMissingError as error:
        click.echo(f"experiments.rig: {error}", err=True)
        sys.exit(MISSING)
    sys.exit(finished.returncode)


if __name__ == "__main__":
    main()
