"""What a planner asks of a radio link: its budget, interference, antennas, rain."""
