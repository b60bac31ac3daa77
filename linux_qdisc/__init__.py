"""What the kernel is told: settings -> tree -> diff -> operations -> kernel, and the control loop."""
