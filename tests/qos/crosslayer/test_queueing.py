"""Buffers in front of adaptive modulation: chains, the replay, and the simulation that judges them."""

from __future__ import annotations

import pytest

from qos.crosslayer.channel.fading import NakagamiFading
from qos.crosslayer.queueing.buffered_link import BufferedLink
from qos.crosslayer.queueing.clarke_replay import replay_queue, service_trace, simulate_queue
from qos.crosslayer.queueing.joint_chain import solve_chain
from qos.crosslayer.queueing.target import best_target, predict
from qos.errors import ValueRefusedError

BASE = BufferedLink(NakagamiFading(15), 0.01)


def test_the_published_model_in_the_base_case() -> None:
    # Computed with an independent program.
    found = solve_chain(BASE, 0.01, "level-crossing")
    assert found.overflow == pytest.approx(0.02307, abs=2e-5)
    assert found.error_rate == pytest.approx(0.00098, abs=1e-5)
    assert found.loss == pytest.approx(0.02402, abs=2e-5)
    assert found.spectral_efficiency == pytest.approx(0.9769, abs=1e-4)
    assert found.mean_backlog == pytest.approx(6.63, abs=0.01)


# Best target, loss there, and loss at 1e-2, 1e-3, 1e-6, of the published model.
CHANGES = [
    ({}, 0.0298, 0.02243, (0.02402, 0.03183, 0.06071)),
    ({"buffer_packets": 15}, 0.0476, 0.04451, (0.04871, 0.06068, 0.09901)),
    ({"buffer_packets": 100}, 0.0148, 0.00938, (0.00957, 0.01349, 0.03261)),
    ({"arrivals": 1.0}, 0.0058, 0.00349, (0.00359, 0.00428, 0.01104)),
    ({"arrivals": 3.0}, 0.0602, 0.05135, (0.05990, 0.07862, 0.13977)),
    ({"fading": NakagamiFading(10)}, 0.0961, 0.09251, (0.11436, 0.14798, 0.25060)),
    ({"fading": NakagamiFading(20)}, 0.0073, 0.00397, (0.00399, 0.00485, 0.01061)),
    ({"fading": NakagamiFading(15, 2)}, 0.0046, 0.00166, (0.00191, 0.00200, 0.00726)),
    ({"doppler_slot": 0.02}, 0.0187, 0.01002, (0.01027, 0.01448, 0.03448)),
]


@pytest.mark.parametrize(("change", "target", "least", "losses"), CHANGES)
def test_the_table_of_the_published_model(
    change: dict[str, object], target: float, least: float, losses: tuple[float, ...]
) -> None:
    given: dict[str, object] = {"fading": NakagamiFading(15), "doppler_slot": 0.01} | change
    link = BufferedLink(**given)  # type: ignore[arg-type]
    got = [solve_chain(link, rate, "level-crossing").loss for rate in (1e-2, 1e-3, 1e-6)]
    assert got == pytest.approx(losses, abs=3e-5)
    best = best_target(link, "level-crossing")
    assert best.figures.loss == pytest.approx(least, abs=3e-5)
    # The table's targets stand on a grid of a tenth of a decade; the loss is flat around its least value.
    assert best.error_rate == pytest.approx(target, rel=0.26)


def test_the_published_model_is_refused_outside_its_range_and_the_exact_one_is_not() -> None:
    fast = BufferedLink(NakagamiFading(15), 0.05)
    with pytest.raises(ValueRefusedError, match="stops being a Markov chain"):
        solve_chain(fast, 0.01, "level-crossing")
    assert 0 < solve_chain(fast, 0.01, "first-order").overflow < 1


@pytest.mark.parametrize(
    ("snr_db", "doppler", "target"), [(10, 0.01, 0.1), (5, 0.05, 0.1), (15, 0.005, 0.03)]
)
def test_the_replay_is_within_a_quarter_of_the_simulation_and_the_chain_is_safe(
    snr_db: float, doppler: float, target: float
) -> None:
    link = BufferedLink(NakagamiFading(snr_db), doppler)
    judged = simulate_queue(link, target, slots=10_000, users=150, seed=5)
    found = predict(link, target)
    assert found.overflow == pytest.approx(judged.overflow, rel=0.25)
    assert found.spectral_efficiency == pytest.approx(judged.spectral_efficiency, rel=0.02)
    assert solve_chain(link, target).overflow > judged.overflow


def test_a_larger_buffer_loses_less_and_waits_longer() -> None:
    small, large = (
        solve_chain(BufferedLink(NakagamiFading(15), 0.02, buffer_packets=k), 0.01) for k in (10, 60)
    )
    assert large.overflow < small.overflow
    assert large.mean_backlog > small.mean_backlog


def test_the_same_seed_gives_the_same_figures() -> None:
    link = BufferedLink(NakagamiFading(10), 0.05)
    first, second = (replay_queue(link, 0.1, slots=1000, users=20) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: predict(BufferedLink(NakagamiFading(15), 0.3), 0.01), "use the first-order chain"),
        (lambda: predict(BufferedLink(NakagamiFading(35), 0.1), 1e-4), "too rare"),
        (lambda: predict(BASE, 0.01, "magic"), "unknown"),
        (lambda: solve_chain(BASE, 0.01, "magic"), "unknown"),
        (lambda: BufferedLink(NakagamiFading(15), 0.01, buffer_packets=0), "buffer"),
        (lambda: BufferedLink(NakagamiFading(15), 0.01, arrivals=float("nan")), "arrivals"),
        (lambda: service_trace(BASE, 0.01, 100, 5, 1), "Doppler periods"),
    ],
)
def test_bad_input_is_refused(call: object, words: str) -> None:
    assert callable(call)
    with pytest.raises(ValueRefusedError, match=words):
        call()
