"""A finite buffer in front of adaptive modulation: models of its overflow, and the error rate to aim at."""
