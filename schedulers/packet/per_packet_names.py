"""Names, numbers and needs of the limit policies that decide at every packet; without compiled code."""

from __future__ import annotations

from types import MappingProxyType

NUMBERS = MappingProxyType({"share": 1})
"""Number of each policy in a queue's record; 0 means none."""

MEMORY_WIDTHS = MappingProxyType({"share": 2})
"""Float64 numbers that each policy keeps of every sub-queue."""

DEFAULT_PARAMETERS = MappingProxyType({"share": (0.02, 4.0)})
"""What a policy works with where nothing else is given."""

NAMES = tuple(NUMBERS)
