"""Packet schedulers and the per-flow limit policies that drive them."""
