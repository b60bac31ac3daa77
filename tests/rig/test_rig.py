"""The kernel tests that need a kernel with every packet scheduler, run on User-mode Linux."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

import qos
from experiments.kernel_headtohead.grid import Cell, Scenario
from experiments.kernel_headtohead.runs import run_batch
from experiments.rig import Finished, Request, Rig, RigMissingError, prepare, run

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
GUEST_LIMIT_S = 150.0


@pytest.fixture(scope="module")
def rig() -> Rig:
    try:
        made = prepare()
        run(Request(["true"], timeout_s=30), made)
    except RigMissingError as error:
        pytest.skip(str(error))
    return made


def guest(rig: Rig, *words: str, out: Path | None = None, timeout_s: float = GUEST_LIMIT_S) -> Finished:
    path = os.pathsep.join((str(Path(qos.__file__).parents[1]), str(ROOT)))
    request = Request(words, timeout_s, environment={"PYTHONPATH": path}, out=out, folder=ROOT)
    return run(request, rig)


def test_output_files_and_exit_code_come_back_and_the_host_is_not_written_to(
    rig: Rig, tmp_path: Path
) -> None:
    script = f"echo said; echo complained >&2; echo kept > $RIG_OUT/kept; echo x > {tmp_path}/x; exit 7"
    done = guest(rig, "sh", "-c", script, out=tmp_path / "out")
    assert (done.returncode, done.stdout) == (7, "said\n")
    assert "complained" in done.stderr
    assert (tmp_path / "out" / "kept").read_text() == "kept\n"
    assert not (tmp_path / "x").exists()


def test_a_command_that_does_not_end_is_ended(rig: Rig) -> None:
    assert guest(rig, "sleep", "1000", timeout_s=1).returncode == 124


def test_a_virtual_clock_jumps_over_what_is_slept_and_stands_still_while_the_guest_computes(
    rig: Rig,
) -> None:
    script = """
import time
start = time.monotonic(); time.sleep(100); slept = time.monotonic() - start
start = time.monotonic(); sum(range(3_000_000)); print(slept, time.monotonic() - start)
"""
    request = Request([sys.executable, "-c", script], GUEST_LIMIT_S, folder=ROOT, is_virtual=True)
    if rig.shim is None:
        pytest.skip("needs a C compiler")
    done = run(request, rig)
    slept, computed = map(float, done.stdout.split())
    assert 100 <= slept < 100.1
    assert computed < 0.01


def test_the_path_has_the_round_trip_time_of_netem_and_this_kernel_lacks_nothing(rig: Rig) -> None:
    script = """
import socket, time
from experiments.kernel_headtohead.here import lacks_here
from experiments.kernel_headtohead.path import Path
from linux_qdisc.lab.namespaces import RECEIVER
with Path() as path:
    path.delay([0.02])
    path.set_theirs("cake", 10_000_000)
    with path.receiver.entered():
        listener = socket.create_server(("", 9000))
    with path.sender.entered():
        first, second = socket.socket(), socket.socket()
    first.connect((RECEIVER, 9000))  # the answer to ARP is delayed, too
    start = time.monotonic()
    second.connect((RECEIVER, 9000))
    print(time.monotonic() - start, lacks_here())
"""
    if rig.shim is None:
        pytest.skip("needs a C compiler")
    words = [sys.executable, "-c", script]
    path = os.pathsep.join((str(Path(qos.__file__).parents[1]), str(ROOT)))
    request = Request(words, GUEST_LIMIT_S, environment={"PYTHONPATH": path}, folder=ROOT, is_virtual=True)
    done = run(request, rig)
    took_s, lacking = done.stdout.split()
    assert 0.02 <= float(took_s) < 0.021, done.stderr
    assert lacking == "None"


def test_every_foreign_root_is_restored_by_a_kernel_that_has_them_all(rig: Rig) -> None:
    module = "tests/linux_qdisc/test_restore_kernel.py"
    done = guest(rig, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", module)
    print(done.stdout, done.stderr)
    assert done.returncode == 0
    assert " 1 skipped" in done.stdout  # choke alone is missing from that kernel


def test_a_row_of_the_head_to_head_is_measured_for_theirs_and_ours(rig: Rig) -> None:
    scenario = Scenario(10, 20, "household")
    batch = [Cell(scenario, queue, 0, warm_up_s=1.0, duration_s=2.5) for queue in ("cake", "lfq:balanced")]
    rows = [json.loads(line) for line in run_batch(batch, rig).splitlines()]
    assert [row["name"] for row in rows] == [cell.name for cell in batch]
    for row in rows:
        assert "failed" not in row, row
        assert row["captures_missed"] == 0
        assert 0 < row["utilisation"] < 1.3
        assert row["packets"] > 0
        assert 0 < row["bulk_p50_s"] <= row["bulk_p99_s"]
        assert row["voice_mean_s"] is not None
