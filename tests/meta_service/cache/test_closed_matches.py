"""A match that was given up: later check-outs are refused, later results are stale, its players are free."""

from __future__ import annotations

from uuid import UUID

import asyncpg
import pytest
from redis.asyncio import Redis

from launchday.settings import Settings
from meta_service.cache.keys import ONE
from meta_service.client import MetaRefusedError, MetaUnavailableError
from meta_service.messages.leases import LONGEST_LEASE_S
from tests.meta_service.cache.test_leases import REGION, balanced
from tests.meta_service.conftest import Backend, Clock, drain, new_match, result, running
from tests.meta_service.domain.test_accounts import NOBODY


async def check_out_refused(backend: Backend, match: UUID, ids: list[int], server: str = "server-1") -> None:
    with pytest.raises(MetaRefusedError) as refused:
        await backend.client.check_out(match, server, REGION, 60, ids)
    assert (refused.value.status, refused.value.kind) == (409, "match-closed")


async def test_a_server_that_comes_after_its_match_was_closed_gets_nobody(backend: Backend) -> None:
    ids = [login.player_id for login in await backend.logins(3)]
    match = new_match()
    assert await backend.client.close_match(match, ids)
    assert await backend.client.close_match(match, ids)  # the answer was lost
    await check_out_refused(backend, match, ids)
    await check_out_refused(backend, match, ids, "server-2")
    other = await backend.client.check_out(new_match(), "server-3", REGION, 60, ids)
    assert len(other.checked_out) == 3
    counters = await backend.client.counters()
    assert (counters.checkouts, counters.closed, counters.open) == (3, 0, 3)


async def test_a_match_that_has_come_goes_on(backend: Backend) -> None:
    player_id = (await backend.login()).player_id
    match = new_match()
    [player] = (await backend.client.check_out(match, "server-1", REGION, 60, [player_id])).checked_out
    assert not await backend.client.close_match(match, [player_id])
    assert (await backend.client.commit(match, [result(player_id, player.fence)])).committed == [player_id]


async def test_a_match_that_is_closed_by_force_frees_everybody_and_takes_no_result(
    backend: Backend, store: asyncpg.Connection
) -> None:
    done, early, late = [login.player_id for login in await backend.logins(3)]
    match = new_match()
    checkout = await backend.client.check_out(match, "server-1", REGION, 60, [done, early])
    came_later = await backend.client.check_out(match, "server-1", REGION, 60, [late])
    fences = {each.player_id: each.fence for each in checkout.checked_out + came_later.checked_out}
    await backend.client.commit(match, [result(done, fences[done])])
    assert await backend.client.close_match(match, [done, early], force=True)  # nobody told of the third
    counters = await backend.client.counters()
    assert (counters.commits, counters.expired, counters.closed, counters.open) == (1, 2, 2, 0)
    assert balanced(counters)
    commit = await backend.client.commit(match, [result(id_, fences[id_]) for id_ in (done, early, late)])
    assert (commit.committed, [each.reason for each in commit.refused]) == ([done], ["stale-fence"] * 2)
    await check_out_refused(backend, match, [early])
    again = await backend.client.check_out(new_match(), "server-2", REGION, 60, [done, early, late])
    assert not again.refused
    assert all(each.fence > fences[each.player_id] for each in again.checked_out)
    await drain(backend)
    rows = await store.fetch("SELECT outcome FROM match_history WHERE match_id = $1 ORDER BY fence, 1", match)
    assert sorted(row["outcome"] for row in rows) == ["closed", "closed", "committed"]


async def test_the_store_knows_a_closed_match_when_the_cache_was_lost(backend: Backend, redis: Redis) -> None:
    player_id = (await backend.login()).player_id
    match = new_match()
    [player] = (await backend.client.check_out(match, "server-1", REGION, 60, [player_id])).checked_out
    assert await backend.client.close_match(match, [player_id], force=True)
    await drain(backend)
    await redis.flushall()
    commit = await backend.client.commit(match, [result(player_id, player.fence)])
    assert [each.reason for each in commit.refused] == ["stale-fence"]
    await check_out_refused(backend, match, [player_id])


async def test_a_match_has_come_also_when_the_cache_has_lost_it(backend: Backend, redis: Redis) -> None:
    player_id = (await backend.login()).player_id
    match = new_match()
    await backend.client.check_out(match, "server-1", REGION, 60, [player_id])
    await drain(backend)
    await redis.flushall()
    assert not await backend.client.close_match(match, [player_id])


async def test_a_close_that_only_the_store_could_judge_is_put_off(
    backend: Backend, redis: Redis, settings: Settings, clock: Clock
) -> None:
    player_id = (await backend.login()).player_id
    match = new_match()
    await backend.client.check_out(match, "server-1", REGION, 60, [player_id])
    await drain(backend)
    await redis.delete(backend.keys.player(player_id))
    async with running(settings.model_copy(update={"store_url": NOBODY}), clock) as without_store:
        newcomer = (await without_store.login()).player_id
        assert await without_store.client.close_match(new_match(), [newcomer], force=True)
        with pytest.raises(MetaUnavailableError):
            await without_store.client.close_match(match, [player_id], force=True)
    assert await backend.client.close_match(match, [player_id], force=True)
    assert (await backend.client.counters()).open == 0


async def test_nothing_of_a_closed_match_stays_for_ever(backend: Backend, redis: Redis) -> None:
    player_id = (await backend.login()).player_id
    before = set(await redis.keys())
    closed, come = new_match(), new_match()
    await backend.client.close_match(closed, [player_id])
    await backend.client.check_out(come, "server-1", REGION, 60, [player_id])
    made = (
        set(await redis.keys())
        - before
        - {ONE.home.leases, ONE.home.stream, ONE.home.counters, ONE.home.unsettled}
    )
    assert made == {backend.keys.match(closed), backend.keys.match(come)}
    assert 0 < await redis.ttl(backend.keys.match(come)) <= 60
    assert 60 < await redis.ttl(backend.keys.match(closed)) <= LONGEST_LEASE_S
    players = backend.app.state.context.players
    for day in range(3):  # each close drops the marks whose time is over
        now = backend.clock.now() + day * (LONGEST_LEASE_S + 1)
        await players.close_match(new_match(), [player_id], now, force=False)
    assert str(await redis.hget(backend.keys.player(player_id), "closed")).count(":") == 1
