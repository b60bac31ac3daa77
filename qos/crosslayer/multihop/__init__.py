"""Splitting the loss and delay budget of a path over its hops, and choosing the path."""
