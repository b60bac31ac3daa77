"""Secret-key rates: thresholds of the literature, and demands made of them."""

from __future__ import annotations

import pytest

from qos.errors import InfeasibleError, ValueRefusedError
from schedulers.entanglement import secret_key
from schedulers.entanglement.compile import Compiler
from schedulers.entanglement.secret_key import KEY_PROTOCOLS, KeyProtocol
from topologies.files import load


@pytest.mark.parametrize(("protocol", "error"), [("bb84", 0.110), ("e91", 0.071)])
def test_keys_end_at_the_known_error_rates(protocol: KeyProtocol, error: float) -> None:
    """11.0 % (Shor & Preskill 2000) and 7.1 % (Acin et al. 2007)."""
    least = secret_key.least_fidelity(protocol)
    assert secret_key.error_rate(least) == pytest.approx(error, abs=5e-4)
    assert secret_key.key_fraction(protocol, least - 1e-3) == 0.0
    assert secret_key.key_fraction(protocol, 1.0) == pytest.approx(1.0)


@pytest.mark.parametrize("protocol", KEY_PROTOCOLS)
def test_better_pairs_leave_more_key(protocol: KeyProtocol) -> None:
    fractions = [secret_key.key_fraction(protocol, 0.8 + 0.2 * i / 50) for i in range(51)]
    assert fractions == sorted(fractions)


@pytest.mark.parametrize("error", [0.0, 0.05, 0.11, 0.3])
def test_error_rate_and_fidelity_are_inverse(error: float) -> None:
    assert secret_key.error_rate(secret_key.fidelity_for_error_rate(error)) == pytest.approx(error)


@pytest.mark.parametrize("protocol", KEY_PROTOCOLS)
def test_the_demand_yields_the_key_rate(protocol: KeyProtocol) -> None:
    demand = secret_key.key_demand("a", "b", 2.0, protocol, 0.97)
    assert demand.rate_ebit_per_s * secret_key.key_fraction(protocol, 0.97) == pytest.approx(2.0)
    assert demand.min_fidelity == 0.97


@pytest.mark.parametrize("protocol", KEY_PROTOCOLS)
def test_the_easiest_demand_takes_the_smallest_share_of_what_is_possible(protocol: KeyProtocol) -> None:
    compiler = Compiler(load("star"))

    def highest(fidelity: float) -> float:
        return compiler.highest_rate("0", "2", fidelity)

    demand = secret_key.easiest_key_demand("0", "2", 0.05, protocol, highest)
    compiler.compile([demand])
    share = demand.rate_ebit_per_s / highest(demand.min_fidelity)
    for fidelity in (0.86, 0.9, 0.93):
        if highest(fidelity) and secret_key.key_fraction(protocol, fidelity):
            other = secret_key.key_demand("0", "2", 0.05, protocol, fidelity)
            assert share <= other.rate_ebit_per_s / highest(fidelity) + 1e-9
    with pytest.raises(InfeasibleError, match=r"at most .* bit/s with pairs of fidelity"):
        secret_key.easiest_key_demand("0", "2", 100.0, protocol, highest)
    with pytest.raises(InfeasibleError, match="no pair above"):
        secret_key.easiest_key_demand("0", "2", 1.0, protocol, lambda _: 0.0)


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: secret_key.fidelity_for_error_rate(0.4), "QBER 0.4"),
        (lambda: secret_key.fidelity_for_error_rate(-0.1), "QBER -0.1"),
        (lambda: secret_key.key_fraction("b92", 0.9), "'b92' is unknown"),  # type: ignore[arg-type]
        (lambda: secret_key.key_demand("a", "b", 0.0, "bb84", 0.9), "key_bit_per_s 0.0"),
        (
            lambda: secret_key.key_demand("a", "b", 1.0, "bb84", 0.8),
            "leave no bb84 key; it takes more than 0.8350",
        ),
    ],
)
def test_impossible_wishes_are_refused(call: object, complaint: str) -> None:
    assert callable(call)
    with pytest.raises(ValueRefusedError, match=complaint):
        call()
