"""The clients and stores of the meta service's own tests, for the checker's."""

from __future__ import annotations

from tests.meta_service.conftest import redis, store

__all__ = ["redis", "store"]
