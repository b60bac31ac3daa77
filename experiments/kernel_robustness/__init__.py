"""What becomes of the queue when things go wrong or get busy, on a real kernel."""
