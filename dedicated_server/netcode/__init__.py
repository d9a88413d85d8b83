"""Netcode."""
