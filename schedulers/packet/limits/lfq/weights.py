"""The weights of the learned policy on disk: a small .npz, checked before it is used, written atomically."""

from __future__ import annotations

import io
import os
import tempfile
import zipfile
import zlib
from pathlib import Path

import numpy as np

from qos.errors import InputError
from schedulers.packet.limits.lfq.network import WEIGHTS, pack, unpack
from schedulers.packet.limits.lfq.step import Float64, Network

FORMAT = 2
"""Version of features and network; weights of another version mean nothing here."""
SHIPPED = Path(__file__).parent / "lfq.npz"
LARGEST_WEIGHT = 1e4
_MOST_BYTES = 1 << 20


def load_network(path: Path = SHIPPED) -> Network:
    """Read weights.

    Parameters
    ----------
    path
        A file written by `save_network`; the shipped one where none is named.

    Raises
    ------
    InputError
        If the file is missing, damaged, of another version, or holds numbers that are not finite.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise InputError(f"{path}: too large for weights of lfq")
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as stored:
            version, theta = int(stored["format"]), np.asarray(stored["weights"], np.float64)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as problem:
        raise InputError(f"{path}: no weights of lfq can be read: {problem}") from None
    if version != FORMAT:
        raise InputError(f"{path}: weights of format {version}, this version needs format {FORMAT}")
    return checked(theta, str(path))


def checked(theta: Float64, where: str) -> Network:
    """Make a network of a vector that may be damaged.

    Raises
    ------
    InputError
        If it has the wrong size, or numbers that are not finite or absurdly large.
    """
    if theta.shape != (WEIGHTS,):
        raise InputError(f"{where}: {WEIGHTS} weights are needed, there are {theta.size}")
    if not np.isfinite(theta).all() or np.abs(theta).max() > LARGEST_WEIGHT:
        raise InputError(f"{where}: the weights hold numbers that are not finite, or too large")
    return unpack(theta)


def save_network(path: Path, network: Network) -> None:
    """Write weights in single precision; the file is whole or not there.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
        try:
            with os.fdopen(handle, "wb") as stream:
                np.savez_compressed(stream, format=np.int64(FORMAT), weights=pack(network).astype(np.float32))
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as problem:
        raise InputError(f"{path}: the weights cannot be written: {problem.strerror}") from None
