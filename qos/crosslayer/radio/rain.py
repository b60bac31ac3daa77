"""Rain attenuation and the availability of a fixed terrestrial link.

Specific attenuation: Recommendation ITU-R P.838-3, equations (1) to (5), tables 1 to 4. Attenuation exceeded
for a share of the year: Recommendation ITU-R P.530-16, section 2.4.1 (the form since its edition 16).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from qos.crosslayer.guards import check_finite, check_not_negative, check_positive
from qos.errors import ValueRefusedError


@dataclass(frozen=True)
class _Fit:
    """A sum of Gaussians in log frequency, plus a line (equations 2 and 3 of P.838-3)."""

    bells: tuple[tuple[float, float, float], ...]
    slope: float
    offset: float

    def at(self, frequency_ghz: float) -> float:
        """Evaluate at a frequency."""
        x = math.log10(frequency_ghz)
        bells = sum(a * math.exp(-(((x - b) / c) ** 2)) for a, b, c in self.bells)
        return bells + self.slope * x + self.offset


_K_HORIZONTAL = _Fit(
    (
        (-5.33980, -0.10008, 1.13098),
        (-0.35351, 1.26970, 0.45400),
        (-0.23789, 0.86036, 0.15354),
        (-0.94158, 0.64552, 0.16817),
    ),
    -0.18961,
    0.71147,
)
_K_VERTICAL = _Fit(
    (
        (-3.80595, 0.56934, 0.81061),
        (-3.44965, -0.22911, 0.51059),
        (-0.39902, 0.73042, 0.11899),
        (0.50167, 1.07319, 0.27195),
    ),
    -0.16398,
    0.63297,
)
_ALPHA_HORIZONTAL = _Fit(
    (
        (-0.14318, 1.82442, -0.55187),
        (0.29591, 0.77564, 0.19822),
        (0.32177, 0.63773, 0.13164),
        (-5.37610, -0.96230, 1.47828),
        (16.1721, -3.29980, 3.43990),
    ),
    0.67849,
    -1.95537,
)
_ALPHA_VERTICAL = _Fit(
    (
        (-0.07771, 2.33840, -0.76284),
        (0.56727, 0.95545, 0.54039),
        (-0.20238, 1.14520, 0.26809),
        (-48.2991, 0.791669, 0.116226),
        (48.5833, 0.791459, 0.116479),
    ),
    -0.053739,
    0.83433,
)


def rain_coefficients(frequency_hz: float, tilt_deg: float = 45.0) -> tuple[float, float]:
    """Coefficients k and alpha of a horizontal path.

    Parameters
    ----------
    frequency_hz
        From 1 GHz to 1000 GHz.
    tilt_deg
        Polarisation: 0 horizontal, 90 vertical, 45 circular.

    Raises
    ------
    ValueRefusedError
        If the frequency is outside the model.
    """
    frequency_ghz = check_positive("frequency", frequency_hz) / 1e9
    if not 1 <= frequency_ghz <= 1000:
        raise ValueRefusedError(f"the rain model holds from 1 to 1000 GHz, not at {frequency_ghz:g} GHz")
    kh, kv = 10 ** _K_HORIZONTAL.at(frequency_ghz), 10 ** _K_VERTICAL.at(frequency_ghz)
    ah, av = _ALPHA_HORIZONTAL.at(frequency_ghz), _ALPHA_VERTICAL.at(frequency_ghz)
    turn = math.cos(2 * math.radians(check_finite("tilt", tilt_deg)))
    k = (kh + kv + (kh - kv) * turn) / 2
    return k, (kh * ah + kv * av + (kh * ah - kv * av) * turn) / (2 * k)


def specific_attenuation_db_per_km(
    frequency_hz: float, rain_mm_per_h: float, tilt_deg: float = 45.0
) -> float:
    """Attenuation by rain in dB/km: ``k R^alpha``."""
    k, alpha = rain_coefficients(frequency_hz, tilt_deg)
    return float(k * check_not_negative("rain rate", rain_mm_per_h) ** alpha)


def rain_fade_db(
    distance_m: float,
    frequency_hz: float,
    rain_mm_per_h: float,
    unavailable: float = 1e-4,
    tilt_deg: float = 45.0,
) -> float:
    """Attenuation that rain exceeds for a share of an average year.

    Parameters
    ----------
    distance_m
        Length of the path, at least 0, up to 60 km.
    frequency_hz
        From 1 to 100 GHz.
    rain_mm_per_h
        Rain rate that is exceeded for 0.01 % of the year, at least 0.
    unavailable
        Share of the year, from 1e-5 to 1e-2.
    tilt_deg
        Polarisation tilt.

    Raises
    ------
    ValueRefusedError
        If a figure is outside the model.
    """
    length_km = check_not_negative("distance", distance_m) / 1000
    frequency_ghz = check_positive("frequency", frequency_hz) / 1e9
    if length_km > 60 or frequency_ghz > 100:
        raise ValueRefusedError("the rain fade model holds up to 60 km and 100 GHz")
    if not 1e-5 <= unavailable <= 1e-2:
        raise ValueRefusedError(f"the share of the year must be from 1e-5 to 1e-2, not {unavailable!r}")
    specific = specific_attenuation_db_per_km(frequency_hz, rain_mm_per_h, tilt_deg)
    if specific == 0 or length_km == 0:
        return 0.0
    _, alpha = rain_coefficients(frequency_hz, tilt_deg)
    spread = 0.477 * length_km**0.633 * rain_mm_per_h ** (0.073 * alpha) * frequency_ghz**0.123
    spread -= 10.579 * (1 - math.exp(-0.024 * length_km))
    reduction = min(1 / spread, 2.5) if spread > 0 else 2.5
    c0 = 0.12 + (0.4 * math.log10((frequency_ghz / 10) ** 0.8) if frequency_ghz >= 10 else 0.0)
    c1 = 0.07**c0 * 0.12 ** (1 - c0)
    c2 = 0.855 * c0 + 0.546 * (1 - c0)
    c3 = 0.139 * c0 + 0.043 * (1 - c0)
    percent = 100 * unavailable
    return float(specific * length_km * reduction * c1 * percent ** -(c2 + c3 * math.log10(percent)))


def rain_availability(
    margin_db: float, distance_m: float, frequency_hz: float, rain_mm_per_h: float, tilt_deg: float = 45.0
) -> float:
    """Share of the year that a fade margin is enough; the model ends at 0.99 and 0.99999."""
    check_not_negative("margin", margin_db)
    low, high = math.log(1e-5), math.log(1e-2)

    def fade(log_share: float) -> float:
        share = min(max(math.exp(log_share), 1e-5), 1e-2)
        return rain_fade_db(distance_m, frequency_hz, rain_mm_per_h, share, tilt_deg)

    if fade(low) <= margin_db:
        return 1 - 1e-5
    if fade(high) > margin_db:
        return 1 - 1e-2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if fade(middle) <= margin_db else (middle, high)
    return 1 - math.exp(high)
