from __future__ import annotations

import asyncio

import asyncpg
import pytest
from redis.asyncio import Redis

from launchday.settings import Settings
from meta_service.cache.keys import ONE
from meta_service.client import Held, MetaCounters, MetaUnavailableError
from tests.meta_service.conftest import Backend, Clock, drain, new_match, result, running
from tests.meta_service.domain.test_accounts import NOBODY

REGION = "west-europe"
HOME = ONE.home
SHARED_KEYS = {HOME.counters, HOME.leases, HOME.stream, HOME.unsettled, HOME.epoch}


def balanced(counters: MetaCounters) -> bool:
    return counters.checkouts == counters.commits + counters.expired + counters.open


async def test_a_whole_match_is_checked_out_and_committed(backend: Backend) -> None:
    ids = [login.player_id for login in await backend.logins(20)]
    match = new_match()
    checkout = await backend.client.check_out(match, "server-1", REGION, 60, ids)
    assert [player.player_id for player in checkout.checked_out] == ids
    assert not checkout.refused
    assert {(player.skin, player.level) for player in checkout.checked_out} == {("recruit", 1)}

    rows = [result(player.player_id, player.fence) for player in checkout.checked_out]
    commit = await backend.client.commit(match, rows)
    assert (commit.committed, commit.refused) == (ids, [])
    counters = await backend.client.counters()
    assert (counters.checkouts, counters.commits, counters.expired, counters.open) == (20, 20, 0, 0)


async def test_a_match_is_asked_player_by_player_and_each_script_touches_one_of_them(
    backend: Backend, redis: Redis
) -> None:
    ids = [login.player_id for login in await backend.logins(10)]

    async def play() -> None:
        match = new_match()
        checkout = await backend.client.check_out(match, "server-2", REGION, 60, ids)
        rows = [result(each.player_id, each.fence) for each in checkout.checked_out]
        await backend.client.commit(match, rows)
        await backend.client.close_match(match, ids, force=True)

    await play()  # the scripts are loaded now
    touched: list[set[str]] = []
    async with redis.monitor() as monitor:
        await play()
        await redis.ping()
        while (command := (await monitor.next_command())["command"]) != "PING":
            words = command.split(" ")
            if words[0].upper() == "EVALSHA":
                touched.append(set(words[3 : 3 + int(words[2])]) - SHARED_KEYS)
    touched = [own for own in touched if own]  # the others read counters, or ask which node it is
    assert {len(own) for own in touched} == {1}
    assert len(touched) == 2 + 3 * len(ids)


async def test_of_two_servers_that_want_one_player_one_wins_and_the_other_is_told_who(
    backend: Backend,
) -> None:
    for _ in range(20):
        player_id = (await backend.login()).player_id
        answers = await asyncio.gather(
            *(
                backend.client.check_out(new_match(), server, REGION, 60, [player_id])
                for server in ("server-1", "server-2")
            )
        )
        won = [answer for answer in answers if answer.checked_out]
        lost = [answer for answer in answers if answer.refused]
        assert (len(won), len(lost)) == (1, 1)
        winner = "server-1" if won[0] is answers[0] else "server-2"
        assert (lost[0].refused[0].reason, lost[0].refused[0].held_by) == ("checked-out", winner)


async def test_many_servers_that_want_the_same_players_share_them_out_without_overlap(
    backend: Backend,
) -> None:
    ids = [login.player_id for login in await backend.logins(12)]
    answers = await asyncio.gather(
        *(backend.client.check_out(new_match(), f"server-{n}", REGION, 60, ids[n % 4 :]) for n in range(16))
    )
    owned = [player.player_id for answer in answers for player in answer.checked_out]
    assert sorted(owned) == sorted(ids)
    assert balanced(await backend.client.counters())


async def test_a_server_that_lost_the_answer_asks_again_and_gets_the_same_fence(backend: Backend) -> None:
    player_id = (await backend.login()).player_id
    match = new_match()
    first = await backend.client.check_out(match, "server-1", REGION, 60, [player_id])
    backend.clock.advance(5)
    assert await backend.client.check_out(match, "server-1", REGION, 60, [player_id]) == first
    assert (await backend.client.counters()).checkouts == 1


