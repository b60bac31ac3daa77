"""`lfq-2020`: the LFQ paper's per-packet learned limit (arXiv 2007.02735), to reproduce its tables."""
