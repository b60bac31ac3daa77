"""Checks of the fields of nodes and links, and the error that names the field."""

from __future__ import annotations

import math

from qos.errors import ValueRefusedError

MAX_TEXT = 1024


class FieldError(ValueRefusedError):
    """One field of a node or link has a value that cannot be.

    Parameters
    ----------
    field
        Name of the field.
    expected
        What the field must be, in words.
    value
        What it was.
    """

    def __init__(self, field: str, expected: str, value: object) -> None:
        self.field = field
        self.expected = expected
        shown = repr(value)
        self.got = shown if len(shown) <= 60 else shown[:57] + "..."
        super().__init__(f"{field} must be {expected}, not {self.got}")


def check_text(owner: object, field: str, *, required: bool = False, limit: int = MAX_TEXT) -> None:
    """Refuse what is not printable text without blanks at its ends.

    Raises
    ------
    FieldError
        If the field is no text, too long, has unprintable characters, or is empty though required.
    """
    value = getattr(owner, field)
    expected = f"{'' if required else 'empty or '}printable text of at most {limit} characters"
    if not isinstance(value, str) or len(value) > limit or not value.isprintable():
        raise FieldError(field, expected, value)
    if value != value.strip() or (required and not value):
        raise FieldError(field, expected + " without blanks at its ends", value)


def check_number(
    owner: object,
    field: str,
    low: float = -math.inf,
    high: float = math.inf,
    *,
    open_low: bool = False,
    optional: bool = False,
) -> None:
    """Refuse what is not a finite number in the range, and store it as a float.

    Raises
    ------
    FieldError
        If the field is no number, NaN, infinite or out of range.
    """
    value = getattr(owner, field)
    if value is None and optional:
        return
    bounds = [f"{'more than' if open_low else 'at least'} {low:g}"] if math.isfinite(low) else []
    bounds += [f"at most {high:g}"] if math.isfinite(high) else []
    expected = " ".join(["a finite number", " and ".join(bounds)]).strip()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise FieldError(field, expected, value)
    try:
        number = float(value)
    except OverflowError:
        raise FieldError(field, expected, "a number of more than 300 digits") from None
    if not math.isfinite(number) or not low <= number <= high or (open_low and number == low):
        raise FieldError(field, expected, value)
    object.__setattr__(owner, field, number)


def check_whole(owner: object, field: str, low: int, high: int, *, optional: bool = False) -> None:
    """Refuse what is not a whole number in the range.

    Raises
    ------
    FieldError
        If the field is no integer or out of range.
    """
    value = getattr(owner, field)
    if value is None and optional:
        return
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise FieldError(field, f"a whole number from {low} to {high:g}", value)
