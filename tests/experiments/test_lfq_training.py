"""The training command of `lfq-2020`: its checkpoints hold all that a training needs to go on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from experiments import lfq_training

NAME = "online-10"


def _train(monkeypatch: pytest.MonkeyPatch, out: Path, *arguments: str) -> dict[str, np.ndarray]:
    command = [
        "lfq_training",
        "--variant",
        NAME,
        "--jobs",
        "1",
        "--judge",
        "2",
        "--out",
        str(out),
        *arguments,
    ]
    monkeypatch.setattr("sys.argv", command)
    lfq_training.main()
    with np.load(out / f"{NAME}.checkpoint.npz") as stored:
        return dict(stored)


def test_a_training_that_is_resumed_gives_the_weights_of_one_that_was_not_stopped(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    whole = _train(monkeypatch, tmp_path / "whole", "--batches", "4")
    _train(monkeypatch, tmp_path / "parts", "--batches", "2")
    checkpoint = tmp_path / "parts" / f"{NAME}.checkpoint.npz"
    parts = _train(monkeypatch, tmp_path / "parts", "--batches", "4", "--resume", str(checkpoint))
    for name in ("actor", "critic", "average"):
        assert np.array_equal(whole[name], parts[name])
    assert not np.array_equal(whole["average"], whole["actor"])
    with np.load(tmp_path / "parts" / f"{NAME}.npz") as stored:
        assert np.array_equal(stored["weights"], whole["average"].astype(np.float32))


def test_a_checkpoint_from_before_there_were_averages_begins_with_the_actor(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stored = _train(monkeypatch, tmp_path, "--batches", "2")
    del stored["average"]
    old = tmp_path / "old.npz"
    np.savez(old, **stored)  # type: ignore[arg-type]
    resumed = _train(monkeypatch, tmp_path, "--batches", "2", "--resume", str(old))
    assert np.array_equal(resumed["average"], stored["actor"])