async def test_a_commit_repeated_changes_nothing_and_says_the_same(backend: Backend) -> None:
    player_id = (await backend.login()).player_id
    match = new_match()
    [player] = (await backend.client.check_out(match, "server-1", REGION, 60, [player_id])).checked_out
    first = await backend.client.commit(match, [result(player_id, player.fence)])
    assert await backend.client.commit(match, [result(player_id, player.fence)]) == first
    # Also when the player is in the next match by then.
    await backend.client.check_out(new_match(), "server-2", REGION, 60, [player_id])
    assert await backend.client.commit(match, [result(player_id, player.fence)]) == first
    counters = await backend.client.counters()
    assert (counters.checkouts, counters.commits, counters.open) == (2, 1, 1)


async def test_a_match_that_is_over_cannot_be_checked_out_again(backend: Backend) -> None:
    player_id = (await backend.login()).player_id
    match = new_match()
    [player] = (await backend.client.check_out(match, "server-1", REGION, 60, [player_id])).checked_out
    await backend.client.commit(match, [result(player_id, player.fence)])
    answer = await backend.client.check_out(match, "server-1", REGION, 60, [player_id])
    assert answer.refused[0].reason == "already-committed"


async def test_an_expired_lease_is_taken_over_with_a_higher_fence_and_the_old_one_is_stale(
    backend: Backend,
) -> None:
    player_id = (await backend.login()).player_id
    old_match, new = new_match(), new_match()
    [old] = (await backend.client.check_out(old_match, "server-1", REGION, 10, [player_id])).checked_out
    backend.clock.advance(11)
    [taken] = (await backend.client.check_out(new, "server-2", REGION, 10, [player_id])).checked_out
    assert taken.fence > old.fence
    stale = await backend.client.commit(old_match, [result(player_id, old.fence)])
    assert (stale.committed, stale.refused[0].reason) == ([], "stale-fence")
    assert (await backend.client.commit(new, [result(player_id, taken.fence)])).committed == [player_id]
    counters = await backend.client.counters()
    assert (counters.checkouts, counters.commits, counters.expired, counters.open) == (2, 1, 1, 0)


async def test_a_fence_is_later_than_the_lease_that_expired_while_its_check_out_waited(
    backend: Backend,
) -> None:
    player_id = (await backend.login()).player_id
    await backend.client.check_out(new_match(), "server-1", REGION, 10, [player_id])
    ends_ms = int((backend.clock.now() + 10) * 1000)
    backend.clock.advance(11)
    await backend.client.counters()
    backend.clock.advance(-6)  # the time at which the next check-out began
    [taken] = (await backend.client.check_out(new_match(), "server-2", REGION, 10, [player_id])).checked_out
    assert taken.fence > ends_ms


async def test_fences_grow_even_when_the_clock_goes_back(backend: Backend) -> None:
    player_id = (await backend.login()).player_id
    fences = []
    for _ in range(4):
        match = new_match()
        [player] = (await backend.client.check_out(match, "server-1", REGION, 60, [player_id])).checked_out
        await backend.client.commit(match, [result(player_id, player.fence)])
        fences.append(player.fence)
        backend.clock.advance(-100)
    assert fences == sorted(set(fences))


async def test_a_fence_of_another_match_or_of_nobody_is_refused(backend: Backend) -> None:
    one, other = [login.player_id for login in await backend.logins(2)]
    match = new_match()
    [player] = (await backend.client.check_out(match, "server-1", REGION, 60, [one])).checked_out
    rows = [result(one, player.fence)]
    assert (await backend.client.commit(new_match(), rows)).refused[0].reason == "foreign-fence"
    invented = await backend.client.commit(match, [result(one, player.fence + 1)])
    assert invented.refused[0].reason == "foreign-fence"
    never = await backend.client.commit(match, [result(other, player.fence)])
    assert never.refused[0].reason == "not-checked-out"
    assert (await backend.client.counters()).open == 1


async def test_an_expired_lease_that_nobody_took_may_still_be_committed(
    backend: Backend, store: asyncpg.Connection
) -> None:
    player_id = (await backend.login()).player_id
    match = new_match()
    [player] = (await backend.client.check_out(match, "server-1", REGION, 10, [player_id])).checked_out
    backend.clock.advance(11)
    counters = await backend.client.counters()
    assert (counters.expired, counters.open) == (1, 0)
    commit = await backend.client.commit(match, [result(player_id, player.fence)])
    assert commit.committed == [player_id]
    counters = await backend.client.counters()
    assert (counters.checkouts, counters.commits, counters.expired, counters.open) == (1, 1, 0, 0)
    await drain(backend)
    assert await store.fetchval("SELECT outcome FROM match_history") == "committed"


