"""What exists: networks as data. Knows no algorithm."""
