"""The cache is a replica for a while, as after a fail-over that its address does not follow yet: 503, try
again; then all goes on.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from matchmaker.client import MatchmakerClient, MatchmakerUnavailableError
from tests.matchmaker.conftest import WEST_EUROPE, token_of

MODE = "battle_royale"


@pytest.fixture
async def primary_again(cache: Redis) -> AsyncIterator[None]:
    """Whatever a test does, the cache takes changes after it."""
    try:
        yield
    finally:
        await cache.replicaof("NO", "ONE")
        await cache.config_set("replica-serve-stale-data", "yes")


@pytest.mark.parametrize("stale_data", ["yes", "no"], ids=["READONLY", "MASTERDOWN"])
async def test_a_replica_takes_no_tickets_and_a_primary_does_again(
    cache: Redis, client: MatchmakerClient, primary_again: None, stale_data: str
) -> None:
    player = client.with_token(token_of(1))
    await cache.config_set("replica-serve-stale-data", stale_data)
    await cache.replicaof("127.0.0.1", "1")  # nobody listens there: it keeps what it has
    with pytest.raises(MatchmakerUnavailableError) as refused:
        await player.create_ticket(MODE, WEST_EUROPE, client_key="once")
    assert "503" in str(refused.value)
    assert refused.value.retry_after_s == 1.0
    await cache.replicaof("NO", "ONE")
    made = await player.create_ticket(MODE, WEST_EUROPE, client_key="once")
    assert (await player.read_ticket(made.ticket_id)).state == "searching"
