"""Keep the compiled core in step with its sources.

numba keeps compiled code until the file of the outermost function changes; a change in a function that it
calls goes unnoticed. Here the outermost function calls some thirty modules, so a fingerprint of what they
say is kept beside the compiled code, which is thrown away when it does not fit. Modules that hold no
compiled code, and that give it no constants, do not count: a change there does not cost half a minute.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import schedulers.packet

_HERE = Path(__file__).parent
_STAMP = "core.fingerprint"
_COMPILED = "from qos.compiled import"
_IMPORTS = re.compile(r"^from ([\w.]+) import (\([^)]*\)|[^\n(]*)", re.MULTILINE)
_NO_CLASSES = re.compile(r"\b(?:[a-z_]\w*|[A-Z][A-Z0-9_]+)\b")


def _folders() -> tuple[Path, ...]:
    packet = Path(next(iter(schedulers.packet.__path__)))
    return (_HERE, _HERE.with_name("training"), packet)


def _imported(text: str) -> set[str]:
    """Name the modules of which a source takes functions or constants; classes are not compiled."""
    found: set[str] = set()
    for module, names in _IMPORTS.findall(text):
        taken = _NO_CLASSES.findall(names)
        found.update(f"{module}.{name}" for name in taken)
        if taken:
            found.add(module)
    return found


def _sources() -> dict[Path, str]:
    """Read the modules with compiled code, and those that they import from."""
    texts = {path: path.read_text() for folder in _folders() for path in sorted(folder.rglob("*.py"))}
    compiled = {path for path, text in texts.items() if _COMPILED in text}
    names = set().union(*(_imported(texts[path]) for path in compiled))
    files = tuple(f"/{name.replace('.', '/')}.py" for name in names)
    return {path: text for path, text in texts.items() if path in compiled or path.as_posix().endswith(files)}


def discard_stale_code() -> None:
    """Remove compiled code that was made of other sources; where nothing can be written, do nothing."""
    digest = hashlib.sha256()
    sources = _sources()
    for path, text in sources.items():
        digest.update(f"{path}\n{text}\n".encode())
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
