"""The weights of the learned policy on disk: a small .npz, checked before it is used, written atomically."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qos.array_files import stored_arrays
from qos.errors import InputError
from qos.whole_files import whole_file
from schedulers.packet.limits.lfq.memory import Float64
from schedulers.packet.limits.lfq.network import pack, unpack
from schedulers.packet.limits.lfq.online import Standing
from schedulers.packet.limits.lfq.step import Network

FORMAT = 7
"""Version of features and network; weights of another version mean nothing here."""
SHIPPED = Path(__file__).parent / "lfq.npz"
LARGEST_WEIGHT = 1e4
WRITER = "`qos attach --learn` or experiments.lfq_policy_training"
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
    theta, _ = _read(path)
    return checked(theta, str(path))


def load_learned(path: Path) -> tuple[Network, Standing]:
    """Read weights that `save_network` wrote with a standing.

    Raises
    ------
    InputError
        As of `load_network`, or if nothing was learned with them.
    """
    theta, standing = _read(path)
    if standing is None:
        raise InputError(f"{path}: weights that no learner wrote; use them without --learn")
    return checked(theta, str(path)), standing


def _read(path: Path) -> tuple[Float64, Standing | None]:
    standing = None
    with stored_arrays(path, WRITER) as stored:
        if path.stat().st_size > _MOST_BYTES:
            raise InputError(f"{path}: too large for weights of lfq")
        version, theta = int(stored["format"]), np.asarray(stored["weights"], np.float64)
        if "blocks" in stored:
            gain, error = float(stored["gain"]), float(stored["gain_error"])
            blocks, learned, back = (int(count) for count in stored["blocks"])
            standing = Standing(blocks, gain, error, learned, back)
    if version != FORMAT:
        raise InputError(f"{path}: weights of format {version}, this version needs format {FORMAT}")
    return theta, standing


def checked(theta: Float64, where: str) -> Network:
    """Make a network of a vector that may be damaged.

    Raises
    ------
    InputError
        If it has the wrong size, or numbers that are not finite or absurdly large.
    """
    if theta.ndim != 1:
        raise InputError(f"{where}: weights are one row of numbers, not an array of {theta.ndim} dimensions")
    try:
        network = unpack(theta)
    except ValueError as problem:
        raise InputError(f"{where}: {problem}; take a whole file of weights") from None
    if not np.isfinite(theta).all() or np.abs(theta).max() > LARGEST_WEIGHT:
        raise InputError(f"{where}: the weights hold numbers that are not finite, or too large")
    return network


def save_network(path: Path, network: Network, standing: Standing | None = None) -> None:
    """Write weights in single precision; the file is whole or not there.

    Parameters
    ----------
    path
        The file.
    network
        The weights.
    standing
        How they do on live flows, where they were learned there.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    arrays: dict[str, NDArray[np.generic]] = {
        "format": np.array(FORMAT),
        "weights": pack(network).astype(np.float32),
    }
    if standing is not None:
        counts = (standing.blocks, standing.learned_blocks, standing.roll_backs)
        arrays |= {
            "blocks": np.array(counts),
            "gain": np.array(standing.gain),
            "gain_error": np.array(standing.gain_error),
        }
    # A control loop saves what it learned between two polls, and must not wait for a disk.
    with whole_file(path, lasting=False) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
