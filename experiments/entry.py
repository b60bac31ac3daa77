"""How an experiment's command ends when it cannot do what is asked: one line and the error's exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable

from qos.errors import QosError


def run(main: Callable[[], object]) -> None:
    """Run an experiment's `main`."""
    try:
        main()
    except QosError as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        sys.exit(error.exit_code)
