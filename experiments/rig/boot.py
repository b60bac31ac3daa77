"""Boots the rig, runs one command in it, and brings back what it said and wrote."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

import numpy as np

from experiments.rig.packages import Rig, RigMissingError, prepare
from experiments.rig.usage import Meter, Sample

INIT = Path(__file__).with_name("init.sh")
BOOT_ALLOWANCE_S = 60.0
"""Boot and power-off may take so long beside the command's own limit, on a machine that is busy."""
VIRTUAL_ALLOWANCE = 10
"""So many seconds of the host may a second of a virtual clock take, on a machine that is busy."""
POLL_S = 0.05
TIMED_OUT = 124


@dataclass(frozen=True, slots=True)
class Request:
    """A command for the guest.

    Attributes
    ----------
    words
        The command; ``sys.executable`` works inside, with the same packages.
    timeout_s
        Guest seconds that it may take.
    memory_mib
        The guest's memory.
    slowdown
        The guest's clock runs so many times slower than the host's; more than 1 needs a C compiler on
        the host.
    environment
        Variables beside those that the guest sets itself.
    out
        Folder on the host that gets what the command writes under ``$RIG_OUT``, or None.
    folder
        Working directory.
    show
        Pass on what the command prints while it runs.
    stop
        Ends the guest early when it is set, for callers that run several in threads.
    is_virtual
        The guest's clock stands still while it computes and jumps while it waits, so that the host's speed
        and load change nothing that it measures; needs a C compiler on the host.
    """

    words: Sequence[str]
    timeout_s: float = 120.0
    memory_mib: int = 1024
    slowdown: int = 1
    environment: Mapping[str, str] = field(default_factory=dict)
    out: Path | None = None
    folder: Path = field(default_factory=Path.cwd)
    show: bool = False
    stop: threading.Event | None = None
    is_virtual: bool = False


@dataclass(frozen=True, slots=True)
class Finished:
    """What came of it; `returncode` is 124 if it ran out of time; `usage` is that of the host's CPUs."""

    returncode: int
    stdout: str
    stderr: str
    wall_s: float
    usage: Sequence[Sample] = ()

    def ran_s_between(self, start_s: float, end_s: float) -> float:
        """Return the CPU time that the guest had between two times of the host's wall clock."""
        first, last = np.interp(
            [start_s, end_s],
            [sample.at_s for sample in self.usage],
            [sample.ran_s for sample in self.usage],
        )
        return float(last - first)


def run(request: Request, rig: Rig | None = None) -> Finished:
    """Boot, run, power off; nothing is left behind, whatever happens.

    Raises
    ------
    RigMissingError
        If this host cannot run the rig, or the kernel did not come up.
    """
    rig = rig or prepare()
    if (request.slowdown > 1 or request.is_virtual) and rig.shim is None:
        raise RigMissingError("another clock needs a C compiler on this host (the package gcc)")
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="run-", dir=rig.cache.parent) as name:
        place = Path(name)
        _write_orders(place, request, rig)
        with open(place / "console", "w+b") as console:
            process = _start(place, request, rig, console)
            meter = Meter(process.pid)
            try:
                in_time = _follow(process, place, request, meter)
            finally:
                _end(process)
        finished = replace(_collect(place, in_time, time.monotonic() - started), usage=meter.samples)
        if request.out is not None:
            shutil.copytree(place / "out", request.out, dirs_exist_ok=True)
    return finished


def _write_orders(place: Path, request: Request, rig: Rig) -> None:
    (place / "out").mkdir()
    (place / "init").write_bytes(INIT.read_bytes())
    (place / "init").chmod(0o755)
    for name in ("stdout", "stderr"):
        (place / name).touch()
    settings = {
        "RIG_MODPROBE": rig.modprobe,
        "RIG_MODULES": rig.modules,
        "RIG_CACHE": rig.cache,
        "RIG_TIMEOUT_S": max(1, round(request.timeout_s)),
        "RIG_CLOCK": "virtual" if request.is_virtual else "",
    }
    (place / "settings").write_text("".join(f"{key}={shlex.quote(str(settings[key]))}\n" for key in settings))
    lines = [f"export {key}={shlex.quote(value)}" for key, value in request.environment.items()]
    lines += [f"cd {shlex.quote(str(request.folder))}", f"exec {shlex.join(request.words)}"]
    (place / "command").write_text("\n".join(lines) + "\n")


def _start(place: Path, request: Request, rig: Rig, console: IO[bytes]) -> subprocess.Popen[bytes]:
    words = [str(rig.kernel), f"mem={request.memory_mib}M", "rootfstype=hostfs", "ro", "quiet", "loglevel=3"]
    words += [f"init={place / 'init'}", f"qosrun={place}", "con=null", "con0=null,fd:1"]
    environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(place)}
    environment["TMPDIR"] = str(_memory_folder(request.memory_mib, place))
    environment["QOS_RIG_SLOWDOWN"] = str(request.slowdown)
    if rig.shim is not None:
        environment["LD_PRELOAD"] = str(rig.shim)
    return subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=console,
        stderr=console,
        env=environment,
        start_new_session=True,
    )


def _memory_folder(memory_mib: int, otherwise: Path) -> Path:
    """Where the guest's memory lies: a file system in memory with room for it, if there is one."""
    shared = Path("/dev/shm")
    try:
        free = os.statvfs(shared)
    except OSError:
        return otherwise
    fits = free.f_bavail * free.f_frsize >= memory_mib << 20
    return shared if fits and not free.f_flag & os.ST_NOEXEC and os.access(shared, os.W_OK) else otherwise


def _follow(process: subprocess.Popen[bytes], place: Path, request: Request, meter: Meter) -> bool:
    """Wait for the end, passing the output on if wanted; return whether it came in time."""
    host_seconds = VIRTUAL_ALLOWANCE if request.is_virtual else request.slowdown
    deadline = time.monotonic() + request.timeout_s * host_seconds + BOOT_ALLOWANCE_S
    with open(place / "stdout") as said, open(place / "stderr") as complained:
        streams = ((said, sys.stdout), (complained, sys.stderr)) if request.show else ()
        while True:
            ended = process.poll() is not None
            meter.sample()
            for source, target in streams:
                if text := source.read():
                    target.write(text)
                    target.flush()
            if ended:
                return True
            if time.monotonic() > deadline or (request.stop is not None and request.stop.is_set()):
                return False
            time.sleep(POLL_S)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of the guest: its threads and processes are one process group."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _collect(place: Path, in_time: bool, wall_s: float) -> Finished:
    stdout, stderr = ((place / name).read_text(errors="replace") for name in ("stdout", "stderr"))
    code = place / "exit_code"
    if code.is_file() and code.read_text().strip():
        return Finished(int(code.read_text()), stdout, stderr, wall_s)
    if not in_time:
        return Finished(TIMED_OUT, stdout, stderr, wall_s)
    console = (place / "console").read_text(errors="replace").strip().splitlines()
    said = [line for line in console if "panic" in line or "error" in line.lower()] or console[-1:]
    raise RigMissingError("User-mode Linux did not come up: " + " / ".join(said[:3]))
