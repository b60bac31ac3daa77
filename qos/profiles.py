"""Application profiles: the QoS figures of a class of application, under a name that a demand can use.

Sources of the figures. ``[Y.1541]`` ITU-T Y.1541 class 0/1 (jitter 50 ms), ``[G.114]`` one-way delay of
speech, ``[23.501]`` 3GPP TS 23.501 table 5.7.4-1 (packet delay budget and error rate of the 5QI),
``[4594]`` RFC 4594 figure 3 (DSCP of a service class), ``[8622]`` RFC 8622 (LE), ``[8325]`` RFC 8325
section 4 (DSCP to Wi-Fi user priority and access category). A figure marked ``[ours]`` is an
engineering choice of this project. The 5QI figures were compared with the copy of that table in 3GPP
TR 26.925 and with two published copies of TS 23.501 (all rows used here agree).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from qos.errors import ValueRefusedError

DSCP_VALUES: Mapping[str, int] = MappingProxyType(
    {"DF": 0, "LE": 1}
    | {f"CS{number}": 8 * number for number in range(8)}
    | {f"AF{group}{drop}": 8 * group + 2 * drop for group in range(1, 5) for drop in range(1, 4)}
    | {"VA": 44, "EF": 46}
)
"""Code points by name: CS (RFC 2474), AF (RFC 2597), VA (RFC 5865), EF (RFC 3246), LE (RFC 8622)."""

ACCESS_CATEGORIES = ("BK", "BE", "VI", "VO")
"""Wi-Fi access categories (IEEE 802.11 EDCA), lowest priority first."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What one class of application asks of the network.

    Attributes
    ----------
    name
        The name that a demand uses.
    min_rate_bps, max_rate_bps
        Least useful rate and the rate above which nothing is gained, bit/s.
    delay_bound_s
        One-way delay bound in seconds, or None where there is none.
    loss
        Packet loss probability that is borne, more than 0, less than 1.
    jitter_s
        Bound of the delay variation in seconds, or None.
    violation_probability
        Share of packets that may miss the delay bound, more than 0, less than 1.
    priority
        0 (served first) to 7.
    dscp
        Name of the code point, a key of `DSCP_VALUES`.
    access_category
        Wi-Fi access category, one of `ACCESS_CATEGORIES`.
    five_qi
        5G QoS identifier, or None where none fits.
    packet_bytes
        Typical packet at the network layer in bytes.
    rate_steps_bps
        Rates that the application can switch among, ascending; empty: any rate between the two.
    source
        Where the figures come from.
    """

    name: str
    min_rate_bps: int
    max_rate_bps: int
    delay_bound_s: float | None
    loss: float
    jitter_s: float | None
    violation_probability: float
    priority: int
    dscp: str
    access_category: str
    five_qi: int | None
    packet_bytes: int
    rate_steps_bps: tuple[int, ...]
    source: str

    @property
    def dscp_value(self) -> int:
        """The six-bit code point."""
        return DSCP_VALUES[self.dscp]

    def rate_for(self, capacity_bps: float) -> int | None:
        """Choose the largest rate of the application that fits a capacity; None where none does.

        Examples
        --------
        >>> PROFILES["neural-voice"].rate_for(7_000), PROFILES["neural-voice"].rate_for(1_000)
        (6000, None)
        """
        if capacity_bps < self.min_rate_bps:
            return None
        if not self.rate_steps_bps:
            return int(min(capacity_bps, self.max_rate_bps))
        return max(step for step in self.rate_steps_bps if step <= capacity_bps)


_KBIT, _MBIT, _GBIT = 10**3, 10**6, 10**9

_ALL = (
    Profile("voice", 24 * _KBIT, 100 * _KBIT, 0.1, 1e-2, 0.05, 1e-2, 1, "EF", "VO", 1, 200,
            (24_000, 32_000, 64_000, 100_000),
            "delay and loss [23.501] 5QI 1; jitter [Y.1541]; EF [4594]; VO [8325]; rates RFC 6716"),
    Profile("conversational-video", 300 * _KBIT, 6 * _MBIT, 0.15, 1e-3, 0.05, 1e-2, 2, "AF41", "VI", 2, 1200,
            (300_000, 600_000, 1_200_000, 2_500_000, 4_000_000, 6_000_000),
            "delay and loss [23.501] 5QI 2; AF41 [4594]; VI [8325]; layers [ours]"),
    Profile("gaming", 100 * _KBIT, 1 * _MBIT, 0.05, 1e-3, 0.02, 1e-2, 2, "CS4", "VI", 3, 200, (),
            "delay and loss [23.501] 5QI 3; CS4 [4594]; VI [8325]; jitter [ours]"),
    Profile("cloud-gaming", 10 * _MBIT, 50 * _MBIT, 0.01, 1e-6, 0.005, 1e-3, 2, "CS4", "VI", 80, 1200, (),
            "delay and loss [23.501] 5QI 80; CS4 [4594]; VI [8325]; jitter, violations [ours]"),
    Profile("streaming-video", 2 * _MBIT, 25 * _MBIT, 0.3, 1e-6, None, 1e-2, 4, "AF31", "VI", 6, 1400,
            (2_000_000, 4_000_000, 8_000_000, 16_000_000, 25_000_000),
            "delay and loss [23.501] 5QI 6; AF31 [4594]; VI [8325]; ladder [ours]"),
    Profile("bulk", 64 * _KBIT, 100 * _GBIT, None, 1e-6, None, 0.5, 7, "LE", "BK", 9, 1500, (),
            "loss [23.501] 5QI 9; LE [8622]; BK [8325]"),
    Profile("quantum-control", 10 * _KBIT, 1 * _MBIT, 0.001, 1e-6, 0.0005, 1e-3, 0, "CS6", "VO", None, 128,
            (), "CS6 [4594]; delay: less than the schedule's guard time, 1 ms unless the demand says [ours]"),
    Profile("neural-voice", 1500, 24_000, 0.1, 1e-2, 0.05, 1e-2, 1, "EF", "VO", 1, 80,
            (1500, 3000, 6000, 12_000, 24_000), "as voice; steps of a neural codec"),
    Profile("live-music", 128 * _KBIT, 1536 * _KBIT, 0.008, 1e-3, 0.002, 1e-3, 0, "EF", "VO", None, 300, (),
            "delay + jitter inside 10 ms, what a musician's budget leaves after the processing [ours]"),
    Profile("speech-translation", 24 * _KBIT, 64 * _KBIT, 0.1, 1e-2, 0.05, 1e-2, 2, "AF41", "VI", None, 200,
            (), "delay: 5 % of a lag of 2 s [ours]"),
    Profile("llm-chat", 16 * _KBIT, 1 * _MBIT, 0.05, 1e-3, 0.02, 1e-2, 3, "AF31", "VI", None, 256,
            (), "share of the time to first token 50 ms; jitter half of 40 ms a token [ours]"),
    Profile("code-completion", 64 * _KBIT, 2 * _MBIT, 0.025, 1e-3, 0.02, 1e-2, 3, "AF31", "VI", None, 1200,
            (), "both ways within 50 ms [ours]"),
    Profile("search-ranking", 64 * _KBIT, 10 * _MBIT, 0.01, 1e-3, None, 1e-2, 3, "AF31", "VI", None, 1200,
            (), "the 99th percentile counts [ours]"),
    Profile("kv-transfer", 1 * _GBIT, 100 * _GBIT, 0.05, 1e-6, None, 1e-2, 5, "AF33", "BE", None, 1500, (),
            "bulk with a deadline: share of the time to first token; admitted by rate [ours]"),
    Profile("model-sync", 1 * _GBIT, 400 * _GBIT, None, 1e-6, None, 0.5, 6, "CS1", "BK", None, 1500, (),
            "bulk, the slowest flow counts [ours]; CS1 [4594]; BK [8325]"),
)  # fmt: skip

PROFILES: Mapping[str, Profile] = MappingProxyType({profile.name: profile for profile in _ALL})
"""Every profile by name."""

_ALIASES = {"xr": "cloud-gaming"}


def find_profile(name: str) -> Profile:
    """Give the profile of a name (`xr` is `cloud-gaming`).

    Raises
    ------
    ValueRefusedError
        If there is no such profile.
    """
    key = name.strip().lower()
    profile = PROFILES.get(_ALIASES.get(key, key))
    if profile is None:
        raise ValueRefusedError(f"profile {name[:64]!r} is unknown; use one of {', '.join(PROFILES)}")
    return profile
