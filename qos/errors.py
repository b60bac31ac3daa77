"""The one tree of errors that a user can cause or meet, and the exit code of each.

::

    QosError
    ├── InputError            1   a file, a device's state or a check is not as it must be
    │   ├── ForeignQdiscError 1   somebody else's qdisc is on the interface
    │   └── BusyError         1   another controller holds the interface
    ├── ValueRefusedError     2   a flag or an argument has a value that cannot be used
    ├── InfeasibleError       3   no solution exists, or none was found in the time limit
    ├── KernelError           4   the kernel refused an operation (carries the errno)
    └── MissingPieceError     5   a privilege, module or program is missing
        └── PrivilegeError    5   a capability is missing

Each message says what was wrong, where (file and key, interface, flag) and what to do about it,
in one line. Anything else that escapes is a bug and keeps its traceback.
"""

from __future__ import annotations

import os
from typing import ClassVar


class QosError(Exception):
    """Base of every error that is shown to the user as one line."""

    exit_code: ClassVar[int] = 1


class InputError(QosError):
    """A file or the state of the system is not what the command needs."""


class ForeignQdiscError(InputError):
    """The interface carries a qdisc that somebody else put there."""


class BusyError(InputError):
    """Another controller holds the interface."""


class ValueRefusedError(QosError, ValueError):
    """A flag or an argument has a value that cannot be used."""

    exit_code = 2


class InfeasibleError(QosError):
    """No solution exists, or none was found within the limits given."""

    exit_code = 3


class KernelError(QosError):
    """The kernel refused an operation.

    Parameters
    ----------
    operation
        What was asked, in the words of `ip` or `tc`.
    errno_code
        The positive errno that the kernel answered with.
    detail
        The kernel's extended acknowledgement, where it sent one.
    """

    exit_code = 4

    def __init__(self, operation: str, errno_code: int, detail: str = "") -> None:
        self.operation = operation
        self.errno_code = errno_code
        self.detail = detail
        reason = os.strerror(errno_code) + (f": {detail}" if detail else "")
        super().__init__(f"the kernel refused '{operation}': {reason} (errno {errno_code})")


class MissingPieceError(QosError):
    """A kernel piece, a program or a privilege that the command needs is missing."""

    exit_code = 5


class PrivilegeError(MissingPieceError):
    """The process lacks a capability."""
