"""What stands before every parser: size, nesting and number of items; and the error with its list."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from qos.errors import InputError

MAX_BYTES = 64 * 2**20
MAX_DEPTH = 32
MAX_ITEMS = 2_000_000
_SHOWN = 5


class TopologyFileError(InputError):
    """A topology file cannot be used.

    Parameters
    ----------
    source
        The file's name.
    problems
        Every problem found: ``line 3, links[0].rate: expected ..., got ...``.
    """

    def __init__(self, source: str, problems: Iterable[str]) -> None:
        self.source = source
        self.problems = tuple(problems)
        shown = "; ".join(self.problems[:_SHOWN])
        more = len(self.problems) - _SHOWN
        rest = f"; and {more} more ('qos topology check' lists all)" if more > 0 else ""
        super().__init__(f"{source}: {shown}{rest}")


def read_bytes(path: Path) -> bytes:
    """Read a regular file of at most `MAX_BYTES`.

    Raises
    ------
    TopologyFileError
        If it is missing, unreadable, no regular file or too large.
    """
    source = str(path)
    try:
        # O_NONBLOCK: a FIFO without a writer must not hang the command.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise TopologyFileError(source, ["expected a regular file"])
            if status.st_size > MAX_BYTES:
                problem = f"has {status.st_size} bytes; at most {MAX_BYTES} ({MAX_BYTES >> 20} MiB) are read"
                raise TopologyFileError(source, [problem])
            return file.read(MAX_BYTES + 1)
    except IsADirectoryError:
        raise TopologyFileError(source, ["expected a regular file"]) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise TopologyFileError(source, [f"cannot be read: {reason}"]) from None


def read_text(path: Path) -> str:
    """Read a UTF-8 file of at most `MAX_BYTES`.

    Raises
    ------
    TopologyFileError
        If it is missing, unreadable, no regular file, too large or not UTF-8 text.
    """
    data = read_bytes(path)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise TopologyFileError(str(path), [f"line {line}: expected UTF-8 text, found other bytes"]) from None


def too_deep(line: int) -> str:
    """Say that a document is nested too deeply."""
    return f"line {line}: nested more than {MAX_DEPTH} levels deep"


def too_many(line: int) -> str:
    """Say that a document has too many items."""
    return f"line {line}: more than {MAX_ITEMS} items"
