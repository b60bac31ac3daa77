"""BPF classifiers: packet -> class of its flow, as classic BPF and as eBPF with a map of flows."""
