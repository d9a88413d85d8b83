"""The cache is a replica, as after a fail-over that its address does not follow yet: 503, try again."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from tests.meta_service.conftest import Backend


@pytest.mark.parametrize("stale_data", ["yes", "no"], ids=["READONLY", "MASTERDOWN"])
async def test_a_replica_changes_nothing_and_says_when_to_ask_again(
    backend: Backend, redis: Redis, stale_data: str
) -> None:
    body = {"device_id": "0123456789abcdef-one"}
    try:
        await redis.config_set("replica-serve-stale-data", stale_data)
        await redis.replicaof("127.0.0.1", "1")  # nobody listens there: it keeps what it has
        answer = await backend.http.post("/v1/login/device", json=body)
        assert answer.status_code == 503, answer.text
        assert answer.json()["type"] == "urn:launchday:cache-unavailable"
        assert "Retry-After" in answer.headers
    finally:
        await redis.replicaof("NO", "ONE")
        await redis.config_set("replica-serve-stale-data", "yes")
    assert (await backend.login()).player_id > 0
