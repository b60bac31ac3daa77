from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from qos.cli.root import main
from qos.crosslayer.adaptation.simulated import SimulationPlan, simulate_trace

THRESHOLDS = 2.0 + 3 * np.arange(5)


def call(*words: str) -> int:
    with pytest.raises(SystemExit) as left:
        main(["adapt", *words])
    return int(left.value.code or 0)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    place = tmp_path_factory.mktemp("adapt")
    plan = SimulationPlan(doppler_hz=(2.0, 50.0), mean_snr_db=(10.0,), users_per_class=1, slots=120)
    trace = simulate_trace(plan, seed=3)
    np.savez(
        place / "trace.npz", **{name: getattr(trace, name) for name in trace.__slots__ if name != "source"}
    )
    grid = np.arange(-5, 25, 0.1)
    rate = 1 / (1 + np.exp(4 * (grid - THRESHOLDS[:, None])))
    rate[0] = np.inf
    np.savez(place / "bler.npz", snr_grid_db=grid, tbler=rate, tb_size=100 * np.arange(1, 6), num_re=100)
    return str(place / "trace.npz"), str(place / "bler.npz")


def test_json_has_every_policy_and_always_the_bounds(
    files: tuple[str, str], capsys: pytest.CaptureFixture[str]
):
    words = ["--trace", files[0], "--bler", files[1], "--policy", "outer-loop"]
    assert call(*words, "--load", ".5", "--deadline", "30", "--load", ".7", "--deadline", "20", "--json") == 0
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert document["schema"] == 1
    assert list(document["policies"]) == ["clairvoyant", "genie", "outer-loop"]
    row = document["policies"]["outer-loop"]
    assert list(row["spectral_efficiency_by_doppler"]) == ["2.0", "50.0"]
    assert list(row["on_time"]) == ["0.5/30", "0.7/20"]
    assert row["told"] == ["reports", "acks", "bler_table"]
    assert document["policies"]["genie"]["spectral_efficiency"] >= row["spectral_efficiency"]
    assert "without a finite error rate dropped: 0" in captured.err


def test_all_policies_write_decisions_that_score_the_same(
    files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """Rescore what --decisions holds by the rules, with nothing of ours."""
    out = tmp_path / "d.npz"
    words = ["--trace", files[0], "--bler", files[1], "--policy", "all", "--policy", "bayesian:particles=64"]
    assert call(*words, "--json", "--decisions", str(out)) == 0
    policies = json.loads(capsys.readouterr().out)["policies"]
    trace, table, decided = np.load(files[0]), np.load(files[1]), np.load(out)
    assert set(decided.files) == set(policies)
    nearest = np.abs(trace["snr_db"][..., None] - table["snr_grid_db"]).argmin(axis=-1)
    for name in decided.files:
        modes = decided[name]
        assert (modes.dtype, modes.shape) == (np.int8, trace["snr_db"].shape)
        rate = np.minimum(table["tbler"][np.maximum(modes, 0), nearest], 1)
        arrived = (modes >= 0) & (trace["ack_uniform"] >= rate)
        carried = np.where(arrived, table["tb_size"][np.maximum(modes, 0)], 0).mean() / table["num_re"]
        assert policies[name]["spectral_efficiency"] == pytest.approx(carried, rel=0.01)
        assert 0 <= policies[name]["bler"] <= 1


def test_table_aligns_and_says_the_units(files: tuple[str, str], capsys: pytest.CaptureFixture[str]):
    assert call("--trace", files[0], "--bler", files[1], "--policy", "fixed") == 0
    lines = capsys.readouterr().out.splitlines()
    assert "on time 0.5/30" in lines[0]
    assert {len(line) for line in lines[2:5]} == {len(lines[2])}
    assert "per resource element" in lines[-1]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ((), 2, "give a TOPOLOGY, --dev DEV, or --trace"),
        (("--trace", "{trace}"), 2, "give --bler"),
        (("--bler", "{bler}"), 2, "--bler: only with --trace"),
        (("--load", ".5"), 2, "--load: only with --trace"),
        (("campus", "--trace", "{trace}", "--bler", "{bler}"), 2, "stands alone"),
        (("--trace", "{trace}", "--bler", "{bler}", "--load", ".5"), 2, "1 --load but 0 --deadline"),
        (("--trace", "{trace}", "--bler", "{bler}", "--load", "0", "--deadline", "3"), 2, "more than 0"),
        (("--trace", "{trace}", "--bler", "{bler}", "--policy", "genius"), 2, "did you mean 'genie'"),
        (("--trace", "{bler}", "--bler", "{bler}"), 1, "no array snr_db"),
        (("--trace", "{trace}", "--bler", "/nowhere.npz"), 1, "/nowhere.npz: No such file"),
        (("--trace", "{trace}", "--bler", "{bler}", "--decisions", "/no/x.npz"), 1, "no such folder"),
        (("--trace", "{trace}", "--bler", "{bler}", "--policy", "fixed:mode=9"), 2, "no mode 9"),
    ],
)
def test_bad_input_is_answered_in_one_line(
    files: tuple[str, str], words: tuple[str, ...], code: int, says: str, capsys: pytest.CaptureFixture[str]
):
    filled = [word.format(trace=files[0], bler=files[1]) for word in words]
    assert call(*filled) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert says in captured.err
    assert captured.err.count("\n") == 1
