"""Antenna gain: a parabolic dish and the sector pattern of 3GPP TR 38.901 table 7.3-1."""

from __future__ import annotations

import math

from qos.crosslayer.channel.path_loss import SPEED_OF_LIGHT_M_PER_S
from qos.crosslayer.guards import check_finite, check_positive


def dish_gain_dbi(diameter_m: float, frequency_hz: float, efficiency: float = 0.55) -> float:
    """Peak gain of a parabolic dish in dBi: ``efficiency (pi D / wavelength)^2``."""
    wavelength_m = SPEED_OF_LIGHT_M_PER_S / check_positive("frequency", frequency_hz)
    ratio = math.pi * check_positive("diameter", diameter_m) / wavelength_m
    return 10 * math.log10(check_positive("efficiency", efficiency) * ratio**2)


def sector_gain_dbi(
    off_axis_deg: float, peak_dbi: float = 8.0, beamwidth_deg: float = 65.0, floor_db: float = 30.0
) -> float:
    """Gain in a direction of a sector antenna: ``peak - min(12 (angle / beamwidth)^2, floor)``.

    Examples
    --------
    >>> sector_gain_dbi(0), sector_gain_dbi(65), sector_gain_dbi(180)
    (8.0, -4.0, -22.0)
    """
    angle = (check_finite("angle", off_axis_deg) + 180) % 360 - 180
    drop = 12 * (angle / check_positive("beam width", beamwidth_deg)) ** 2
    return float(peak_dbi - min(drop, floor_db))
