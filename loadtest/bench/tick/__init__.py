"""Tick."""
