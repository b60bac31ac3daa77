"""`qos plan`: a topology and demands in, a plan for queues, radios and quantum links out."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from qos.cli.common import CommandSettings, console, print_json, verb
from qos.errors import ValueRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def _progress(settings: CommandSettings) -> Iterator[Callable[[str, float], None]]:
    """Show the phase, on a terminal only."""
    quiet = settings.as_json or settings.verbosity < 0 or not sys.stderr.isatty()
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console(settings, stderr=True), transient=True, disable=quiet) as bar:
        task = bar.add_task("reading", total=1.0)

        def show(phase: str, done: float) -> None:
            bar.update(task, description=phase, completed=done)

        yield show


@verb(short_help="Plan a network: who is admitted, on which paths, with which settings.")
@click.argument("source", required=False, metavar="[FILE]")
@click.option(
    "--demands",
    metavar="FILE",
    help="Demands of a second file: YAML, JSON, a traffic matrix (CSV, SNDlib XML); or drawn by --seed: "
    "random:COUNT, gravity:RATE.",
)
@click.option("--out", type=click.Path(dir_okay=False), metavar="PLAN", help="Write the plan (JSON).")
@click.option("--force", is_flag=True, help="Replace PLAN if it exists.")
@click.option(
    "--previous", type=click.Path(dir_okay=False), metavar="PLAN", help="Keep what this plan admitted."
)
@click.option("--fail", multiple=True, metavar="WHAT", help="A link (A:B or its id) or node that fails.")
@click.option(
    "--set", "changes", multiple=True, metavar="LINK.FIGURE=VALUE", help="As in core:hall.rate=10mbit."
)
@click.option(
    "--time-limit",
    "time_limit_s",
    type=click.FloatRange(0, 86400, min_open=True),
    metavar="SECONDS",
    help="Of the search.  [default: 1 s and 1 s for each 100 demands]",
)
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True)
@click.option(
    "--weight",
    type=click.Choice(["priority", "count"]),
    default="priority",
    show_default=True,
    help="What an admitted demand counts.",
)
@click.option(
    "--usable",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.9,
    show_default=True,
    help="Share of a link that may be promised.",
)
@click.option("--policy", default="lfq", show_default=True, help="Limit policy of the fair queues.")
@click.option(
    "--risk-groups",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="YAML: links that fail together, for demands with protection.",
)
@click.option("--no-why", is_flag=True, help="Do not look for changes that would admit what is rejected.")
@click.option("--plot", type=click.Path(dir_okay=False), metavar="FILE", help="Draw links by their load.")
def command(
    settings: CommandSettings,
    source: str | None,
    out: str | None,
    force: bool,
    plot: str | None,
    no_why: bool,
    risk_groups: str | None,
    time_limit_s: float | None,
    usable: float,
    weight: str,
    policy: str,
    **reading: object,
) -> None:
    """Decide which demands a network serves, on which paths, with which setting of every link.

    FILE is a topology with a section `demands` (a file or a name of the library, such as campus). With
    --previous and no FILE the plan's own network is planned again, changed by --fail and --set.
    """
    from qos.cli.plan_input import PlanRequest, read, refuse_overwriting
    from qos.planning import PlanOptions
    from schedulers.packet.limits import check_policy

    if time_limit_s is not None and time_limit_s != time_limit_s:
        raise ValueRefusedError("--time-limit nan: expected a number")
    if usable != usable:
        raise ValueRefusedError("--usable nan: expected a number")
    check_policy(policy)
    if plot is not None:
        _check_plot(plot)
    if out is not None:
        refuse_overwriting(out, force)
    options = PlanOptions(
        usable=usable, weight=weight, policy=policy, time_limit_s=time_limit_s, explain=not no_why
    )
    scenario, previous = read(PlanRequest(source=source, **reading))  # type: ignore[arg-type]
    from qos.engine import plan as make
    from qos.survival import protect, read_risk_groups

    risks = None if risk_groups is None else read_risk_groups(risk_groups, scenario.topology)
    with _progress(settings) as show:
        found = make(scenario, options, previous=previous, progress=show)
    if any(flow.protection for flow in scenario.flows):
        found = protect(found, risks)
    if out is not None:
        from qos.plan_files import save_plan

        save_plan(found, out)
    if settings.as_json:
        from qos.cli.plan_output import changes_document

        extra = {} if previous is None else {"changes": changes_document(previous, found)}
        print_json(found.to_json() | extra)
    else:
        from qos.cli.plan_output import print_changes, print_plan

        if previous is not None:
            print_changes(settings, previous, found)
        print_plan(settings, found)
    if plot is not None:
        from qos.drawing_plan import draw_plan

        draw_plan(found, plot)


def _check_plot(path: str) -> None:
    from qos.drawing import SUFFIXES

    if not path.lower().endswith(SUFFIXES):
        raise ValueRefusedError(f"--plot {path}: a drawing needs one of the suffixes {', '.join(SUFFIXES)}")
