"""Proportional fair: rate over what the user was served lately (Jalali, Padovani & Pankaj, VTC 2000)."""

from __future__ import annotations

from qos.crosslayer.adaptation.arrays import Float
from qos.crosslayer.multiuser.contract import SlotView


def proportional_fair(view: SlotView) -> Float:
    """Return the rate over the served mean."""
    return view.rate_bits / view.served_bits


def proportional_fair_mean(view: SlotView) -> Float:
    """Return the rate over its own mean (the topology's), so that history does not count."""
    return view.rate_bits / view.mean_rate_bits
