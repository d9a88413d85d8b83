"""A service does not start with a cache that evicts, and starts without one that is away."""

from __future__ import annotations

import pytest
import redis

from launchday.engines import Valkey, free_port
from launchday.resilience.start_checks import check_cache


def test_a_cache_that_evicts_ends_the_start_with_the_line_to_type(valkey_server: Valkey) -> None:
    check_cache(valkey_server.address)
    with redis.Redis.from_url(valkey_server.address) as cache:
        cache.config_set("maxmemory-policy", "volatile-ttl")
        try:
            with pytest.raises(SystemExit, match="maxmemory-policy noeviction"):
                check_cache(valkey_server.address)
        finally:
            cache.config_set("maxmemory-policy", "noeviction")


def test_a_cache_that_is_away_refuses_nothing() -> None:
    check_cache(f"redis://127.0.0.1:{free_port()}")
    check_cache("")
