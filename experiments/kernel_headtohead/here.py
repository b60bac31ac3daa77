"""Whether this host's own kernel can run the comparison."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable
from functools import partial

from experiments.kernel_headtohead.grid import THEIRS
from experiments.kernel_headtohead.path import Path
from qos.errors import QosError

CONTROLS = ("reno", "cubic", "bbr")
TRIAL_BPS = 10_000_000
TRIAL_DELAY_S = 0.01


def lacks_here() -> str | None:
    """Say what this host's kernel lacks for the comparison, or None: it has everything and lets us.

    Every queue is tried in namespaces that vanish again; nothing else of the host is touched.
    """
    missing = [control for control in CONTROLS if not _has_control(control)]
    try:
        with Path() as path:
            missing += [] if _works(partial(path.delay, [TRIAL_DELAY_S])) else ["netem"]
        for name in THEIRS:
            with Path() as path:
                missing += [] if _works(partial(path.set_theirs, name, TRIAL_BPS)) else [name]
    except (QosError, OSError) as error:
        return str(error)
    return ", ".join(missing) or None


def _works(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except subprocess.CalledProcessError:
        return False
    return True


def _has_control(name: str) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as trial:
        try:
            trial.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, name.encode())
        except OSError:
            return False
    return True
