"""Progression: the rules, and what events are worth by them.

Pure functions of events, rules and ratings; no I/O but files.
"""
