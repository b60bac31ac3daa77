"""Sweeps and training on this machine and on a real Dask cluster: the same to the last bit."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import qos
from qos import workers as module
from qos.errors import InputError, MissingPieceError, ValueRefusedError
from qos.simulation import Result, run_batch
from qos.training.evolution import Plan, begin, train
from qos.training.scenarios import Ranges, draw_task
from qos.workers import each, workers
from schedulers.packet.limits.lfq.network import first_network, pack

ROOT = Path(__file__).resolve().parents[2]
SMALL = Ranges(most_packets=1_000)
needs_dask = pytest.mark.skipif(
    importlib.util.find_spec("distributed") is None,
    reason="needs the packages of the extra 'cluster' (dask, distributed)",
)
# Its own process, so that the cluster is as foreign as a real one; stdin's end is its end.
CLUSTER = """
import sys
from distributed import LocalCluster
if __name__ == "__main__":
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        print(cluster.scheduler_address, flush=True)
        sys.stdin.read()
"""


def square(number: int) -> int:
    return number * number


def worker_pid(number: int) -> int:
    return os.getpid()


def exact(result: Result) -> str:
    """Everything but the time it took; floats are spelled whole, and NaN equals itself."""
    return repr(replace(result, cpu_s=0.0))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A scheduler and two worker processes; gives the address."""
    folder = tmp_path_factory.mktemp("dask")
    script = folder / "cluster.py"
    script.write_text(CLUSTER)
    path = os.pathsep.join([str(Path(qos.__file__).parents[1]), str(ROOT), str(Path(__file__).parent)])
    with subprocess.Popen(
        [sys.executable, str(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": path},
        cwd=folder,
        text=True,
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.communicate()


@needs_dask
@pytest.mark.filterwarnings("default")  # of distributed and tornado, which are not ours
def test_a_cluster_of_two_workers_gives_the_same_bits(cluster: str) -> None:
    scenarios = [draw_task(4, index, SMALL).scenario for index in range(4)]
    plan = Plan(2, scenarios=2, pairs=2, ranges=SMALL)
    search = begin(pack(first_network(3)))
    here = run_batch(scenarios, jobs=1)
    trained_here = list(train(search, Plan(2, scenarios=2, pairs=2, ranges=SMALL, jobs=1)))
    with workers(cluster=cluster) as jobs:
        assert jobs == -1
        there = run_batch(scenarios, jobs=jobs)
        trained_there = list(train(search, plan))
        pids = set(each(worker_pid, range(40), jobs))
        assert list(each(square, range(20), jobs)) == [n * n for n in range(20)]
    assert os.getpid() not in pids
    assert len(pids) == 2
    assert [exact(result) for result in there] == [exact(result) for result in here]
    for one, other in zip(trained_here, trained_there, strict=True):
        assert np.array_equal(one.search.average, other.search.average)
        assert one.reward == other.reward


@needs_dask
@pytest.mark.filterwarnings("default")
def test_workers_of_another_version_are_refused(cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "__version__", "99.0")
    with pytest.raises(InputError, match=r"has qos-engine .*, here is 99\.0"), workers(cluster=cluster):
        pass


@needs_dask
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nonsense://x", "tcp://127.0.0.1:notaport"])
def test_an_address_without_a_scheduler_is_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONNECT_TIMEOUT_S", 1)
    with pytest.raises(InputError, match="no Dask scheduler answers"), workers(cluster=address):
        pass


def test_the_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    refused = pytest.raises(MissingPieceError, match=r"pip install 'qos-engine\[cluster\]'")
    with refused, workers(cluster="tcp://127.0.0.1:8786"):
        pass


def test_without_a_cluster_work_stays_here_and_in_order() -> None:
    with workers(2) as jobs:
        assert jobs == 2
        assert list(each(square, range(9), jobs)) == [n * n for n in range(9)]
    with pytest.raises(ValueRefusedError, match="jobs must not be 0"), workers(0):
        pass
