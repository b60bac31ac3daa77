"""Mean path loss from the geometry of a link, and the margin for shadowing.

Sources: free space ITU-R P.525; indoor ITU-R P.1238 (distance power loss coefficients of its table 2,
office); urban macro cell 3GPP TR 38.901 table 7.4.1-1 (UMa; distances below the break point).
"""

from __future__ import annotations

import math

from scipy import special

from qos.crosslayer.guards import check_not_negative, check_positive, check_probability
from qos.errors import ValueRefusedError

SPEED_OF_LIGHT_M_PER_S = 299_792_458.0
MIN_DISTANCE_M = 1.0


def _distance(distance_m: float) -> float:
    """Refuse a negative distance; the far field begins at a metre."""
    return max(check_not_negative("distance", distance_m), MIN_DISTANCE_M)


def free_space_loss_db(distance_m: float, frequency_hz: float) -> float:
    """Free-space loss in dB (ITU-R P.525).

    Examples
    --------
    >>> round(free_space_loss_db(1000, 1e9), 2)
    92.45
    """
    wavelength_m = SPEED_OF_LIGHT_M_PER_S / check_positive("frequency", frequency_hz)
    return 20 * math.log10(4 * math.pi * _distance(distance_m) / wavelength_m)


def log_distance_loss_db(
    distance_m: float, frequency_hz: float, exponent: float = 3.0, reference_m: float = 1.0
) -> float:
    """Log-distance loss in dB: free space up to the reference, `exponent` beyond it."""
    check_positive("path loss exponent", exponent)
    beyond = max(_distance(distance_m) / check_positive("reference distance", reference_m), 1.0)
    return free_space_loss_db(min(_distance(distance_m), reference_m), frequency_hz) + 10 * (
        exponent * math.log10(beyond)
    )


def indoor_loss_db(distance_m: float, frequency_hz: float, floors: int = 0) -> float:
    """Indoor loss in dB: ITU-R P.1238, site-general model, office, 1.8 to 6 GHz."""
    if not 0.9e9 <= check_positive("frequency", frequency_hz) <= 6e9:
        raise ValueRefusedError(
            f"the indoor model holds from 0.9 to 6 GHz, not at {frequency_hz / 1e9:g} GHz; use log-distance"
        )
    coefficient = 31.0 if frequency_hz >= 4e9 else 30.0
    floor_loss_db = 15 + 4 * (floors - 1) if floors >= 1 else 0
    megahertz = frequency_hz / 1e6
    return 20 * math.log10(megahertz) + coefficient * math.log10(_distance(distance_m)) + floor_loss_db - 28


def urban_macro_loss_db(
    distance_m: float,
    frequency_hz: float,
    *,
    line_of_sight: bool,
    base_height_m: float = 25.0,
    user_height_m: float = 1.5,
) -> float:
    """Urban macro loss in dB: 3GPP TR 38.901 UMa, three-dimensional distance, below the break point.

    Raises
    ------
    ValueRefusedError
        If the frequency is not from 0.5 to 100 GHz or the distance more than 5 km.
    """
    if not 0.5e9 <= check_positive("frequency", frequency_hz) <= 100e9:
        raise ValueRefusedError(f"UMa holds from 0.5 to 100 GHz, not at {frequency_hz / 1e9:g} GHz")
    if _distance(distance_m) > 5000:
        raise ValueRefusedError(f"UMa holds up to 5 km, not at {distance_m:g} m; use log-distance")
    gigahertz = frequency_hz / 1e9
    range_m = math.hypot(_distance(distance_m), base_height_m - user_height_m)
    sight = 28.0 + 22 * math.log10(range_m) + 20 * math.log10(gigahertz)
    if line_of_sight:
        return sight
    blocked = 13.54 + 39.08 * math.log10(range_m) + 20 * math.log10(gigahertz) - 0.6 * (user_height_m - 1.5)
    return max(sight, blocked)


def shadowing_margin_db(deviation_db: float, coverage: float) -> float:
    """Margin that log-normal shadowing exceeds with probability ``1 - coverage``.

    Parameters
    ----------
    deviation_db
        Standard deviation of the shadowing in dB, at least 0.
    coverage
        Share of places that shall be covered, more than 0 and less than 1.

    Examples
    --------
    >>> round(shadowing_margin_db(8, 0.9), 2)
    10.25
    """
    check_probability("coverage", coverage)
    return float(check_not_negative("shadowing deviation", deviation_db) * special.ndtri(coverage))


def doppler_hz(speed_m_per_s: float, frequency_hz: float) -> float:
    """Maximum Doppler shift of a receiver that moves at a speed."""
    speed = check_not_negative("speed", speed_m_per_s)
    return speed * check_positive("frequency", frequency_hz) / SPEED_OF_LIGHT_M_PER_S
