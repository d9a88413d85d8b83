"""The reliable lane: accounts, profiles, loadouts, and the players that a match checks out and commits.

The regional cache (Valkey) answers; the global store (PostgreSQL) is written behind it. Other packages import
``meta_service.client`` alone; launchers and tests also migrate the store with ``meta_service.store.schema``.

``app`` builds the API from ``routes``, which call ``domain``; ``domain`` works on ``cache`` and ``store``;
``messages`` are the bodies that routes and client share; ``writebehind`` is the worker that carries changes
from cache to store. ``errors`` draws the tree of errors.
"""
