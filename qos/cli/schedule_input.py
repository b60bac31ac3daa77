"""What `qos schedule` reads: a task set, or a network and demands that become one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qos.errors import InputError, QosError, ValueRefusedError

if TYPE_CHECKING:
    from schedulers.entanglement.compile import Asked, Compiled, Compiler
    from schedulers.entanglement.tasks import TaskSet

CPSAT = "cpsat"
OBJECTIVES = ("throughput", "fair", "count", "jitter", "zero-jitter", "makespan")
MODES = ("batch", "dominate", "online")
ROUNDINGS = ("floor", "ceil", "power-of-two")


@dataclass(frozen=True)
class Request:
    """What the command line asks for."""

    topology: str | None
    demands: str | None
    random: int | None
    fidelity: float
    taskset: str | None
    scheduler: str
    objective: str
    mode: str
    time_limit_s: float
    workers: int
    seed: int
    plot: str | None
    paths: int
    rounding: str
    hardware: str | None
    budget_s: float | None
    keep_going: bool
    why: bool
    replay: int | None
    fail: tuple[str, ...]
    requests: str | None
    export: str | None


@dataclass(frozen=True)
class Case:
    """What is to be scheduled; compiler and demands only where it comes from a network."""

    task_set: TaskSet
    compiler: Compiler | None = None
    asked: tuple[Asked, ...] = ()
    compiled: Compiled | None = None

    @property
    def demands(self) -> int:
        """How many were asked for, those that nothing serves included."""
        return len(self.asked) if self.compiled is not None else len(self.task_set.tasks)


def judge(request: Request) -> None:
    """Refuse what does not go together, before anything is read."""
    if (request.topology is None) == (request.taskset is None):
        raise ValueRefusedError("give either a TOPOLOGY or --taskset FILE; see 'qos schedule --help'")
    if request.taskset is not None:
        _judge_task_set(request)
    if request.demands is not None and request.random is not None:
        raise ValueRefusedError("give either --demands FILE or --random N, not both")
    for flag, value in (("--time-limit", request.time_limit_s), ("--fidelity", request.fidelity)):
        if value != value:
            raise ValueRefusedError(f"{flag} nan: expected a number")
    if request.scheduler != CPSAT:
        _judge_scheduler(request)
    elif request.budget_s is not None:
        raise ValueRefusedError("--budget is for pts-pb, rcpsp-pbs and rcpsp-pb; cpsat interrupts nobody")
    if request.plot is not None:
        from qos.drawing import SUFFIXES

        if not request.plot.lower().endswith(SUFFIXES):
            raise ValueRefusedError(
                f"--plot {request.plot}: a drawing needs one of the suffixes {', '.join(SUFFIXES)}"
            )


def _judge_task_set(request: Request) -> None:
    if request.demands is not None or request.random is not None:
        raise ValueRefusedError("--taskset has its own demands; leave out --demands and --random")
    for flag, given in (
        ("--paths", request.paths != 1),
        ("--rounding", request.rounding != ROUNDINGS[0]),
        ("--hardware", request.hardware is not None),
        ("--keep-going", request.keep_going),
        ("--why", request.why),
        ("--requests", request.requests is not None),
    ):
        if given:
            raise ValueRefusedError(f"{flag} needs a TOPOLOGY; a task set is compiled already")


def _judge_scheduler(request: Request) -> None:
    from schedulers.entanglement.scheduler import SCHEDULERS, get_scheduler

    if request.scheduler not in SCHEDULERS:
        known = ", ".join((CPSAT, *SCHEDULERS))
        raise ValueRefusedError(f"--scheduler {request.scheduler}: unknown; use one of {known}")
    get_scheduler(request.scheduler, None if request.budget_s is None else 0)
    if request.objective != OBJECTIVES[0] or request.mode != MODES[0]:
        raise ValueRefusedError(
            f"--scheduler {request.scheduler} has no objectives and modes; "
            "leave out --objective and --mode, or use --scheduler cpsat"
        )
    if request.paths != 1:
        raise ValueRefusedError(
            f"--scheduler {request.scheduler} chooses no paths; leave out --paths, or use --scheduler cpsat"
        )


def read(request: Request) -> Case:
    """Read what the request names, and compile it."""
    if request.taskset is not None:
        from schedulers.entanglement.taskset_files import load_task_set

        return Case(load_task_set(request.taskset))
    from schedulers.entanglement.compile import CompileOptions, Compiler
    from schedulers.entanglement.physics_files import Hardware, load_hardware
    from topologies.files import read as read_topology

    assert request.topology is not None
    loaded = read_topology(request.topology)
    hardware = load_hardware(request.hardware) if request.hardware is not None else Hardware()
    options = CompileOptions(
        search=hardware.search,
        physics=hardware.physics,
        hardware=hardware.link,
        paths=request.paths,
        rounding=request.rounding,  # type: ignore[arg-type]
    )
    compiler = Compiler(loaded.topology, options)
    asked = _asked(request, loaded.demands, compiler)
    try:
        compiled = compiler.compile(asked, keep_going=request.keep_going)
    except QosError as error:
        if request.random is not None:
            raise
        # What is wrong with a demand is wrong with the file that it stands in, not with a flag.
        kind = InputError if isinstance(error, ValueRefusedError) else type(error)
        raise kind(f"{request.demands or request.topology}: {error}") from None
    return Case(compiled.task_set, compiler, asked, compiled)


def _asked(request: Request, own: object, compiler: Compiler) -> tuple[Asked, ...]:
    """Draw or read the demands."""
    if request.random is not None:
        from schedulers.entanglement.random_demands import random_demands

        return random_demands(compiler, request.random, request.fidelity, request.seed)
    from schedulers.entanglement.demand_files import load_demands, read_demands

    if request.demands is not None:
        return load_demands(request.demands, compiler)
    if own is None:
        raise ValueRefusedError(
            f"{request.topology} has no section demands; give --demands FILE or --random N"
        )
    return read_demands(own, str(request.topology), compiler)
