"""Writing a file so that a reader sees the old one or the new one, never a part of either."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from qos.errors import InputError, QosError

LONGEST_PREFIX, LONGEST_SUFFIX = 100, 20
"""Characters of a name that the temporary file beside it keeps: names may have 255 in all."""


@contextmanager
def whole_file(
    path: str | os.PathLike[str], *, overwrite: bool = True, lasting: bool = True
) -> Iterator[Path]:
    """Give an empty file in the same folder, which takes the place of `path` when the block ends well.

    It has the same suffix, and the permissions that a new file of this process has. If the block ends
    otherwise, `path` is as it was and nothing is left behind.

    Parameters
    ----------
    path
        What is written.
    overwrite
        False: refuse if it exists, also if it came while the block ran.
    lasting
        Wait until it is on the disk before it is seen under its name; False where nobody may wait for a disk.

    Raises
    ------
    InputError
        If it cannot be written, or exists and may not be replaced.
    """
    target = Path(path)
    try:
        temporary = _beside(target)
        try:
            yield temporary
            _permit(temporary)
            if lasting:
                _wait_for_disk(temporary)
            if overwrite:
                os.replace(temporary, target)
            else:
                os.link(temporary, target)  # fails where the target exists
        finally:
            with suppress(FileNotFoundError):
                os.unlink(temporary)
    except QosError:
        raise
    except FileExistsError:
        raise InputError(f"{target}: exists already; it is left as it is") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{target}: cannot be written: {reason}") from None


def write_whole(path: str | os.PathLike[str], text: str, *, overwrite: bool = True) -> None:
    """Write a text as UTF-8; the file appears whole or not at all.

    Raises
    ------
    InputError
        As of `whole_file`.
    """
    with whole_file(path, overwrite=overwrite) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _beside(target: Path) -> Path:
    import tempfile  # loads much, which only who writes needs

    suffix = target.suffix if len(target.suffix) <= LONGEST_SUFFIX else ""
    prefix = f".{target.name[:LONGEST_PREFIX]}."
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=prefix, suffix=suffix)
    os.close(handle)
    return Path(temporary)


def _permit(temporary: Path) -> None:
    mask = os.umask(0o077)
    os.umask(mask)
    os.chmod(temporary, 0o666 & ~mask)


def _wait_for_disk(temporary: Path) -> None:
    with temporary.open("rb") as stream:
        os.fsync(stream.fileno())
