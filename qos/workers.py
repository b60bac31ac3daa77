"""Where a sweep or a training runs: processes of this machine, or the workers of a Dask cluster.

Everything here that runs in parallel goes through joblib, whose results come in the order of the work and
do not depend on where it was done. Inside `workers(...)` all of it goes to the place that was chosen::

    with workers(jobs=-1, cluster="tcp://10.0.0.5:8786") as jobs:
        results = run_batch(scenarios, jobs=jobs)
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from qos import __version__
from qos.errors import InputError, MissingPieceError, ValueRefusedError

if TYPE_CHECKING:
    from distributed import Client

P = TypeVar("P")
R = TypeVar("R")
CONNECT_TIMEOUT_S = 10
EXTRA = "pip install 'qos-engine[cluster]'"


@contextmanager
def workers(jobs: int = -1, cluster: str | None = None) -> Iterator[int]:
    """Choose where the work of the block runs; give the number of jobs to ask joblib for.

    Parameters
    ----------
    jobs
        Processes on this machine, not 0; -1: one a core. A cluster uses all its workers instead.
    cluster
        Address of a Dask scheduler, such as ``tcp://10.0.0.5:8786``, or None for this machine. Its workers
        must import this package in this version (and `experiments`, where an experiment runs).

    Raises
    ------
    ValueRefusedError
        If `jobs` is 0.
    MissingPieceError
        If `distributed` is not installed here, or a worker cannot import this package.
    InputError
        If no scheduler answers at the address, it has no workers, or they have another version.
    """
    if jobs == 0:
        raise ValueRefusedError("jobs must not be 0; -1 means one process a core")
    if cluster is None:
        yield jobs
        return
    from joblib import parallel_config

    client = _connect(cluster)
    try:
        _check_workers(client, cluster)
        with parallel_config(backend="dask", client=client, wait_for_workers_timeout=CONNECT_TIMEOUT_S):
            yield -1
    finally:
        client.close()


def each(
    function: Callable[[P], R], points: Sequence[P], jobs: int = -1, label: str = "working"
) -> Iterator[R]:
    """Apply a function to every point, with a bar on a terminal; give the results in order.

    Parameters
    ----------
    function
        Taken from its module by name, so that processes keep what it caches.
    points
        What to apply it to.
    jobs
        What `workers` gave.
    label
        Words before the bar.
    """
    from joblib import Parallel, delayed
    from rich.console import Console
    from rich.progress import track

    results = Parallel(n_jobs=jobs, return_as="generator")(delayed(function)(point) for point in points)
    console = Console(stderr=True)
    yield from track(results, label, len(points), console=console, disable=not console.is_terminal)


def _connect(address: str) -> Client:
    try:
        from distributed import Client
    except ImportError:
        raise MissingPieceError(f"--cluster needs the packages dask and distributed: {EXTRA}") from None
    log = logging.getLogger("distributed")
    level = log.level
    log.setLevel(logging.CRITICAL)  # what it would say about a refused connection is in our one line
    try:
        return Client(address, timeout=CONNECT_TIMEOUT_S, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise InputError(
            f"--cluster {address}: no Dask scheduler answers ({reason}); "
            "'dask scheduler' starts one and prints its address"
        ) from None
    finally:
        log.setLevel(level)


def _version_here() -> str:
    """Say which version the worker imports; runs there."""
    try:
        from qos import __version__ as found
    except ImportError:
        return ""
    return found


def _check_workers(client: Client, address: str) -> None:
    try:
        client.wait_for_workers(1, timeout=CONNECT_TIMEOUT_S)
    except TimeoutError:
        raise InputError(
            f"--cluster {address}: the scheduler has no workers; 'dask worker {address}' starts one"
        ) from None
    try:
        versions: dict[str, Any] = client.run(_version_here)
    except ImportError:  # the function itself is of a module that is not there
        versions = {"every worker": ""}
    for name, version in versions.items():
        if not version:
            raise MissingPieceError(f"--cluster: {name} cannot import qos; install qos-engine there")
        if version != __version__:
            raise InputError(f"--cluster: {name} has qos-engine {version}, here is {__version__}")
