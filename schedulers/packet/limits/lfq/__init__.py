"""`lfq`: the learned limit policy over polled counters."""
