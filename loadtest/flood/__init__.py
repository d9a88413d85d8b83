"""Flood."""
