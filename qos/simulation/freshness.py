"""Keep the compiled core in step with its sources.

numba keeps compiled code until the file of the outermost function changes; a change in a function that it
calls goes unnoticed. Here the outermost function calls some twenty modules, so their fingerprint is kept
beside the compiled code, which is thrown away when it does not fit.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import schedulers.packet

_HERE = Path(__file__).parent
_STAMP = "core.fingerprint"


def _sources() -> list[Path]:
    packet = Path(next(iter(schedulers.packet.__path__)))
    return sorted([*_HERE.rglob("*.py"), *_HERE.with_name("training").rglob("*.py"), *packet.rglob("*.py")])


def discard_stale_code() -> None:
    """Remove compiled code that was made of other sources; where nothing can be written, do nothing."""
    digest = hashlib.sha256()
    sources = _sources()
    for path in sources:
        status = path.stat()
        digest.update(f"{path}:{status.st_mtime_ns}:{status.st_size}\n".encode())
    fingerprint = digest.hexdigest()
    stamp = _HERE / "__pycache__" / _STAMP
    try:
        if stamp.exists() and stamp.read_text() == fingerprint:
            return
        for folder in {path.parent for path in sources}:
            for index in (folder / "__pycache__").glob("*.nbi"):
                index.unlink(missing_ok=True)
        stamp.parent.mkdir(exist_ok=True)
        stamp.write_text(fingerprint)
    except OSError:
        return
