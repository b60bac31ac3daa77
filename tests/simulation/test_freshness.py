"""Which sources the compiled core is made of."""

from __future__ import annotations

from qos.simulation.freshness import _sources


def test_what_is_compiled_counts_and_what_it_takes_constants_from() -> None:
    names = {path.as_posix().rpartition("/qos/simulation/")[2] for path in _sources()}
    assert {"core.py", "layout.py", "senders/cubic.py"} <= names


def test_what_only_python_runs_does_not_cost_a_compilation() -> None:
    names = {path.name for path in _sources()}
    assert not names & {"scenario.py", "files.py", "output.py", "result.py", "registry.py"}
