"""Multi-user rules: what each ranks first, and what a shared slot loses under each."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qos.crosslayer.adaptation.simulated import SimulationPlan, simulate_trace
from qos.crosslayer.multiuser.contract import SlotView
from qos.crosslayer.multiuser.registry import RULES, rule_by_name
from qos.crosslayer.multiuser.simulate import Traffic, packet_loss
from qos.errors import ValueRefusedError

NOBODY = SlotView(
    rate_bits=np.full((1, 3), 1000.0),
    served_bits=np.full((1, 3), 300.0),
    mean_rate_bits=np.full((1, 3), 800.0),
    head_age_slots=np.full((1, 3), 5),
    head_bits=np.full((1, 3), 500.0),
    queue_bits=np.full((1, 3), 500.0),
    deadline_slots=40,
    tolerated_loss=0.01,
)


@pytest.fixture(scope="module")
def rates() -> np.ndarray:
    """Ten users, 5 to 25 dB, 30 Hz: Shannon's rate of 1000 symbols a slot."""
    plan = SimulationPlan(doppler_hz=(30.0,), users_per_class=2, slots=1500)
    return 1000 * np.log2(1 + 10 ** (simulate_trace(plan, seed=2).snr_db.astype(float) / 10))


@pytest.mark.parametrize("name", [name for name in RULES if name != "edf"])
def test_the_better_channel_goes_first_among_equals(name: str):
    view = replace(NOBODY, rate_bits=np.array([[1000.0, 2000.0, 500.0]]))
    assert RULES[name](view).argmax() == 1


@pytest.mark.parametrize("name", ["edf", "mlwdf", "mlwdf-mean", "mlwdf-sqrt", "exp-pf", "exp-mean"])
def test_the_older_packet_goes_first_among_equals(name: str):
    view = replace(NOBODY, head_age_slots=np.array([[5, 6, 30]]))
    assert RULES[name](view).argmax() == 2


@pytest.mark.parametrize(("name", "wins"), [("pf", 2), ("mlwdf", 2), ("exp-pf", 2), ("max-rate", 0)])
def test_who_was_served_little_goes_first(name: str, wins: int):
    view = replace(NOBODY, served_bits=np.array([[300.0, 300.0, 100.0]]))
    assert RULES[name](view).argmax() == wins


def test_exp_pf_by_hand():
    """Shakkottai & Stolyar: exp((aW - mean)/(1 + sqrt(mean))) r / R."""
    view = replace(NOBODY, head_age_slots=np.array([[10, 20, 30]]))
    urgency = -np.log(0.01) / 40 * np.array([10, 20, 30])
    expected = np.exp((urgency - urgency.mean()) / (1 + np.sqrt(urgency.mean()))) * 1000 / 300
    np.testing.assert_allclose(rule_by_name("exp-pf")(view)[0], expected)


def test_a_packet_that_cannot_make_it_goes_last():
    view = replace(NOBODY, head_age_slots=np.array([[40, 2, 2]]), head_bits=np.array([[9000.0, 500, 500]]))
    assert rule_by_name("mlwdf-sqrt")(view).argmin() == 0


@pytest.mark.parametrize("name", RULES)
def test_runs_side_by_side_do_not_touch_each_other(name: str, rates: np.ndarray):
    """A load's loss depends on the arrivals drawn, so compare a load with itself, twice in one run."""
    view = replace(
        NOBODY,
        head_age_slots=np.array([[1, 9, 4], [30, 2, 2]]),
        **{
            key: np.repeat(getattr(NOBODY, key), 2, axis=0)
            for key in ("rate_bits", "served_bits", "mean_rate_bits", "head_bits", "queue_bits")
        },
    )
    both = RULES[name](view)
    for row in range(2):
        alone = {
            key: getattr(view, key)[row : row + 1]
            for key in (
                "rate_bits",
                "served_bits",
                "mean_rate_bits",
                "head_age_slots",
                "head_bits",
                "queue_bits",
            )
        }
        np.testing.assert_allclose(np.broadcast_to(both, (2, 3))[row], RULES[name](replace(view, **alone))[0])


@given(st.integers(1, 30), st.floats(100, 5000), st.integers(0, 5))
def test_loss_is_a_share_and_nothing_is_lost_without_fading_at_light_load(
    deadline: int, size: float, seed: int
):
    rate = np.full((200, 3), 6000.0)
    traffic = Traffic((0.05, 3.0), packet_bits=size, deadline_slots=deadline)
    loss = packet_loss(rate, RULES["edf"], traffic, seed)
    assert ((loss >= 0) & (loss <= 1)).all()
    if deadline > 20:
        assert loss[0] == 0
        assert loss[1] > 0.3


def test_loss_by_hand():
    """One user, a packet of 100 bits in most slots, 50 bits a slot, two slots of time: half are lost."""
    traffic = Traffic((2.0,), packet_bits=100.0, deadline_slots=2)
    loss = packet_loss(np.full((4000, 1), 50.0), RULES["edf"], traffic, seed=1)
    random = np.random.default_rng(1)
    came = np.array([random.poisson(np.array([[1.0]]))[0, 0] for _ in range(4000)])
    done, queue = 0, []
    for slot, packets in enumerate(came):
        queue += [[slot, 100.0] for _ in range(packets)]
        room = 50.0
        while queue and room > 0:
            used = min(room, queue[0][1])
            queue[0][1] -= used
            room -= used
            if queue[0][1] == 0:
                queue.pop(0)
                done += 1
        queue = [packet for packet in queue if packet[0] > slot - 1]
    waiting = len(queue)
    assert loss[0] == pytest.approx(1 - (done + waiting) / came.sum(), abs=1e-12)


def test_the_square_root_rule_loses_less_than_mlwdf(rates: np.ndarray):
    traffic = Traffic((0.5, 0.7, 0.9))
    ours = packet_loss(rates, rule_by_name("mlwdf-sqrt"), traffic, seed=4)
    theirs = packet_loss(rates, rule_by_name("mlwdf"), traffic, seed=4)
    assert (ours < theirs).all()


def test_same_seed_same_loss(rates: np.ndarray):
    runs = [packet_loss(rates[:200], RULES["pf"], Traffic((0.8,)), seed=3) for _ in range(2)]
    assert runs[0] == runs[1]


@pytest.mark.parametrize(
    "bad",
    [
        {"loads": (0.0,)},
        {"packet_bits": 0.0},
        {"deadline_slots": 0},
        {"tolerated_loss": 1.0},
        {"served_slots": 0.0},
    ],
)
def test_traffic_out_of_range_is_refused(bad: dict[str, object]):
    with pytest.raises(ValueRefusedError):
        Traffic(**({"loads": (0.5,)} | bad))  # type: ignore[arg-type]


def test_an_unknown_rule_is_answered_with_the_nearest():
    with pytest.raises(ValueRefusedError, match="did you mean 'mlwdf'"):
        rule_by_name("mlwd")
