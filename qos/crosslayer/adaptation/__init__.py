"""Link adaptation: policies that pick a transmission mode per slot, on one interface."""
