"""Rates, durations and sizes as `tc` users write them, exact integers inside.

A rate is an integer number of bits per second, a size an integer number of bytes, a duration an
integer number of nanoseconds. Arithmetic is exact: `1.5mbit` is 1 500 000 bit/s, and a value that
is not a whole number of the base unit is rounded half up.

Spellings follow tc(8), section *Parameters*: in rates ``k`` is 1000 and ``ki`` 1024, and `bps`
counts bytes; in sizes ``k`` is 1024. Two traps of tc are closed: a duration must name its unit
(a bare number means microseconds to tc), and an unknown unit is an error here, never a guess.
"""

from __future__ import annotations

import re
from fractions import Fraction

from qos.errors import ValueRefusedError

NANOSECONDS_PER_SECOND = 1_000_000_000

_NUMBER = re.compile(r"\s*([+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,2})?)\s*([a-zA-Z]*)\s*", re.ASCII)
_MAX_TEXT = 64
_COUNT = re.compile(r"\d{1,9}", re.ASCII)

_RATE_UNITS: dict[str, int] = {"": 1, "bit": 1, "bps": 8}
for _i, _prefix in enumerate("kmgt", start=1):
    _RATE_UNITS |= {
        f"{_prefix}bit": 1000**_i,
        f"{_prefix}ibit": 1024**_i,
        f"{_prefix}bps": 8 * 1000**_i,
        f"{_prefix}ibps": 8 * 1024**_i,
    }

_SIZE_UNITS: dict[str, Fraction] = {"": Fraction(1), "b": Fraction(1)}
for _i, _prefix in enumerate("kmg", start=1):
    _SIZE_UNITS |= {
        _prefix: Fraction(1024**_i),
        f"{_prefix}b": Fraction(1024**_i),
        f"{_prefix}bit": Fraction(1024**_i, 8),
    }

_DURATION_UNITS: dict[str, int] = {
    "s": 10**9,
    "sec": 10**9,
    "secs": 10**9,
    "ms": 10**6,
    "msec": 10**6,
    "msecs": 10**6,
    "us": 10**3,
    "usec": 10**3,
    "usecs": 10**3,
    "ns": 1,
    "nsec": 1,
    "nsecs": 1,
}


def is_count(text: str) -> bool:
    """Whether a text is a whole number of at most nine ASCII digits: Python refuses to read thousands."""
    return _COUNT.fullmatch(text) is not None


def _split(text: str, what: str, example: str) -> tuple[Fraction, str]:
    match = _NUMBER.fullmatch(text.replace("µ", "u")) if len(text) <= _MAX_TEXT else None
    if match is None:
        raise ValueRefusedError(
            f"{what} {text[:_MAX_TEXT]!r} is not a number with a unit; write it like {example}"
        )
    return Fraction(match[1]), match[2].lower()


def _round(value: Fraction) -> int:
    return (2 * value.numerator + value.denominator) // (2 * value.denominator)


def _scaled(text: str, units: dict[str, int] | dict[str, Fraction], what: str, example: str) -> int:
    number, unit = _split(text, what, example)
    factor = units.get(unit)
    if factor is None:
        known = ", ".join(name for name in units if name)
        raise ValueRefusedError(
            f"{what} {text!r}: unknown unit {unit!r}; use one of {known}, as in {example}"
        )
    return _round(number * factor)


def parse_rate(text: str) -> int:
    """Parse a rate such as ``1.5mbit``, ``100mbit`` or ``12kbps`` into bit/s.

    Parameters
    ----------
    text
        A number and a unit of tc(8); a bare number is bit/s; case does not matter.

    Returns
    -------
    int
        Bits per second; the sign and the range are the caller's to judge.

    Raises
    ------
    ValueRefusedError
        If the text is not a number followed by a known unit.

    Examples
    --------
    >>> parse_rate("1.5mbit"), parse_rate("100kbps"), parse_rate("1gibit")
    (1500000, 800000, 1073741824)
    """
    return _scaled(text, _RATE_UNITS, "rate", "100mbit")


def parse_size(text: str) -> int:
    """Parse a size such as ``15kb`` or ``1514`` into bytes (``k`` is 1024, as in tc).

    Raises
    ------
    ValueRefusedError
        If the text is not a number followed by a known unit.

    Examples
    --------
    >>> parse_size("15kb"), parse_size("1514"), parse_size("1m")
    (15360, 1514, 1048576)
    """
    return _scaled(text, _SIZE_UNITS, "size", "15kb")


def parse_duration(text: str) -> int:
    """Parse a duration such as ``5ms`` into nanoseconds; the unit is required, except for zero.

    Raises
    ------
    ValueRefusedError
        If the text is not a number followed by a known unit, or has no unit.

    Examples
    --------
    >>> parse_duration("5ms"), parse_duration("1.5s"), parse_duration("0")
    (5000000, 1500000000, 0)
    """
    number, unit = _split(text, "duration", "20ms")
    if unit == "":
        if number == 0:
            return 0
        raise ValueRefusedError(f"duration {text!r} has no unit; write {text.strip()}ms or {text.strip()}s")
    return _scaled(text, _DURATION_UNITS, "duration", "20ms")


def _format(value: int, units: tuple[tuple[int, str], ...]) -> str:
    """Spell `value` exactly, in the largest unit that leaves at most three decimals."""
    if value == 0:
        return "0" + units[-1][1]
    sign, magnitude = ("-", -value) if value < 0 else ("", value)
    for factor, name in units:
        if magnitude >= factor and magnitude * 1000 % factor == 0:
            whole, rest = divmod(magnitude, factor)
            decimals = f"{rest * 1000 // factor:03d}".rstrip("0") if rest else ""
            return f"{sign}{whole}{'.' + decimals if decimals else ''}{name}"
    return f"{value}{units[-1][1]}"


def format_rate(rate_bps: int) -> str:
    """Spell a rate so that `parse_rate` gives back the same integer.

    Examples
    --------
    >>> format_rate(1500000), format_rate(100000000), format_rate(1234567)
    ('1.5mbit', '100mbit', '1234.567kbit')
    """
    return _format(rate_bps, ((10**9, "gbit"), (10**6, "mbit"), (10**3, "kbit"), (1, "bit")))


def format_duration(duration_ns: int) -> str:
    """Spell a duration so that `parse_duration` gives back the same integer.

    Examples
    --------
    >>> format_duration(20_000_000), format_duration(1_500_000_000)
    ('20ms', '1.5s')
    """
    return _format(duration_ns, ((10**9, "s"), (10**6, "ms"), (10**3, "us"), (1, "ns")))


def format_size(size_bytes: int) -> str:
    """Spell a size so that `parse_size` gives back the same integer.

    Examples
    --------
    >>> format_size(15360), format_size(1514)
    ('15kb', '1514b')
    """
    for factor, name in ((1024**3, "gb"), (1024**2, "mb"), (1024, "kb")):
        if size_bytes and size_bytes % factor == 0:
            return f"{size_bytes // factor}{name}"
    return f"{size_bytes}b"
