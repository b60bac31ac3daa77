"""What experiments share: the options that all have, and how they end when they cannot do what is asked."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from qos.errors import QosError


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


def run(main: Callable[[], object]) -> None:
    """Run an experiment's `main`."""
    try:
        main()
    except QosError as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        sys.exit(error.exit_code)
