"""The training command of the learned queue: what it keeps in its folder."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from experiments import lfq_policy_training
from experiments.entry import run
from qos.training.evolution import Plan, begin, train
from qos.training.scenarios import Ranges
from schedulers.packet.limits.lfq.network import first_network, pack, side_by_side, unpack
from schedulers.packet.limits.lfq.weights import SHIPPED, load_network, save_network


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["lfq_policy_training", *arguments])
    run(lfq_policy_training.main)


def test_a_folder_with_another_training_is_refused_before_anything_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A round, or the fit, of another size would be taken up as one of this."""
    monkeypatch.setattr(lfq_policy_training, "prepare", lambda: pytest.exit("it would have trained"))
    (tmp_path / "lfq.json").write_text('{"seed": 11, "rounds": []}')
    with pytest.raises(SystemExit) as ended:
        call(monkeypatch, "--size", "quick", "--out", str(tmp_path))
    assert ended.value.code == 2
    assert "holds the results of other settings" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["lfq.json"]


def test_only_polishing_writes_what_was_polished_and_weights_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = lfq_policy_training.Schedule((), 1, 1, 1, 1)
    monkeypatch.setitem(lfq_policy_training.SIZES, "quick", small)
    monkeypatch.setattr(lfq_policy_training, "POLISHED_PACKETS", 500.0)
    monkeypatch.setattr(
        lfq_policy_training, "Plan", lambda generations, **rest: Plan(generations, 2, 1, **rest)
    )
    arguments = ("--size", "quick", "--polish", str(SHIPPED), "--jobs", "1", "--out", str(tmp_path))
    call(monkeypatch, *arguments)
    chosen, polished, between = (
        pack(load_network(tmp_path / f"{name}.npz")) for name in ("chosen", "polished", "lfq")
    )
    assert np.array_equal(chosen, pack(load_network()))
    assert not np.array_equal(polished, chosen)
    part = unpack(np.full_like(chosen, lfq_policy_training.POLISHED_SHARE))
    share = pack(part._replace(start=np.full(3, lfq_policy_training.FIRST_LIMITS_SHARE)))
    assert between == pytest.approx(chosen + share * (polished - chosen), abs=1e-6)


def test_a_polish_goes_on_where_it_was_left_unless_it_was_of_other_weights(tmp_path: Path) -> None:
    chosen, path = pack(load_network()), tmp_path / "polish.npz"
    plan = Plan(1, scenarios=2, pairs=1, jobs=1, ranges=Ranges(most_packets=500.0))
    left = next(iter(train(begin(chosen), plan))).search
    lfq_policy_training._keep(path, chosen, left)
    known = lfq_policy_training._kept(path, chosen)
    assert known.steps == 1
    for name in ("theta", "average", "first", "second"):
        assert np.array_equal(getattr(known, name), getattr(left, name)), name
    assert lfq_policy_training._kept(path, chosen + 1.0).steps == 0


def test_joined_weights_are_written_and_those_that_cannot_be_read_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one, missing, folder = tmp_path / "one.npz", tmp_path / "missing.npz", tmp_path / "out"
    save_network(one, first_network(1))
    with pytest.raises(SystemExit) as ended:
        call(monkeypatch, "--join", str(one), str(missing), "--out", str(folder))
    assert ended.value.code == 1
    assert "missing.npz" in capsys.readouterr().err
    assert not folder.exists()
    call(monkeypatch, "--join", str(one), str(SHIPPED), "--out", str(folder))
    joint = pack(side_by_side([load_network(one), load_network()]))
    assert pack(load_network(folder / "lfq.npz")) == pytest.approx(joint, abs=1e-6)
