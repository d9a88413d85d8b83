"""Writebehind."""
