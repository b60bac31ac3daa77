"""Which demands for entangled pairs a quantum network admits, and when every operation runs.

`allocation.allocate` goes the whole way; `compile`, `cpsat`, `admission`, `verify`, `metrics` are its steps.
"""
