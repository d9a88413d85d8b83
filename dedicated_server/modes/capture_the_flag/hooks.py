"""Capture the flag: two sides of eight, a flag each."""
