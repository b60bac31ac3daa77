"""`qos schedule`: admission and timetable of entangled pairs on a quantum network."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from qos.cli.common import CommandSettings, console, print_json, verb
from qos.errors import ValueRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from schedulers.entanglement.cpsat.outcome import Options
    from schedulers.entanglement.metrics import ScheduleMetrics
    from schedulers.entanglement.tasks import Schedule, TaskSet

CPSAT = "cpsat"
OBJECTIVES = ("throughput", "fair", "count", "jitter", "zero-jitter", "makespan")
MODES = ("batch", "dominate", "online")
DEFAULT_FIDELITY = 0.65


@dataclass(frozen=True)
class _Request:
    """What the command line asks for, judged."""

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


@dataclass(frozen=True)
class _Result:
    """What is printed."""

    schedule: Schedule
    status: str
    bound_ebit_per_s: float | None
    seconds: float
    interrupted: bool = False


def _judge(request: _Request) -> None:
    """Refuse what does not go together, before anything is read."""
    if (request.topology is None) == (request.taskset is None):
        raise ValueRefusedError("give either a TOPOLOGY or --taskset FILE; see 'qos schedule --help'")
    if request.taskset is not None and (request.demands is not None or request.random is not None):
        raise ValueRefusedError("--taskset has its own demands; leave out --demands and --random")
    if request.demands is not None and request.random is not None:
        raise ValueRefusedError("give either --demands FILE or --random N, not both")
    for flag, value in (("--time-limit", request.time_limit_s), ("--fidelity", request.fidelity)):
        if value != value:
            raise ValueRefusedError(f"{flag} nan: expected a number")
    if request.scheduler != CPSAT:
        from schedulers.entanglement.scheduler import get_scheduler

        _known_scheduler(request.scheduler)
        get_scheduler(request.scheduler)
        if request.objective != OBJECTIVES[0] or request.mode != MODES[0]:
            raise ValueRefusedError(
                f"--scheduler {request.scheduler} has no objectives and modes; "
                "leave out --objective and --mode, or use --scheduler cpsat"
            )
    if request.plot is not None:
        from qos.drawing import SUFFIXES

        if not request.plot.lower().endswith(SUFFIXES):
            raise ValueRefusedError(
                f"--plot {request.plot}: a drawing needs one of the suffixes {', '.join(SUFFIXES)}"
            )


def _known_scheduler(name: str) -> None:
    from schedulers.entanglement.scheduler import SCHEDULERS

    if name not in SCHEDULERS:
        known = ", ".join((CPSAT, *SCHEDULERS))
        raise ValueRefusedError(f"--scheduler {name}: unknown; use one of {known}")


def _task_set(request: _Request) -> TaskSet:
    if request.taskset is not None:
        from schedulers.entanglement.taskset_files import load_task_set

        return load_task_set(request.taskset)
    from schedulers.entanglement.compile import Compiler
    from topologies.files import read

    assert request.topology is not None
    loaded = read(request.topology)
    compiler = Compiler(loaded.topology)
    if request.random is not None:
        from schedulers.entanglement.random_demands import random_demands

        drawn = random_demands(compiler, request.random, request.fidelity, request.seed)
        return compiler.compile(drawn).task_set
    from schedulers.entanglement.demand_files import load_demands, read_demands

    if request.demands is not None:
        return compiler.compile(load_demands(request.demands)).task_set
    if loaded.demands is None:
        raise ValueRefusedError(
            f"{request.topology} has no section demands; give --demands FILE or --random N"
        )
    return compiler.compile(read_demands(loaded.demands, request.topology)).task_set


def _show_nothing(phase: str, done: float) -> None:  # noqa: ARG001
    return


@contextmanager
def _progress(settings: CommandSettings, time_limit_s: float) -> Iterator[Callable[[str, float], None]]:
    """Show how much of the time is spent, on a terminal only."""
    if settings.as_json or settings.verbosity < 0 or not sys.stderr.isatty():
        yield _show_nothing
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console(settings, stderr=True), transient=True) as bar:
        task = bar.add_task("first schedule", total=time_limit_s)

        def show(phase: str, done: float) -> None:
            bar.update(task, description=phase, completed=done * time_limit_s)

        yield show


def _by_heuristic(task_set: TaskSet, name: str) -> _Result:
    from dataclasses import replace

    from schedulers.entanglement.admission import admit
    from schedulers.entanglement.scheduler import get_scheduler

    scheduler = get_scheduler(name)
    admit(replace(task_set, tasks=task_set.tasks[:1]), scheduler)  # compiles, which is not counted
    begun = time.perf_counter()
    schedule = admit(task_set, scheduler)
    return _Result(schedule, "heuristic", None, time.perf_counter() - begun)


def _by_cpsat(settings: CommandSettings, task_set: TaskSet, request: _Request) -> _Result:
    from schedulers.entanglement.cpsat.optimise import optimise

    with _progress(settings, request.time_limit_s) as show:
        outcome = optimise(task_set, _options(request, show))
    return _Result(
        outcome.schedule, outcome.status, outcome.bound_ebit_per_s, outcome.seconds, outcome.interrupted
    )


def _options(request: _Request, show: Callable[[str, float], None]) -> Options:
    from schedulers.entanglement.cpsat.outcome import Options

    return Options(
        objective=request.objective,  # type: ignore[arg-type]
        mode=request.mode,  # type: ignore[arg-type]
        time_limit_s=request.time_limit_s,
        workers=request.workers,
        seed=request.seed,
        progress=show,
    )


def _document(request: _Request, result: _Result, metrics: ScheduleMetrics) -> dict[str, Any]:
    schedule = result.schedule
    starts = {
        str(task_id): [list(map(list, instance)) for instance in schedule.segments[task_id]]
        if task_id in schedule.segments
        else list(instants)
        for task_id, instants in schedule.starts.items()
    }
    cpsat = request.scheduler == CPSAT
    return {
        "schema": 1,
        "scheduler": request.scheduler,
        "mode": request.mode if cpsat else None,
        "objective": request.objective if cpsat else None,
        "status": result.status,
        "admitted": list(schedule.admitted),
        "starts": starts,
        "throughput_ebit_per_s": metrics.throughput_ebit_per_s,
        "bound_ebit_per_s": result.bound_ebit_per_s,
        "jitter_s2": metrics.jitter_s2,
        "peak_to_peak_jitter_s": metrics.peak_to_peak_jitter_s,
        "jain": metrics.jain,
        "seconds": result.seconds,
        "hyperperiod_slots": schedule.hyperperiod_slots,
        "demands": metrics.demands,
        "interrupted": result.interrupted,
    }


def _summary(request: _Request, result: _Result, metrics: ScheduleMetrics) -> str:
    bound = result.bound_ebit_per_s
    against = "" if bound is None else f" of at most {bound:.3f}"
    return (
        f"{request.scheduler}: {metrics.admitted} of {metrics.demands} demands, "
        f"{metrics.throughput_ebit_per_s:.3f}{against} ebit/s (offered {metrics.offered_ebit_per_s:.3f}), "
        f"{result.status} in {result.seconds:.2f} s\n"
        f"jitter {metrics.jitter_s2:.3g} s^2, peak to peak {metrics.peak_to_peak_jitter_s:.3g} s, "
        f"Jain's index {metrics.jain:.3f}, worst response {metrics.response_s:.3g} s"
    )


def _print_table(
    settings: CommandSettings, request: _Request, task_set: TaskSet, result: _Result, metrics: ScheduleMetrics
) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    of_task = {one.task_id: one for one in metrics.tasks}
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for heading in ("id", "from", "to", ">fidelity", ">ebit/s", "", ">offset s", ">moves by s"):
        table.add_column(heading.lstrip(">"), justify="right" if heading.startswith(">") else "left")
    for task in task_set.tasks:
        rate = 1 / (task.period_slots * task_set.slot_s)
        cells = [str(task.task_id), task.source, task.destination, f"{task.min_fidelity:g}", f"{rate:.4g}"]
        if task.task_id in of_task:
            starts = result.schedule.starts[task.task_id]
            offset = min(start % task.period_slots for start in starts) * task_set.slot_s
            moves = of_task[task.task_id].peak_to_peak_jitter_s
            cells += ["admitted", f"{offset:.3g}", f"{moves:.3g}"]
        else:
            cells += ["refused", "", ""]
        table.add_row(*(Text(cell) for cell in cells))
    out = console(settings)
    if not sys.stdout.isatty():
        out.width = 10_000
    out.print(table)
    out.print(_summary(request, result, metrics), markup=False)


@verb(short_help="Schedule entangled pairs on a quantum network.")
@click.argument("topology", required=False, metavar="[TOPOLOGY]")
@click.option("--demands", type=click.Path(dir_okay=False), metavar="FILE", help="Demands, YAML or JSON.")
@click.option(
    "--random", type=click.IntRange(1), metavar="N", help="Draw N random demands in place of a file."
)
@click.option(
    "--fidelity",
    type=click.FloatRange(0.5, 1, min_open=True),
    default=DEFAULT_FIDELITY,
    show_default=True,
    help="Minimum fidelity of random demands.",
)
@click.option("--taskset", type=click.Path(dir_okay=False), metavar="FILE", help="A task set (qtaskset/1).")
@click.option(
    "--scheduler",
    default=CPSAT,
    show_default=True,
    metavar="NAME",
    help="cpsat, or one of the paper's: pts-np-edf, rcpsp-np-fpr, rcpsp-np-edf, ...",
)
@click.option("--objective", type=click.Choice(OBJECTIVES), default="throughput", show_default=True)
@click.option("--mode", type=click.Choice(MODES), default="batch", show_default=True)
@click.option(
    "--time-limit",
    "time_limit_s",
    type=click.FloatRange(0, 86400, min_open=True),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="The best found by then is returned.",
)
@click.option("--workers", type=click.IntRange(1, 256), default=2, show_default=True, help="Solver threads.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True)
@click.option(
    "--plot", type=click.Path(dir_okay=False), metavar="FILE", help="Gantt chart (.png, .svg, .pdf)."
)
def command(settings: CommandSettings, **arguments: Any) -> None:
    """Admit demands for entangled pairs and say when every repeater protocol runs.

    TOPOLOGY is a name of the library or a file; its demands come from --demands, --random, or its own
    section demands. Ctrl-C ends the search and prints the best schedule found so far.
    """
    from schedulers.entanglement.metrics import measure
    from schedulers.entanglement.verify import verify

    request = _Request(**arguments)
    _judge(request)
    task_set = _task_set(request)
    cpsat = request.scheduler == CPSAT
    result = _by_cpsat(settings, task_set, request) if cpsat else _by_heuristic(task_set, request.scheduler)
    verify(task_set, result.schedule)
    metrics = measure(task_set, result.schedule)
    if result.interrupted and settings.verbosity >= 0:
        print("qos: interrupted; this is the best schedule found so far", file=sys.stderr)
    if settings.as_json:
        print_json(_document(request, result, metrics) | {"slot_s": task_set.slot_s})
    else:
        _print_table(settings, request, task_set, result, metrics)
    if request.plot is not None:  # last, so that a chart that cannot be drawn costs nobody the schedule
        from qos.drawing_schedule import draw_schedule

        draw_schedule(task_set, result.schedule, request.plot)
