"""Scenarios: the models of the YAML file, its reader, the data that it refers to, and the players drawn from
it.

``reader`` is the entrance; ``docs`` makes docs/scenarios.md from the models.
"""
