"""Max-rate: the user whose slot carries most, whoever waits."""

from __future__ import annotations

from qos.crosslayer.adaptation.arrays import Float
from qos.crosslayer.multiuser.contract import SlotView


def max_rate(view: SlotView) -> Float:
    """Return the rate itself."""
    return view.rate_bits
