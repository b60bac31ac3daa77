"""Scripts that make documentation from the code."""
