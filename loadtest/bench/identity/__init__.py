"""Benchmarks of the meta service."""
