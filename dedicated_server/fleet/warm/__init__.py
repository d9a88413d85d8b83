"""Warm."""
