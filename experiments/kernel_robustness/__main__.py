"""Make trouble for the queue: ``python -m experiments.kernel_robustness``."""

from __future__ import annotations

import csv
import json
import os
import platform
import sys
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click

import qos
from experiments.kernel_headtohead.children import ChildFailedError
from experiments.kernel_robustness.checks import CHECKS, QUICK, Finding, Lengths
from experiments.kernel_robustness.site import Site
from experiments.rig import Request, RigMissingError, run
from linux_qdisc.lab.namespaces import Namespace
from qos.errors import QosError

ROOT = Path(__file__).resolve().parents[2]
MISSING = 5
GUEST_ALLOWANCE_S = 240.0


@click.command()
@click.option("--quick", is_flag=True, help="Seconds instead of minutes.")
@click.option(
    "--soak", "soak_s", type=click.FloatRange(5, 86_400), help="Seconds of the soak.  [default: 60]"
)
@click.option(
    "--check", "names", multiple=True, type=click.Choice(list(CHECKS)), help="Only this; repeatable."
)
@click.option(
    "--on",
    "where",
    type=click.Choice(["auto", "here", "rig"]),
    default="auto",
    show_default=True,
    help="This host's kernel (in namespaces), or User-mode Linux; auto takes this host's where it may.",
)
@click.option("--untimed", is_flag=True, hidden=True, help="The clock cannot time the loop.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("results/kernel_robustness"))
def main(
    quick: bool,
    soak_s: float | None,
    names: tuple[str, ...],
    where: str,
    untimed: bool,
    as_json: bool,
    out: Path,
) -> None:
    """Make trouble for an attached queue and tell what held; exit code 1 if something did not."""
    lengths = QUICK if quick else Lengths()
    lengths = lengths if soak_s is None else replace(lengths, soak_s=soak_s)
    lengths = replace(lengths, is_loop_timed=not untimed)
    chosen = names or tuple(CHECKS)
    if where == "rig" or (where == "auto" and not _may_here()):
        words = [
            *(["--quick"] if quick else []),
            *(["--json"] if as_json else []),
            "--soak",
            str(lengths.soak_s),
        ]
        sys.exit(_on_rig([*words, *(f"--check={name}" for name in names)], lengths, out))
    findings = []
    for name in chosen:
        try:
            with Site() as site:
                findings.append(CHECKS[name](site, lengths))
        except (QosError, ChildFailedError) as error:
            click.echo(f"experiments.kernel_robustness: {name}: {error}", err=True)
            sys.exit(getattr(error, "exit_code", 1))
        if not as_json:
            click.echo(_row(findings[-1], lengths))
    document = {
        "schema": 1,
        "version": qos.__version__,
        "kernel": platform.release(),
        "cpus": os.cpu_count(),
        "lengths": asdict(lengths),
        "findings": [asdict(finding) for finding in findings],
    }
    _write(document, findings, out)
    if as_json:
        click.echo(json.dumps(document))
    sys.exit(any(finding.faults for finding in findings))


def _may_here() -> bool:
    with suppress(QosError, OSError):
        Namespace("trial").close()
        return True
    return False


def _on_rig(words: list[str], lengths: Lengths, out: Path) -> int:
    """Run on User-mode Linux by a virtual clock: how busy the host is changes nothing."""
    script = 'exec "$0" -m experiments.kernel_robustness --on here --untimed --out "$RIG_OUT" "$@"'
    path = os.pathsep.join((str(Path(qos.__file__).parents[1]), str(ROOT)))
    limit_s = lengths.arrivals_s + lengths.many_s + lengths.soak_s + GUEST_ALLOWANCE_S
    try:
        finished = run(
            Request(
                ["sh", "-c", script, sys.executable, *words],
                limit_s,
                environment={"PYTHONPATH": path},
                out=out,
                folder=ROOT,
                show=True,
                is_virtual=True,
            )
        )
    except RigMissingError as error:
        click.echo(f"experiments.kernel_robustness: {error}", err=True)
        return MISSING
    return finished.returncode


def _row(finding: Finding, lengths: Lengths) -> str:
    verdict = "held " if not finding.faults else "FAILED: " + ", ".join(finding.faults) + " "
    figures = finding.figures
    names = ("loop_cpu_p99_s", "loop_wall_p99_s")
    cpu_ms, wall_ms = (figures.get(name, float("nan")) * 1e3 for name in names)
    loop = f"loop p99 {cpu_ms:.1f} ms of CPU, {wall_ms:.1f} ms by the clock"
    loop = loop if lengths.is_loop_timed else "loop not timed"
    rest = ", ".join(_figure(name, figures[name]) for name in _SHOWN if name in figures)
    return f"{finding.name:26}{verdict:10}{rest}, {loop}"


_SHOWN = ("sent", "lost", "lost_while_down", "carried_bps", "alone_bps", "after_bps", "queues_used")
_SHOWN += ("share_least", "share_most", "grown_bytes", "resident_bytes")


def _figure(name: str, value: Any) -> str:
    words = name.rpartition("_")[0].replace("_", " ") if name.endswith(("_bps", "_bytes")) else name
    if name.endswith("_bps"):
        return f"{words} {value / 1e6:.2f} Mbit/s"
    if name.endswith("_bytes"):
        return f"{words} {value / 1e6:.2f} MB"
    return f"{words.replace('_', ' ')} {value:.3g}" if isinstance(value, float) else f"{words} {value}"


def _write(document: dict[str, Any], findings: list[Finding], out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    (out / "robustness.json").write_text(json.dumps(document, indent=1) + "\n")
    with open(out / "robustness.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["check", "held", "figure", "value"])
        for finding in findings:
            for name, value in finding.figures.items():
                writer.writerow([finding.name, not finding.faults, name, value])
    series = {name: values for finding in findings for name, values in finding.series.items()}
    memory = {name: values for name, values in series.items() if name != "share" and values}
    if memory:
        _plot(memory, out / "memory.png")


def _plot(memory: dict[str, list[float]], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(7, 3.5))
    for name, values in memory.items():
        axis.plot(range(1, len(values) + 1), [value / 1e6 for value in values], label=name)
    axis.set(xlabel="time (s)", ylabel="resident memory of the controller (MB)", ylim=(0, None))
    axis.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


if __name__ == "__main__":
    main()
