"""Training of the learned queue in the simulator; nothing here is needed to run it."""
