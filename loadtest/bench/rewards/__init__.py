"""Benchmarks of the rewards service."""
