"""Many scenarios on all cores, in the order given, with the results that each alone would give."""

from __future__ import annotations

from collections.abc import Sequence

from joblib import Parallel, delayed, effective_n_jobs

from qos.errors import ValueRefusedError
from qos.simulation.paths import find_paths
from qos.simulation.result import Result
from qos.simulation.scenario import Scenario
from qos.simulation.simulation import Simulation, prepare

CHUNKS_A_JOB = 8


def _run_chunk(scenarios: Sequence[Scenario]) -> list[Result]:
    return [Simulation(scenario).run() for scenario in scenarios]


def run_batch(scenarios: Sequence[Scenario], *, jobs: int = -1, progress: bool = False) -> list[Result]:
    """Run independent scenarios.

    Parameters
    ----------
    scenarios
        What to run; each holds its own seed.
    jobs
        Processes; -1: one a core.
    progress
        Show a bar on stderr, if that is a terminal.

    Raises
    ------
    ValueRefusedError
        If `jobs` is 0, or a scenario cannot be run; nothing has run then.
    """
    if jobs == 0:
        raise ValueRefusedError("jobs must not be 0; -1 means one process a core")
    for scenario in scenarios:
        find_paths(scenario)
    prepare()  # so that the processes load the code and do not each compile it
    parallel = Parallel(n_jobs=jobs, return_as="generator")
    count = max(len(scenarios) // (CHUNKS_A_JOB * effective_n_jobs(jobs)), 1)
    chunks = [scenarios[place : place + count] for place in range(0, len(scenarios), count)]
    finished = parallel(delayed(_run_chunk)(chunk) for chunk in chunks)
    if progress:
        from rich.console import Console
        from rich.progress import track

        console = Console(stderr=True)
        finished = track(
            finished, "simulating", len(chunks), console=console, disable=not console.is_terminal
        )
    return [result for chunk in finished for result in chunk]
