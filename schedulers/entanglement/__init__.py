"""Which demands for entangled pairs a quantum network admits, and when every operation runs."""
