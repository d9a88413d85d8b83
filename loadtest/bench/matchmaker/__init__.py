"""Matchmaker."""
