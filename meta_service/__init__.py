"""The reliable lane: accounts, profiles, loadouts, and the players that a match checks out and commits.

The regional cache (Valkey) answers; the global store (PostgreSQL) is written behind it. Outside this package only
``meta_service.client`` and ``meta_service.store.schema`` are used.
"""
