"""Profiles and demands."""

from __future__ import annotations

from typing import Any

import pytest

from qos.demands import DemandRefusedError, FlowDemand
from qos.errors import ValueRefusedError
from qos.profiles import ACCESS_CATEGORIES, DSCP_VALUES, PROFILES, find_profile


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_is_consistent_and_makes_a_demand(name: str) -> None:
    profile = PROFILES[name]
    assert profile.name == name
    assert 0 < profile.min_rate_bps < profile.max_rate_bps
    assert profile.dscp in DSCP_VALUES
    assert profile.access_category in ACCESS_CATEGORIES
    assert list(profile.rate_steps_bps) == sorted(profile.rate_steps_bps)
    if profile.rate_steps_bps:
        assert profile.rate_steps_bps[0] == profile.min_rate_bps
        assert profile.rate_steps_bps[-1] == profile.max_rate_bps
    demand = FlowDemand.from_profile(name, "a", "b")
    assert demand.profile == name
    assert demand.delay_bound_s == profile.delay_bound_s


def test_wifi_access_categories_follow_rfc_8325() -> None:
    # RFC 8325 section 4: EF -> VO, AF4x/AF3x/CS4 -> VI, CS1 -> BK; CS6 -> VO (figure 1: UP 7).
    wanted = {"EF": "VO", "AF41": "VI", "AF31": "VI", "CS4": "VI", "CS1": "BK", "CS6": "VO"}
    for profile in PROFILES.values():
        assert wanted.get(profile.dscp, profile.access_category) == profile.access_category


def test_a_codec_picks_the_largest_step_that_fits() -> None:
    codec = find_profile("neural-voice")
    assert [codec.rate_for(rate) for rate in (1_000, 1_500, 11_999, 1e9)] == [None, 1500, 6000, 24_000]
    assert find_profile("XR").name == "cloud-gaming"


def test_a_demand_reads_units_and_lets_figures_replace_the_profile() -> None:
    entry = {"ends": ["a", "b"], "profile": "voice", "rate": "64kbit", "delay": "20ms"}
    demand = FlowDemand.from_mapping(entry)
    assert (demand.rate_bps, demand.delay_bound_s, demand.loss) == (64_000, 0.02, 0.01)
    assert demand.min_rate_bps == 24_000


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"ends": ["a", "a"], "rate": "1mbit"}, "another node"),
        ({"ends": ["a"], "rate": "1mbit"}, "two nodes"),
        ({"source": "a", "rate": "1mbit"}, "destination is missing"),
        ({"ends": ["a", "b"]}, "rate is missing"),
        ({"ends": ["a", "b"], "rate": "1mbit", "colour": 1}, "unknown key 'colour'"),
        ({"ends": ["a", "b"], "profile": "voice", "colour": 1}, "unknown key 'colour'"),
        ({"ends": ["a", "b"], "profile": "vioce"}, "profile 'vioce' is unknown"),
        ({"ends": ["a", "b"], "rate_bps": float("nan")}, "rate_bps must be a finite number"),
        ({"ends": ["a", "b"], "rate_bps": -1}, "more than 0"),
        ({"ends": ["a", "b"], "rate": "1mbit", "loss": 1.0}, "less than 1"),
        ({"ends": ["a", "b"], "rate": "1mbit", "delay": "0"}, "delay_bound_s"),
        ({"ends": ["a", "b"], "rate": "1mbit", "priority": 8}, "priority"),
        ({"ends": ["a", "b"], "rate": "1mbit", "dscp": "AF99"}, "dscp"),
        ({"ends": ["a", "b"], "rate": "1mbit", "packet_bytes": 0}, "packet_bytes"),
        ({"ends": ["a", "b"], "rate": "1mbit", "min_rate": "2mbit"}, "at most rate_bps"),
        ({"ends": ["a", "b"], "rate": "1mbit", "access_category": "XX"}, "access_category"),
    ],
)
def test_a_bad_flow_demand_is_refused_with_its_place(entry: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueRefusedError, match=words) as caught:
        FlowDemand.from_mapping(entry, "demands[3]")
    assert str(caught.value).startswith("demands[3]")


def test_every_problem_of_a_demand_is_told_with_its_key() -> None:
    entry = {"ends": ["a", "b"], "rate": "fast", "delay": "5", "loss": 2, "colour": 1, "priority": 9}
    with pytest.raises(DemandRefusedError) as caught:
        FlowDemand.from_mapping(entry, "demands[3]")
    keys = [problem.partition(":")[0] for problem in caught.value.problems]
    assert sorted(keys) == [f"demands[3].{key}" for key in ("colour", "delay", "loss", "priority", "rate")]


def test_all_code_points_of_the_standards_have_their_names() -> None:
    assert (DSCP_VALUES["AF21"], DSCP_VALUES["AF43"], DSCP_VALUES["CS5"], DSCP_VALUES["VA"]) == (
        18,
        38,
        40,
        44,
    )
    assert FlowDemand("a", "b", 1e6, dscp="AF23").dscp == "AF23"
