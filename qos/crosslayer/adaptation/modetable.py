"""A table of transmission modes: what each carries and how often it fails at each SNR."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qos.crosslayer.adaptation.arrays import Float, load_arrays, require
from qos.errors import InputError

RATE_TOLERANCE = 1e-9
"""An error rate may rise by no more than this between neighbouring SNR points (rounding)."""


@dataclass(frozen=True, slots=True)
class ModeTable:
    """Block error rate of `M` modes at `G` SNR points.

    Attributes
    ----------
    snr_grid_db
        SNR points in dB, shape ``(G,)``, rising.
    block_error_rate
        Shape ``(M, G)``, 0 to 1, not rising with SNR; 1 where the source had no finite rate.
    tb_size_bits
        Bits that a block of each mode carries, shape ``(M,)``, at least 1.
    num_re
        Resource elements (channel uses) of a block.
    dropped
        Modes without any finite error rate: they are never chosen.

    Raises
    ------
    InputError
        If shapes disagree, a value is out of range, an error rate rises with SNR, or no mode is left.
    """

    snr_grid_db: Float
    block_error_rate: Float
    tb_size_bits: NDArray[np.int64]
    num_re: int
    dropped: tuple[int, ...] = ()
    source: str = field(default="mode table", compare=False)

    def __post_init__(self) -> None:
        grid, rate, where = self.snr_grid_db, self.block_error_rate, self.source
        require(grid.ndim == 1 and grid.size >= 2, where, "snr_grid_db", "needs at least two SNR points")
        require(bool(np.all(np.isfinite(grid))), where, "snr_grid_db", "has values that are not finite")
        require(bool(np.all(np.diff(grid) > 0)), where, "snr_grid_db", "must rise")
        modes = self.tb_size_bits.size
        shape = (modes, grid.size)
        require(rate.shape == shape, where, "tbler", f"has shape {rate.shape}; it must be {shape}")
        require(not np.any(np.isnan(rate)), where, "tbler", "has NaN; write inf where there is no rate")
        require(bool(np.all((rate >= 0) & (rate <= 1))), where, "tbler", "must lie in 0..1 (or be inf)")
        require(bool(np.all(self.tb_size_bits >= 1)), where, "tb_size", "must be at least 1 bit")
        require(self.num_re >= 1, where, "num_re", "must be at least 1")
        for mode in range(modes):
            rising = np.nonzero(np.diff(rate[mode]) > RATE_TOLERANCE)[0]
            if rising.size:
                at = f"{grid[rising[0]]:g} dB"
                require(False, where, "tbler", f"the error rate of mode {mode} rises with SNR at {at}")
        require(len(self.dropped) < modes, where, "tbler", "no mode has a finite error rate")

    @property
    def modes(self) -> int:
        """Number of modes, those dropped included (a mode keeps its number)."""
        return int(self.tb_size_bits.size)

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Say which modes have an error rate, shape ``(M,)``."""
        keep = np.ones(self.modes, dtype=bool)
        keep[list(self.dropped)] = False
        return keep

    @property
    def grid_step_db(self) -> float | None:
        """Distance of the SNR points where it is the same everywhere, else None."""
        steps = np.diff(self.snr_grid_db)
        return float(steps.mean()) if np.allclose(steps, steps[0], atol=1e-6) else None

    def grid_index(self, snr_db: NDArray[np.floating]) -> NDArray[np.intp]:
        """Return the nearest grid point of each SNR, clamped at the ends; same shape as `snr_db`."""
        step, last = self.grid_step_db, self.snr_grid_db.size - 1
        values = np.asarray(snr_db, dtype=np.float64)
        if step is not None:
            scaled = np.rint((values - self.snr_grid_db[0]) / step)
            return np.asarray(np.clip(scaled, 0, last).astype(np.intp))
        middles = (self.snr_grid_db[1:] + self.snr_grid_db[:-1]) / 2
        return np.asarray(np.searchsorted(middles, values), dtype=np.intp)

    def error_rate(self, modes: NDArray[np.integer], snr_db: NDArray[np.floating]) -> Float:
        """Return the block error rate of `modes` at `snr_db`; a mode of -1 (no transmission) gives 0."""
        rate = self.block_error_rate[np.maximum(modes, 0), self.grid_index(snr_db)]
        return np.where(np.asarray(modes) >= 0, rate, 0.0)

    def expected_bits(self) -> Float:
        """Return the mean number of bits that arrive per block, shape ``(M, G)``."""
        return (1.0 - self.block_error_rate) * self.tb_size_bits[:, None]

    def thresholds_db(self, target_error_rate: float) -> Float:
        """Return the lowest grid SNR at which each mode's error rate is at most the target.

        Shape ``(M,)``; infinite for a mode that never gets there.
        """
        meets = self.block_error_rate <= target_error_rate
        first = np.argmax(meets, axis=1)
        return np.where(meets.any(axis=1), self.snr_grid_db[first], np.inf)


def make_mode_table(
    snr_grid_db: NDArray[np.floating],
    tbler: NDArray[np.floating],
    tb_size: NDArray[np.integer],
    num_re: int,
    source: str = "mode table",
) -> ModeTable:
    """Make a table from arrays in which an infinite error rate means "no rate known".

    Raises
    ------
    InputError
        If the arrays are no table of modes (see `ModeTable`).
    """
    rate = np.asarray(tbler, dtype=np.float64)
    missing = np.isposinf(rate)
    dropped = tuple(int(mode) for mode in np.nonzero(missing.all(axis=1))[0]) if rate.ndim == 2 else ()
    return ModeTable(
        np.asarray(snr_grid_db, dtype=np.float64),
        np.where(missing, 1.0, rate),
        np.asarray(tb_size).astype(np.int64),
        num_re,
        dropped,
        source,
    )


def load_mode_table(path: str | Path) -> ModeTable:
    """Read a table from an ``.npz`` with `snr_grid_db`, `tbler`, `tb_size` and `num_re`.

    Raises
    ------
    InputError
        If the file cannot be read, an array is missing, or the arrays are no table of modes.
    """
    arrays = load_arrays(path, ("snr_grid_db", "tbler", "tb_size", "num_re"))
    where = str(path)
    require(arrays["tb_size"].ndim == 1, where, "tb_size", "must have one value a mode")
    require(arrays["num_re"].size == 1, where, "num_re", "must be one number")
    if arrays["tbler"].ndim != 2:
        raise InputError(f"{where}: tbler has shape {arrays['tbler'].shape}; it must be (modes, SNR points)")
    return make_mode_table(
        arrays["snr_grid_db"], arrays["tbler"], arrays["tb_size"], int(arrays["num_re"].item()), where
    )
