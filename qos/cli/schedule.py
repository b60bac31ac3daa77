"""`qos schedule`: admission and timetable of entangled pairs on a quantum network."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from qos.cli.common import DURATION, CommandSettings, console, print_json, verb
from qos.cli.schedule_input import CPSAT, MODES, OBJECTIVES, ROUNDINGS, Case, Request, judge, read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from schedulers.entanglement.allocation import Scheduled
    from schedulers.entanglement.cpsat.outcome import Options

DEFAULT_FIDELITY = 0.65
NANOSECONDS_PER_SECOND = 10**9


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


def _options(request: Request, show: Callable[[str, float], None]) -> Options:
    from schedulers.entanglement.cpsat.outcome import Options

    return Options(
        objective=request.objective,  # type: ignore[arg-type]
        mode=request.mode,  # type: ignore[arg-type]
        time_limit_s=request.time_limit_s,
        workers=request.workers,
        seed=request.seed,
        progress=show,
    )


def _scheduled(settings: CommandSettings, request: Request, case: Case) -> Scheduled:
    from schedulers.entanglement.allocation import schedule_tasks

    if request.scheduler != CPSAT:
        budget = None
        if request.budget_s is not None:
            budget = round(request.budget_s / case.task_set.slot_s)
        return schedule_tasks(case.task_set, request.scheduler, budget_slots=budget)
    with _progress(settings, request.time_limit_s) as show:
        return schedule_tasks(case.task_set, CPSAT, _options(request, show))


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
@click.option(
    "--paths",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    metavar="K",
    help="Let cpsat choose each demand's path among its K shortest.",
)
@click.option(
    "--rounding",
    type=click.Choice(ROUNDINGS),
    default="floor",
    show_default=True,
    help="How periods become whole slots.",
)
@click.option(
    "--hardware",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Memories, success probabilities, times, link model.",
)
@click.option(
    "--budget", "budget_ns", type=DURATION, metavar="TIME", help="Preemption budget of every task (100ms)."
)
@click.option("--keep-going", is_flag=True, help="Leave out demands that nothing serves, and say why.")
@click.option("--why", is_flag=True, help="Say why demands are refused, and what would be served.")
@click.option(
    "--replay", type=click.IntRange(1, 1_000_000), metavar="N", help="Replay N tables on links of chance."
)
@click.option("--requests", type=click.Path(dir_okay=False), metavar="FILE", help="Requests on demand.")
@click.option("--fail", multiple=True, metavar="WHAT", help="Let a node, link (A--B) or qubit fail; repair.")
@click.option("--export", type=click.Path(file_okay=False), metavar="DIR", help="Write tables for the nodes.")
def command(settings: CommandSettings, budget_ns: int | None, **arguments: Any) -> None:
    """Admit demands for entangled pairs and say when every repeater protocol runs.

    TOPOLOGY is a name of the library or a file; its demands come from --demands, --random, or its own
    section demands. Ctrl-C ends the search and prints the best schedule found so far.
    """
    from qos.cli.schedule_after import after, check
    from qos.cli.schedule_output import document, print_rejected, print_schedule
    from schedulers.entanglement.metrics import measure

    budget_s = None if budget_ns is None else budget_ns / NANOSECONDS_PER_SECOND
    request = Request(budget_s=budget_s, **arguments)
    judge(request)
    case = read(request)
    check(request, case)
    result = _scheduled(settings, request, case)
    plain = case.task_set.on_paths_of(result.schedule)
    metrics = measure(plain, result.schedule)
    if result.interrupted and settings.verbosity >= 0:
        print("qos: interrupted; this is the best schedule found so far", file=sys.stderr)
    rejected = _rejected(request, case, result)
    if not settings.as_json:
        print_schedule(settings, request, case, plain, result, metrics)
        print_rejected(settings, rejected)
    more = after(settings, request, case, plain, result.schedule)
    if settings.as_json:
        print_json(document(request, case, result, metrics, rejected) | more)
    if request.plot is not None:  # last, so that a chart that cannot be drawn costs nobody the schedule
        from qos.drawing_schedule import draw_schedule

        draw_schedule(plain, result.schedule, request.plot)


def _rejected(request: Request, case: Case, result: Scheduled) -> Any:
    if case.compiler is None or case.compiled is None or not (request.why or request.keep_going):
        return ()
    from schedulers.entanglement.allocation import rejections

    found = rejections(case.compiler, case.asked, case.compiled, result.schedule, with_changes=request.why)
    refused = {position for position, _ in case.compiled.refused}
    return found if request.why else tuple(one for one in found if one.position in refused)