async def test_what_a_crashed_server_did_not_commit_is_reported(
    backend: Backend, store: asyncpg.Connection
) -> None:
    player_id = (await backend.login()).player_id
    match = new_match()
    await backend.client.check_out(match, "server-1", REGION, 10, [player_id])
    backend.clock.advance(11)
    await backend.client.counters()
    await drain(backend)
    row = await store.fetchrow("SELECT * FROM match_history")
    assert (row["match_id"], row["server"], row["outcome"], row["placement"]) == (
        match,
        "server-1",
        "expired",
        None,
    )


async def test_a_player_nobody_knows_is_refused_and_the_others_are_not(backend: Backend) -> None:
    player_id = (await backend.login()).player_id
    answer = await backend.client.check_out(new_match(), "server-1", REGION, 60, [player_id, 12345])
    assert [player.player_id for player in answer.checked_out] == [player_id]
    assert (answer.refused[0].player_id, answer.refused[0].reason) == (12345, "unknown-player")


async def test_matches_begin_and_end_while_the_store_is_away(settings: Settings, clock: Clock) -> None:
    async with running(settings.model_copy(update={"store_url": NOBODY}), clock) as backend:
        ids = [login.player_id for login in await backend.logins(3)]
        match = new_match()
        checkout = await backend.client.check_out(match, "server-1", REGION, 60, [*ids, 12345])
        assert [player.player_id for player in checkout.checked_out] == ids
        rows = [result(player.player_id, player.fence) for player in checkout.checked_out]
        assert (await backend.client.commit(match, rows)).committed == ids


async def test_a_lease_survives_the_loss_of_the_cache(backend: Backend, redis: Redis) -> None:
    player_id = (await backend.login()).player_id
    match = new_match()
    [player] = (await backend.client.check_out(match, "server-1", REGION, 60, [player_id])).checked_out
    await drain(backend)
    await redis.flushall()
    refused = (await backend.client.check_out(new_match(), "server-2", REGION, 60, [player_id])).refused
    assert (refused[0].reason, refused[0].held_by) == ("checked-out", "server-1")
    assert (await backend.client.commit(match, [result(player_id, player.fence)])).committed == [player_id]
    assert balanced(await backend.client.counters())


async def test_a_commit_finds_its_lease_again_after_the_loss_of_the_cache(
    backend: Backend, redis: Redis
) -> None:
    player_id = (await backend.login()).player_id
    match = new_match()
    [player] = (await backend.client.check_out(match, "server-1", REGION, 60, [player_id])).checked_out
    await drain(backend)
    await redis.flushall()
    assert (await backend.client.commit(match, [result(player_id, player.fence)])).committed == [player_id]
    assert not await redis.zcard(ONE.home.leases)


async def test_a_commit_that_only_the_store_could_judge_is_put_off_and_not_refused(
    backend: Backend, redis: Redis, settings: Settings, clock: Clock
) -> None:
    kept, lost = [login.player_id for login in await backend.logins(2)]
    match = new_match()
    checkout = await backend.client.check_out(match, "server-1", REGION, 60, [kept, lost])
    rows = [result(player.player_id, player.fence) for player in checkout.checked_out]
    await drain(backend)
    await redis.delete(backend.keys.player(lost))
    async with running(settings.model_copy(update={"store_url": NOBODY}), clock) as without_store:
        with pytest.raises(MetaUnavailableError):
            await without_store.client.commit(match, rows)
    assert (await backend.client.commit(match, rows)).committed == [kept, lost]
    assert balanced(await backend.client.counters())


async def test_skills_are_the_prior_until_there_is_a_rating(backend: Backend, redis: Redis) -> None:
    one, other = [login.player_id for login in await backend.logins(2)]
    await redis.hset(backend.keys.player(one), "rating:battle_royale", "30.5,2.5")
    skills = (await backend.client.skills("battle_royale", [one, other])).skills
    assert (skills[one].mu, skills[one].sigma) == (30.5, 2.5)
    assert (skills[other].mu, skills[other].sigma) == (25.0, 8.333)


async def test_skills_say_who_is_in_a_match_and_where(backend: Backend) -> None:
    held, free, over = [login.player_id for login in await backend.logins(3)]
    match = new_match()
    checkout = await backend.client.check_out(match, "server-1", REGION, 60, [held, over])
    await backend.client.commit(match, [result(over, checkout.checked_out[1].fence)])
    answer = await backend.client.skills("battle_royale", [held, free, over])
    assert answer.skills.keys() == {held, free, over}
    assert answer.held == {held: Held(match, "server-1", int((backend.clock.now() + 60) * 1000))}
    backend.clock.advance(61)
    assert (await backend.client.skills("battle_royale", [held])).held == {}
