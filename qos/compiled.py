"""The one place where Python is compiled: numba, with its cache on, typed for the type checker."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

F = TypeVar("F", bound=Callable[..., object])


def compiled(function: F) -> F:
    """Compile a function to machine code on its first call and keep the code on disk.

    Importing a module that uses this imports numba (about half a second): a command's module imports
    such modules inside the verb that needs them.
    """
    from numba import njit

    return cast("F", njit(cache=True)(function))


def inlined(function: F) -> F:
    """Compile a function into its callers: for small functions on a path where a call costs too much.

    A division by zero gives infinity or an undefined integer, as in numpy, and raises nothing.
    """
    from numba import njit

    return cast("F", njit(cache=True, forceinline=True, error_model="numpy")(function))


def released(function: F) -> F:
    """Compile a function beside which other threads of Python run: it gives the interpreter's lock free."""
    from numba import njit

    return cast("F", njit(cache=True, nogil=True)(function))
