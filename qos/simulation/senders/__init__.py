"""Congestion control: one algorithm a module."""
