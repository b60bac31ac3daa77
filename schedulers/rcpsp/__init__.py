"""Resource-constrained project scheduling: when to run tasks that share limited resources, in least time.

`Problem` says what is to be done, `schedulers.rcpsp.cpsat.solve` and `schedulers.rcpsp.sgs.first_schedule`
find a `Schedule`, `schedulers.rcpsp.verify.violations` judges it, `schedulers.rcpsp.psplib` reads files.
Exports are lazy: importing this package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from schedulers.rcpsp.problem import Break as Break
    from schedulers.rcpsp.problem import Mode as Mode
    from schedulers.rcpsp.problem import Precedence as Precedence
    from schedulers.rcpsp.problem import Problem as Problem
    from schedulers.rcpsp.problem import Resource as Resource
    from schedulers.rcpsp.problem import Result as Result
    from schedulers.rcpsp.problem import Schedule as Schedule
    from schedulers.rcpsp.problem import Task as Task

__all__ = ["Break", "Mode", "Precedence", "Problem", "Resource", "Result", "Schedule", "Task"]


def __getattr__(name: str) -> object:
    if name in __all__:
        from schedulers.rcpsp import problem

        return getattr(problem, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
