"""Who goes next, and how much may wait: one algorithm a module, one contract a family."""
