"""The tree of errors: as its docstring draws it, and each with its exit code."""

from __future__ import annotations

import errno
import re

import pytest

from qos import errors
from qos.errors import (
    InfeasibleError,
    InputError,
    KernelError,
    MissingPieceError,
    QosError,
    ValueRefusedError,
)


def classes() -> dict[str, type[QosError]]:
    return {
        name: thing
        for name, thing in vars(errors).items()
        if isinstance(thing, type) and issubclass(thing, QosError)
    }


def drawn() -> dict[str, tuple[str | None, int | None]]:
    """Parent and exit code of each name in the docstring's drawing."""
    found: dict[str, tuple[str | None, int | None]] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"    ((?:│   |    )*(?:[├└]── )?)(\w+)(?: +(\d))?(?: |$)", line)
        if match:
            depth = len(match[1]) // 4
            path[depth:] = [match[2]]
            found[match[2]] = (path[depth - 1] if depth else None, int(match[3]) if match[3] else None)
    return found


def test_the_drawing_names_every_class_and_no_other() -> None:
    assert set(drawn()) == set(classes())


def test_the_drawing_shows_each_parent_and_exit_code() -> None:
    for name, (parent, exit_code) in drawn().items():
        assert parent is None or classes()[name].__bases__[0].__name__ == parent
        assert exit_code is None or classes()[name].exit_code == exit_code


def test_exit_codes_are_the_documented_ones() -> None:
    roots = (InputError, ValueRefusedError, InfeasibleError, KernelError, MissingPieceError)
    assert [kind.exit_code for kind in roots] == [1, 2, 3, 4, 5]


def test_a_refused_value_is_a_value_error_too() -> None:
    with pytest.raises(ValueError, match="too fast"):
        raise ValueRefusedError("too fast")


def test_the_kernels_refusal_names_operation_reason_and_number() -> None:
    error = KernelError("tc qdisc add dev eth0 root htb", errno.EOPNOTSUPP, "Specified qdisc kind is unknown")
    assert str(error) == (
        "the kernel refused 'tc qdisc add dev eth0 root htb': Operation not supported: "
        f"Specified qdisc kind is unknown (errno {errno.EOPNOTSUPP})"
    )
    assert (error.operation, error.errno_code) == ("tc qdisc add dev eth0 root htb", errno.EOPNOTSUPP)
