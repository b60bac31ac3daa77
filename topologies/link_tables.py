"""Named tables of working points (fidelity, rate) of quantum links by length.

`nv-delft-2019` is the NetSquid-NV simulation "Delft NV 2019 optimistic" (single-click, ten
bright-state populations from 0.1 to 0.5, 1000 samples each), as used with arXiv 2111.13124.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from qos.errors import ValueRefusedError
from topologies.links import LinkCapability, QuantumLink

TABLES = ("nv-delft-2019",)


@cache
def _read(name: str) -> tuple[tuple[float, ...], tuple[tuple[float, tuple[float, ...]], ...]]:
    text = (files("topologies") / "tables" / f"{name}.csv").read_text(encoding="ascii")
    lines = [line.split(",") for line in text.splitlines() if not line.startswith("#")]
    lengths_m = tuple(1000.0 * float(cell) for cell in lines[0][1:])
    rows = tuple((float(row[0]), tuple(float(cell) for cell in row[1:])) for row in lines[1:])
    return lengths_m, rows


def capabilities_of(link: QuantumLink) -> tuple[LinkCapability, ...]:
    """Give the working points of a quantum link: its own, or those of its table.

    A length between two columns of the table takes the longer one, which never promises too much.

    Parameters
    ----------
    link
        The link; the result is empty if it has neither capabilities nor a table.

    Raises
    ------
    ValueRefusedError
        If the table is unknown, or the link longer than the table goes.
    """
    if link.capabilities or not link.table:
        return link.capabilities
    if link.table not in TABLES:
        raise ValueRefusedError(
            f"link {link.id!r}: unknown table {link.table!r}; there is {', '.join(TABLES)}"
        )
    lengths_m, rows = _read(link.table)
    column = next((i for i, length_m in enumerate(lengths_m) if link.length_m <= length_m), None)
    if column is None:
        longest = max(lengths_m)
        raise ValueRefusedError(
            f"link {link.id!r} is {link.length_m:g} m long; table {link.table!r} ends at {longest:g} m"
        )
    return tuple(LinkCapability(fidelity, rates[column]) for fidelity, rates in rows)
