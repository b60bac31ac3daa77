"""Reading a file of arrays (`.npz`) that may be damaged, or no such file at all."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.lib.npyio import NpzFile

from qos.errors import InputError


@contextmanager
def stored_arrays(path: str | os.PathLike[str], writer: str) -> Iterator[NpzFile]:
    """Give the arrays of a file by name; each is read, and its checksum tested, when it is asked for.

    Whatever goes wrong in the block is said of the file, so nothing but reading belongs there.

    Parameters
    ----------
    path
        The file.
    writer
        Who writes such files, for people: ``numpy.savez``.

    Raises
    ------
    InputError
        If the file is missing, no ``.npz``, damaged, or holds Python objects, which are not loaded; if what
        the block asks for is not there; or of the block itself.
    """
    try:
        with open(path, "rb") as file:
            if not zipfile.is_zipfile(file):
                raise InputError(
                    f"{path}: not a .npz of arrays, or cut short; give a file written by {writer}"
                )
            file.seek(0)
            with np.load(file, allow_pickle=False) as arrays:
                yield arrays
    except InputError:
        raise
    except OSError as problem:
        raise InputError(f"{path}: {problem.strerror or problem}; give a file written by {writer}") from None
    except Exception as problem:  # of a damaged file zipfile, zlib, lzma and numpy say so in a dozen ways
        reason = "it holds Python objects" if "allow_pickle" in str(problem) else str(problem)
        raise InputError(f"{path}: damaged, or not written by {writer}: {reason}") from None
