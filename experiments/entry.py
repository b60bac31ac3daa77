"""What experiments share: the options that all have, whose results a folder holds, how they end on errors."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from qos.errors import InputError, QosError, ValueRefusedError
from qos.whole_files import write_whole
from schedulers.packet.limits.lfq.weights import SHIPPED


def options(documentation: str, name: str, quick: str) -> argparse.ArgumentParser:
    """Make the parser of an experiment that runs on several processes and writes files.

    Parameters
    ----------
    documentation
        The module's; its first line is the description.
    name
        Where results go: ``results/NAME``.
    quick
        What ``--quick`` does.
    """
    parser = argparse.ArgumentParser(description=documentation.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument("--jobs", type=int, default=-1)
    parser.add_argument("--out", type=Path, default=Path("results") / name)
    return parser


def claim(path: Path, card: Mapping[str, object]) -> None:
    """Write down under which conditions the results beside `path` are made, before the first is.

    Parameters
    ----------
    path
        The file that says so, in the folder of ``--out``; the folder is made where it is missing.
    card
        What results must have in common, so that a command that was interrupted may go on from them.

    Raises
    ------
    ValueRefusedError
        If the folder holds results made under others.
    InputError
        If it cannot be written to.
    """
    text = json.dumps({"schema": 1} | dict(card), indent=1)
    if path.exists():
        if path.read_text() != text:
            raise ValueRefusedError(
                f"--out {path.parent}: it holds the results of other settings ({path}); name another folder"
            )
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise InputError(f"--out {path.parent}: cannot write there ({problem.strerror})") from None
    write_whole(path, text)


def weights_sha256(path: Path = SHIPPED) -> str:
    """Say which weights results are of, in hexadecimal digits; those that ship where none are named."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def run(main: Callable[[], object]) -> None:
    """Run an experiment's `main`."""
    try:
        main()
    except QosError as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        sys.exit(error.exit_code)
