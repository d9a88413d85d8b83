"""Progression."""
