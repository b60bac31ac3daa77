"""Reading and checking files of arrays (`.npz`), and the array types of this family."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qos.array_files import stored_arrays
from qos.errors import InputError

Float = NDArray[np.float64]
"""An array of real numbers."""
Modes = NDArray[np.int8]
"""Modes by number, -1 for no transmission."""


def require(condition: bool, source: str, name: str, complaint: str) -> None:
    """Raise `InputError` naming the file and the array unless `condition` holds."""
    if not condition:
        raise InputError(f"{source}: {name} {complaint}")


def load_arrays(path: str | Path, names: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """Read the named arrays of an ``.npz``; pickled objects are refused.

    Raises
    ------
    InputError
        If the file is missing, is no ``.npz``, or lacks an array, or an array is not numeric.
    """
    with stored_arrays(path, "numpy.savez") as archive:
        missing = [name for name in names if name not in archive.files]
        if missing:
            has = ", ".join(archive.files) or "none"
            raise InputError(f"{path}: no array {', '.join(missing)} (arrays here: {has})")
        arrays = {name: archive[name] for name in names}
    for name, array in arrays.items():
        require(array.dtype.kind in "fiu", str(path), name, "must hold numbers")
        require(not np.any(np.isnan(array)), str(path), name, "has NaN")
    return arrays
