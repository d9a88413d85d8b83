"""Agones."""
