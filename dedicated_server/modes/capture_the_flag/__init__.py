"""Capture the flag: two sides of eight, a flag each, carried home to score."""
