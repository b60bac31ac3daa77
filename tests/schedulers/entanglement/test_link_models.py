"""Physical link models: limits that are known, an independent count of click patterns, the table."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from math import exp, sqrt

import numpy as np
import pytest

from qos.errors import ValueRefusedError
from schedulers.entanglement.links import (
    BRIGHT_STATES,
    LinkHardware,
    double_click,
    modelled_points,
    single_click,
    working_points,
)
from topologies.links import LinkCapability, QuantumLink

HARDWARE = LinkHardware()
PERFECT = LinkHardware(
    emission_efficiency=1.0,
    detector_efficiency=1.0,
    dark_count_rate_per_s=0.0,
    visibility=1.0,
    phase_jitter_rad=0.0,
)


def fibre(length_m: float) -> QuantumLink:
    return QuantumLink("a", "b", length_m)


@pytest.mark.parametrize("alpha", [0.01, 0.1, 0.3])
def test_a_weak_single_click_link_has_fidelity_one_minus_alpha(alpha: float) -> None:
    lossy = replace(PERFECT, emission_efficiency=1e-6)
    assert single_click(lossy, fibre(0.0), alpha).fidelity == pytest.approx(1 - alpha, abs=1e-5)
    assert single_click(lossy, fibre(0.0), alpha).success_probability == pytest.approx(2e-6 * alpha, rel=1e-4)


def test_single_click_scales_with_half_the_loss_and_double_click_with_all_of_it() -> None:
    quiet = replace(HARDWARE, dark_count_rate_per_s=0.0)
    near, far = fibre(0.0), fibre(100_000.0)  # 20 dB end to end, 10 dB to the station
    single = [single_click(quiet, link, 0.05).success_probability for link in (near, far)]
    double = [double_click(quiet, link).success_probability for link in (near, far)]
    assert single[0] / single[1] == pytest.approx(10, rel=0.1)
    assert double[0] / double[1] == pytest.approx(100, rel=1e-9)


@pytest.mark.parametrize("alpha", BRIGHT_STATES)
def test_single_click_counts_the_click_patterns_right(alpha: float) -> None:
    """Count photons and dark counts one by one in place of the closed form."""
    hardware = replace(HARDWARE, dark_count_rate_per_s=1e6, detector_efficiency=0.9, emission_efficiency=0.5)
    link = fibre(10_000.0)
    arrive, dark = hardware.detection_probability(link), hardware.dark_probability()
    success = good = 0.0
    for bright_a, bright_b in product((0, 1), repeat=2):
        weight = (alpha if bright_a else 1 - alpha) * (alpha if bright_b else 1 - alpha)
        for seen_a, seen_b in product(range(bright_a + 1), range(bright_b + 1)):
            chance = weight
            for bright, seen in ((bright_a, seen_a), (bright_b, seen_b)):
                chance *= (arrive if seen else 1 - arrive) if bright else 1
            for pattern, likely in patterns(seen_a + seen_b, hardware.visibility):
                for darks in product((0, 1), repeat=2):
                    noise = np.prod([dark if d else 1 - dark for d in darks])
                    clicks = [bool(p or d) for p, d in zip(pattern, darks, strict=True)]
                    if sum(clicks) == 1:
                        success += chance * likely * noise
                        if bright_a + bright_b == 1:
                            coherent = sqrt(hardware.visibility) * exp(-(hardware.phase_jitter_rad**2) / 2)
                            real = seen_a + seen_b == 1
                            good += chance * likely * noise * (1 + (coherent if real else 0)) / 2
    outcome = single_click(hardware, link, alpha)
    assert outcome.success_probability == pytest.approx(success)
    assert outcome.fidelity == pytest.approx(good / success)


def patterns(photons: int, visibility: float) -> list[tuple[tuple[int, int], float]]:
    """Which of two detectors photons reach behind a beam splitter, and how likely."""
    if photons == 0:
        return [((0, 0), 1.0)]
    if photons == 1:
        return [((1, 0), 0.5), ((0, 1), 0.5)]
    bunched = (1 + visibility) / 2
    return [((1, 0), bunched / 2), ((0, 1), bunched / 2), ((1, 1), 1 - bunched)]


def test_fidelity_falls_and_rate_rises_with_the_bright_state() -> None:
    points = modelled_points(HARDWARE, fibre(5_000.0))
    assert len(points) == len(BRIGHT_STATES)
    assert [p.fidelity for p in points] == sorted((p.fidelity for p in points), reverse=True)
    assert [p.rate_per_s for p in points] == sorted(p.rate_per_s for p in points)


def test_dark_counts_spoil_long_links() -> None:
    noisy = replace(HARDWARE, dark_count_rate_per_s=1e4)
    fidelities = [modelled_points(noisy, fibre(length))[0].fidelity for length in (1e3, 50e3, 100e3, 200e3)]
    assert fidelities == sorted(fidelities, reverse=True)
    assert fidelities[-1] < 0.6


def test_a_link_that_knows_its_working_points_needs_no_model() -> None:
    own = (LinkCapability(0.9, 10.0),)
    assert working_points(QuantumLink("a", "b", 5e3, capabilities=own), HARDWARE) == own
    table = working_points(QuantumLink("a", "b", 5e3, table="nv-delft-2019"), HARDWARE)
    assert table[0] == LinkCapability(0.8770831028, 14.158333)
    assert working_points(fibre(5e3)) == ()
    assert len(working_points(fibre(5e3), replace(HARDWARE, scheme="double-click"))) == 1


def test_a_link_longer_than_its_table_takes_the_model_or_is_refused() -> None:
    long = QuantumLink("a", "b", 80e3, table="nv-delft-2019")
    with pytest.raises(ValueRefusedError, match="table 'nv-delft-2019' ends at 50000 m"):
        working_points(long)
    assert working_points(long, HARDWARE) == modelled_points(HARDWARE, long)
    with pytest.raises(ValueRefusedError, match="unknown table"):
        working_points(replace(long, table="other"), HARDWARE)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"scheme": "triple-click"}, "triple-click"),
        ({"emission_efficiency": 0.0}, "emission_efficiency"),
        ({"detector_efficiency": 1.1}, "detector_efficiency"),
        ({"visibility": -0.1}, "visibility"),
        ({"dark_count_rate_per_s": -1.0}, "dark_count_rate_per_s"),
        ({"phase_jitter_rad": float("nan")}, "phase_jitter_rad"),
        ({"detection_window_s": 0.0}, "detection_window_s"),
        ({"attempt_overhead_s": float("inf")}, "attempt_overhead_s"),
        ({"bright_states": ()}, "bright_states"),
        ({"bright_states": (0.0, 0.5)}, "bright_states"),
    ],
)
def test_impossible_hardware_is_refused(change: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueRefusedError, match=complaint):
        replace(HARDWARE, **change)
