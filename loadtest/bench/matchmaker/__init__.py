"""Benchmarks of the matchmaker: one matching cycle, the queue under load, and the queue under faults."""
