"""The matchmaker on a cluster: tickets are made, matched and told, and go on to be when a primary is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from redis.asyncio import Redis
from redis.crc import key_slot

from launchday.resilience.cache_client import is_cluster
from launchday.settings import Settings
from loadtest.bench.engines.valkey_nodes import Cluster
from loadtest.bench.engines.valkey_nodes import running as running_nodes
from matchmaker.client import MatchmakerClient, MatchmakerUnavailableError, NoSuchTicketError, TicketView
from matchmaker.queue.scripts import KEYS, TAG
from tests.matchmaker.conftest import WEST_EUROPE, MakeDirector, running, token_of

MODE = "battle_royale"
SLOT = key_slot(TAG.encode())


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_nodes(Cluster(tmp_path_factory.mktemp("cluster"))) as nodes:
        yield nodes


@pytest.fixture
def cache_url(cluster: Cluster) -> str:
    return cluster.address


async def end_of(client: MatchmakerClient, player: int) -> TicketView:
    """What a player of an ordinary client comes to: whatever is not answered is asked again."""
    own = client.with_token(token_of(player))
    while True:
        try:
            made = await own.create_ticket(MODE, WEST_EUROPE, client_key=f"player-{player}")
            return await own.wait_for_end(made.ticket_id, 20.0)
        except (MatchmakerUnavailableError, NoSuchTicketError):
            await asyncio.sleep(0.1)


async def test_tickets_are_matched_though_scripts_are_lost_and_the_queues_primary_is_killed(
    cluster: Cluster,
    cache: Redis,
    client: MatchmakerClient,
    make_director: MakeDirector,
    mm_settings: Settings,
) -> None:
    assert is_cluster(cache)
    director = make_director(mm_settings.model_copy(update={"match_fill_s": 0.0}))
    async with running(director):
        before = await asyncio.gather(*(end_of(client, player) for player in range(1, 5)))
        await cache.script_flush()
        flushed = await asyncio.gather(*(end_of(client, player) for player in range(5, 7)))
        await asyncio.to_thread(cluster.primary_of(SLOT).kill)
        after = await asyncio.gather(*(end_of(client, player) for player in range(7, 11)))
    ends = [*before, *flushed, *after]
    assert [each.state for each in ends] == ["assigned"] * 10
    seats = {(each.assignment.match_id, each.assignment.entity) for each in ends if each.assignment}
    assert len(seats) == 10
    assert int(await cache.hget(KEYS["counters"], "matched") or 0) == 10
    assert (await client.counters())["matched"] == 10
