"""Fetches and unpacks Debian's packages of User-mode Linux, without root and without installing them."""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ("user-mode-linux", "kmod", "libkmod2")
SHIM_SOURCE = Path(__file__).with_name("hostshim.c")
FETCH_TIMEOUT_S = 120.0
LAYOUT = "1"
"""Changes when a folder prepared by an older checkout cannot be used any more."""


class RigMissingError(Exception):
    """The rig cannot be had on this host; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Rig:
    """A prepared rig.

    Attributes
    ----------
    kernel
        The kernel, an executable.
    modprobe
        kmod under the name that loads modules.
    modules
        Folder with ``lib/modules/VERSION``.
    shim
        Library to preload into the kernel, or None where there is no C compiler.
    cache
        Folder for what guests keep between runs (compiled functions).
    """

    kernel: Path
    modprobe: Path
    modules: Path
    shim: Path | None
    cache: Path


def default_folder() -> Path:
    """Return ``$QOS_RIG_DIR``, or ``qos-engine/rig`` in the user's cache folder."""
    named = os.environ.get("QOS_RIG_DIR")
    if named:
        return Path(named).absolute()
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache).absolute() / "qos-engine" / "rig"


def prepare(folder: Path | None = None) -> Rig:
    """Return the rig in `folder`, fetched and unpacked if it is not there yet.

    Raises
    ------
    RigMissingError
        If this host cannot run it, or the packages cannot be had.
    """
    place = folder or default_folder()
    _check_host(place)
    try:
        place.mkdir(parents=True, exist_ok=True)
        with _alone(place):
            mark = place / "ready"
            if not mark.is_file() or mark.read_text() != LAYOUT:
                _unpack(place)
                mark.write_text(LAYOUT)
            shim = _shim(place)
    except OSError as error:
        raise RigMissingError(f"{place}: {error.strerror}") from None
    (place / "cache").mkdir(exist_ok=True)
    root = place / "root"
    return Rig(root / "usr/bin/linux.uml", root / "bin/modprobe", place / "modules", shim, place / "cache")


def _check_host(place: Path) -> None:
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        raise RigMissingError(f"User-mode Linux needs Linux on x86-64; this is {platform.machine()}")
    if any(letter.isspace() for letter in str(place)):
        raise RigMissingError(f"{place}: a kernel's command line takes no blanks; set QOS_RIG_DIR")
    missing = [tool for tool in ("apt-get", "dpkg-deb") if shutil.which(tool) is None]
    if missing:
        raise RigMissingError(f"needs {' and '.join(missing)} to fetch Debian's packages")


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    """Let one process at a time prepare the folder."""
    with open(place / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _unpack(place: Path) -> None:
    root, fetched = place / "root", place / "packages"
    for stale in (root, fetched, place / "modules"):
        shutil.rmtree(stale, ignore_errors=True)
    fetched.mkdir()
    _fetch(place, fetched)
    for package in sorted(fetched.glob("*.deb")):
        subprocess.run(["dpkg-deb", "-x", package, root], check=True, capture_output=True)
    shutil.rmtree(fetched)
    (versions := place / "modules" / "lib" / "modules").mkdir(parents=True)
    for version in (root / "usr/lib/uml/modules").iterdir():
        (versions / version.name).symlink_to(version)
    modprobe = root / "bin/modprobe"
    kmod = next(path for path in (root / "bin/kmod", root / "usr/bin/kmod") if path.is_file())
    modprobe.parent.mkdir(exist_ok=True)
    if not modprobe.exists():
        modprobe.symlink_to(kmod)


def _fetch(place: Path, fetched: Path) -> None:
    """Download with the host's package lists, or with fresh ones of our own where those are stale."""
    first = _apt(fetched, "download", *PACKAGES)
    if first is None:
        return
    state = place / "apt"
    (state / "lists" / "partial").mkdir(parents=True, exist_ok=True)
    own = ["-o", f"Dir::State::lists={state / 'lists'}", "-o", f"Dir::Cache={state}"]
    complaint = _apt(fetched, *own, "update") or _apt(fetched, *own, "download", *PACKAGES)
    shutil.rmtree(state, ignore_errors=True)
    if complaint is not None:
        raise RigMissingError(f"the package user-mode-linux cannot be fetched: {complaint}")


def _apt(folder: Path, *words: str) -> str | None:
    """Run apt-get; return its complaint in one line, or None if all went well."""
    command = ["apt-get", "-q", "-o", "APT::Sandbox::User=", "-o", "Acquire::Retries=1", *words]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=FETCH_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return f"apt-get took more than {FETCH_TIMEOUT_S:.0f} s"
    if done.returncode == 0:
        return None
    lines = [line for line in done.stderr.splitlines() if line.startswith("E:")]
    return (lines or ["apt-get failed"])[0]


def _shim(place: Path) -> Path | None:
    """Build the library that mends what Debian's kernel cannot do on this CPU; see its source."""
    built = place / "hostshim.so"
    if built.is_file() and built.stat().st_mtime >= SHIM_SOURCE.stat().st_mtime:
        return built
    compiler = next((found for name in ("cc", "gcc", "clang") if (found := shutil.which(name))), None)
    if compiler is None:
        if "amx_tile" in Path("/proc/cpuinfo").read_text():
            raise RigMissingError("on a CPU with AMX the rig needs a C compiler (the package gcc)")
        return None
    fresh = place / "hostshim.new"
    command = [compiler, "-O2", "-shared", "-fPIC", "-o", fresh, SHIM_SOURCE, "-ldl"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RigMissingError(f"{compiler} cannot build {SHIM_SOURCE.name}: {done.stderr.strip()[:200]}")
    fresh.replace(built)
    return built
