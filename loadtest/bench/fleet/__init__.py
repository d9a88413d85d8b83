"""Benchmarks of the fleet: start-up of servers, allocation, and what idle servers cost."""
