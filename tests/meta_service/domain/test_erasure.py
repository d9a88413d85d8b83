from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import httpx2
import pytest
from redis.asyncio import Redis

from launchday.identity import OPERATOR
from launchday.settings import Settings
from meta_service.cache import keys, ranking
from meta_service.cache.keys import ONE
from meta_service.client import MetaClient, ProgressCache, RatingCache, Session
from meta_service.domain import accounts, erasure, export
from meta_service.domain.leaderboards import BOARDS, publish
from meta_service.errors import PartyError, StoreUnavailableError, UnknownPlayerError
from meta_service.store.erase import DELETED, PSEUDONYMOUS
from meta_service.store.season_sums import SeasonRecord
from meta_service.writebehind.erasures import LeftErasures
from tests.dead_link import dead_link
from tests.meta_service.conftest import Backend, Clock, drain, new_match, result, running
from tests.meta_service.domain.test_accounts import NOBODY
from tests.meta_service.domain.test_sessions import PASSWORD
from tests.meta_service.domain.test_shop import refused
from tests.waiting import until

# Of players, but by no id; or about the backend as a whole.
NAMES_NOBODY = {
    *("alembic_version", "cache_epochs", "catalogue", "consumer_offsets", "currencies", "event_gaps"),
    *("event_inbox", "event_outbox", "rated_matches", "rules_in_force", "running_totals", "season_windows"),
    "loadout_outbox",  # emptied within seconds
}


async def with_a_life(backend: Backend, store: asyncpg.Connection, device: str) -> tuple[Session, Session]:
    """A player of whom there is something everywhere, and a friend."""
    client = backend.client
    login, friend = await client.login_device(device), await backend.login()
    token = login.session_token
    await client.set_name(token, f"Nina of {device[-1]}")
    await client.set_password(token, f"nina.{device[-1]}", PASSWORD)
    await client.link_device(token, f"{device}-second")
    await client.set_loadout(token, "recruit", settings={"invert_y": True})
    await drain(backend)
    await client.grant(f"a-grant-for-{device[-1]}", login.player_id, "coins", 1000, "welcome")
    await client.purchase(token, f"a-purchase-{device[-1]}", "supply-crate")
    await client.request_friendship(token, friend.player_id)
    await client.accept_friendship(friend.session_token, login.player_id)
    await client.friends(friend.session_token)  # its cache holds the name now
    match = new_match()
    leases = await client.check_out(match, "server-1", "west-europe", 60, [login.player_id])
    (player,) = leases.checked_out
    await client.commit(match, [result(login.player_id, player.fence)])
    await client.set_presence(token, "online")
    party = await client.create_party(token)
    await client.invite_to_party(token, friend.player_id)
    await client.accept_party(friend.session_token, party.party_id)
    await drain(backend)
    await client.leaderboard(token, "kills")
    for statement in (
        "INSERT INTO progression (player_id, xp, level) VALUES ($1, 900, 4)",
        "INSERT INTO ratings VALUES ($1, 'duel', 31.5, 2.25)",
        "INSERT INTO season_progress VALUES ($1, 'century', 700, 1)",
        "INSERT INTO challenge_progress VALUES ($1, 'sharp', 'ever', 3, false)",
        "INSERT INTO reward_grants (player_id, source, key, gives, given_at)"
        " VALUES ($1, 'season', '500', '[]', now())",
        "INSERT INTO blocks VALUES ($1, 7, now())",
        "INSERT INTO declined_requests VALUES ($1, 8, now())",
        "INSERT INTO bans (player_id, reason, banned_by, banned_at, ends_at, version)"
        " VALUES ($1, 'old', 'ada', to_timestamp(1), to_timestamp(2), 1)",
        "SELECT audit_note('ada', 'look', $1, 'a report', '{}', 1, 'a-request')",
    ):
        await store.execute(statement, login.player_id)
    return login, friend


async def named_in(store: asyncpg.Connection, player_id: int) -> set[str]:
    """The tables of which a row has the number anywhere."""
    tables = await store.fetch(
        "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace"
        " WHERE nspname = 'public' AND relkind IN ('r', 'p') AND NOT relispartition"
    )
    found = set()
    for (table,) in tables:
        # Answers to services' requests go with their keys, in two weeks; an outbox within seconds.
        where = f"one.owner = {player_id}" if table == "idempotency" else f"one::text LIKE '%{player_id}%'"
        if await store.fetchval(f"SELECT EXISTS (SELECT FROM {table} AS one WHERE {where})"):
            found.add(table)
    return found - {"loadout_outbox"}


async def named_in_cache(redis: Redis, player_id: int, *words: str) -> set[str]:
    """The keys that name the player, or hold the number or a word."""
    found = set()
    async for key in redis.scan_iter():
        kind = str(await redis.type(key))
        read: Any = {
            "string": lambda key: redis.get(key),
            "hash": lambda key: redis.hgetall(key),
            "set": lambda key: redis.smembers(key),
            "zset": lambda key: redis.zrange(key, 0, -1),
            "stream": lambda key: redis.xrange(key),
        }[kind]
        content = f"{key} {await read(key)}"
        if any(word in content for word in (str(player_id), *words)):
            found.add(key)
    return found


async def is_on_a_board(redis: Redis, player_id: int) -> bool:
    """Whether a board of the season has the player."""
    scores = [await redis.zscore(keys.board("century", b), ranking.member(player_id)) for b in BOARDS]
    return scores != [None] * len(BOARDS)


async def books(store: asyncpg.Connection) -> list[Any]:
    """What has to hold of money and items, whoever was deleted."""
    return [
        await store.fetchval("SELECT coalesce(sum(amount), 0) FROM ledger"),
        await store.fetchval(
            "SELECT count(*) FROM wallets FULL JOIN (SELECT account AS player_id, currency,"
            " sum(amount) AS sum FROM ledger WHERE account > 0 GROUP BY 1, 2) AS sums"
            " USING (player_id, currency)"
            " WHERE balance IS DISTINCT FROM sum"
        ),
        await store.fetchval(
            "SELECT count(*) FROM inventory FULL JOIN (SELECT player_id, item_id, sum(quantity) AS sum"
            " FROM item_movements GROUP BY 1, 2) AS sums USING (player_id, item_id)"
            " WHERE coalesce(quantity, 0) <> coalesce(sum, 0)"
        ),
    ]


async def ask(backend: Backend, method: str, path: str, login: Session) -> httpx2.Response:
    """One try: the client would repeat what is answered with 503."""
    headers = {"Authorization": f"Bearer {login.session_token}"}
    return await backend.http.request(method, path, headers=headers)


@pytest.fixture
async def left(backend: Backend, clock: Clock) -> AsyncIterator[LeftErasures]:
    """A worker's look at what was left."""
    cache = backend.app.state.context.players.cache
    left = LeftErasures(cache, backend.settings.store_url, clock)
    yield left
    await left.end()


async def test_of_a_deleted_player_nothing_is_left_but_books_that_still_balance(
    backend: Backend, store: asyncpg.Connection, redis: Redis
) -> None:
    login, friend = await with_a_life(backend, store, "the-phone-of-a")
    assert await named_in(store, login.player_id) >= (DELETED.keys() | PSEUDONYMOUS.keys()) - {
        *("name_keys", "newer_events", "purchase_outbox")
    }
    rows = await store.fetchval("SELECT count(*) FROM ledger")
    assert await is_on_a_board(redis, login.player_id)
    deletion = await backend.client.delete_account(login.session_token)
    assert (deletion.deleted, deletion.finished) == (True, True)
    assert not await is_on_a_board(redis, login.player_id)

    assert await named_in(store, login.player_id) == {"erasures"}
    # Streams and matches are over within an hour.
    brief = (
        *(keys.PARTY_CHANGES, keys.claims(login.player_id)),
        *(each.stream for each in backend.keys.partitions),
        *(each.session_ends for each in backend.keys.partitions),
        *(each.revocations for each in backend.keys.partitions),
        *(f"{each.tag}:match:" for each in backend.keys.partitions),
    )
    named = await named_in_cache(redis, login.player_id, "Nina of a")
    assert {key for key in named if not key.startswith(brief)} == {backend.keys.player(login.player_id)}
    assert (await redis.hgetall(backend.keys.player(login.player_id))).keys() == {
        "erased",
        "session_state",
        "loaded",
    }
    left = await store.fetchrow("SELECT * FROM erasures")
    assert (left["pseudonym"], left["login_name"], left["logins"]) == (None, None, None)
    assert await books(store) == [0, 0, 0]
    assert await store.fetchval("SELECT count(*) FROM ledger") == rows
    assert await store.fetchval("SELECT count(request_id) FROM ledger") == 0

    client = backend.client
    assert await client.friends(friend.session_token) == []
    assert [member.player_id for member in (await client.my_party(friend.session_token)).members] == [
        friend.player_id
    ]
    for call in (
        client.profile(login.session_token),
        client.wallet(login.session_token),
        client.set_loadout(login.session_token, "recruit"),
        client.refresh(login.refresh_token),
    ):
        with refused("session-erased"):
            await call
    with refused("wrong-password"):
        await client.login_password("nina.a", PASSWORD)
    for phone in ("the-phone-of-a", "the-phone-of-a-second"):
        again = await client.login_device(phone)
        assert again.created
        assert again.player_id != login.player_id
    await client.set_name(again.session_token, "Nina of a")  # the name is free


async def test_money_that_moves_beside_a_deletion_stays_in_one_book(
    backend: Backend, store: asyncpg.Connection
) -> None:
    login = await backend.login()
    await backend.client.grant("a-grant-beside", login.player_id, "coins", 1000, "welcome")
    moving = store.transaction()
    await moving.start()
    await store.execute(
        "SELECT ledger_transfer(gen_random_uuid(), $1, 0, 'coins', 30, 'a refund', 1, '')", login.player_id
    )
    deleting = asyncio.create_task(backend.client.delete_account(login.session_token))

    async def waits() -> bool:
        held_up = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        return bool(await store.fetchval(held_up))

    await until(waits, "the deletion waits for the wallet")
    await moving.commit()
    assert (await deleting).deleted
    assert await books(store) == [0, 0, 0]


async def test_who_is_being_deleted_comes_into_no_party(
    backend: Backend, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    login, friend = await backend.login(), await backend.login()
    context, id_ = backend.app.state.context, login.player_id
    party = await backend.client.create_party(friend.session_token)
    await backend.client.invite_to_party(friend.session_token, id_)
    leave = context.erasures._leave_party

    async def with_late_requests(player_id: int, now: float) -> None:
        """What was let in before the deletion comes to its step now."""
        await leave(player_id, now)
        with pytest.raises(PartyError):
            await context.parties.create(id_, 4, now)
        with pytest.raises(PartyError):
            await context.parties.accept(id_, party.party_id, now)

    monkeypatch.setattr(context.erasures, "_leave_party", with_late_requests)
    assert (await backend.client.delete_account(login.session_token)).finished
    assert [key async for key in redis.scan_iter("{meta}:party:*")] == [keys.party(party.party_id)]
    assert not await redis.hexists(keys.party(party.party_id), f"m:{id_}")


async def test_what_is_written_after_a_deletion_brings_nothing_back(
    backend: Backend, store: asyncpg.Connection, redis: Redis, left: LeftErasures, clock: Clock
) -> None:
    login, _ = await with_a_life(backend, store, "the-phone-of-b")
    match = new_match()
    leases = await backend.client.check_out(match, "server-1", "west-europe", 60, [login.player_id])
    await backend.client.set_loadout(login.session_token, "recruit", emotes=[])
    entries = await redis.xlen(ONE.home.stream)
    assert entries
    await backend.client.delete_account(login.session_token)
    commit = await backend.client.commit(match, [result(login.player_id, leases.checked_out[0].fence)])
    assert [refusal.player_id for refusal in commit.refused] == [login.player_id]
    # Of who was deleted nothing is shown that comes late.
    id_, cache = login.player_id, backend.app.state.context.players.cache
    await cache.publish_balance(id_, "coins", 5, 9)
    await cache.publish_items(id_, [("wave", 1, 9)])
    await ProgressCache(redis).publish([(id_, 700, 2)])
    await RatingCache(redis).publish([(id_, "fives", 25.0, 8.0, 9)])
    assert (await redis.hgetall(backend.keys.player(id_))).keys() == {
        "erased",
        "session_state",
        "loaded",
    }
    # A password whose hashing took longer than the deletion; an operator who has seen the player before.
    context = backend.app.state.context
    with pytest.raises(UnknownPlayerError):
        await context.credentials.set(login.player_id, "late.password", PASSWORD, None, "127.0.0.1")
    late_ban = "SELECT ban_player($1, 'late', NULL, 'ada', $2, NULL, true)"
    assert await store.fetchval(late_ban, login.player_id, clock.now()) is None
    await drain(backend)
    assert await named_in(store, login.player_id) == {"erasures"}
    assert not await is_on_a_board(redis, login.player_id)
    counters = await backend.client.counters()
    assert counters.checkouts == counters.commits + counters.expired + counters.closed + counters.open
    # What was under way meanwhile is swept after a minute, and every day.
    for wait_s in (erasure.FIRST_SWEEP_S + 1, erasure.SWEEP_S + 1):
        await store.execute(
            "INSERT INTO progression (player_id, xp, level) VALUES ($1, 1, 1)", login.player_id
        )
        await publish(redis, [SeasonRecord("century", login.player_id, 1, 1, 1)])
        await left.go_on()
        assert await named_in(store, login.player_id) == {"erasures", "progression"}
        clock.advance(wait_s)
        await left.go_on()
        assert await named_in(store, login.player_id) == {"erasures"}
        assert not await is_on_a_board(redis, login.player_id)
    clock.advance(erasure.KEPT_S)
    await left.go_on()
    await left.go_on()
    assert await named_in(store, login.player_id) == set()


async def test_money_that_comes_between_two_steps_of_a_deletion_is_swept_with_the_next(
    backend: Backend,
    store: asyncpg.Connection,
    left: LeftErasures,
    monkeypatch: pytest.MonkeyPatch,
    clock: Clock,
) -> None:
    """The wallet that it opens must not meet the one that has the pseudonym already."""
    login = await backend.login()
    await backend.client.grant("a-grant-between", login.player_id, "coins", 1000, "welcome")
    own = backend.app.state.context.players.store
    change = own.change

    async def dying(statement: str, *arguments: Any, **more: Any) -> list[Any]:
        if statement == erasure._FINISH:
            raise StoreUnavailableError("planted: this process is dead")
        answer: list[Any] = await change(statement, *arguments, **more)
        return answer

    monkeypatch.setattr(own, "change", dying)
    assert not (await backend.client.delete_account(login.session_token)).finished
    monkeypatch.undo()
    await store.execute(
        "SELECT ledger_transfer(gen_random_uuid(), $1, 0, 'coins', 30, 'a refund', 1, '')", login.player_id
    )
    await left.go_on()
    clock.advance(erasure.FIRST_SWEEP_S + 1)
    await left.go_on()
    assert await named_in(store, login.player_id) == {"erasures"}
    assert await books(store) == [0, 0, 0]


@pytest.mark.parametrize("killed_at", range(5))
async def test_a_deletion_that_was_killed_at_any_step_is_finished_by_a_worker(
    backend: Backend,
    store: asyncpg.Connection,
    redis: Redis,
    left: LeftErasures,
    monkeypatch: pytest.MonkeyPatch,
    killed_at: int,
) -> None:
    login = await backend.login()
    await backend.client.set_name(login.session_token, "Nina of c")
    await backend.client.grant("a-grant-for-c", login.player_id, "coins", 1000, "welcome")
    await drain(backend)
    own = backend.app.state.context.players.store
    change, made = own.change, 0

    async def dying(statement: str, *arguments: Any, **more: Any) -> list[Any]:
        nonlocal made
        made += 1
        if made > killed_at:
            raise StoreUnavailableError("planted: this process is dead")
        answer: list[Any] = await change(statement, *arguments, **more)
        return answer

    monkeypatch.setattr(own, "change", dying)
    if killed_at == 0:
        assert (await ask(backend, "DELETE", "/v1/account", login)).status_code == 503
        monkeypatch.undo()
        assert (await backend.client.profile(login.session_token)).display_name == "Nina of c"
        assert not await store.fetchval("SELECT count(*) FROM erasures")
        return
    deletion = await backend.client.delete_account(login.session_token)
    assert (deletion.deleted, deletion.finished) == (True, killed_at == 4)
    with refused("session-erased"):  # whatever happened then, from the first step on nobody gets in
        await backend.client.profile(login.session_token)
    monkeypatch.undo()
    await left.go_on()
    assert await named_in(store, login.player_id) == {"erasures"}
    assert await books(store) == [0, 0, 0]
    assert await store.fetchval("SELECT finished_at IS NOT NULL AND pseudonym IS NULL FROM erasures")
    assert (await redis.hgetall(backend.keys.player(login.player_id))).keys() == {
        "erased",
        "session_state",
        "loaded",
    }


async def test_a_device_whose_accounts_are_deleted_again_and_again_is_told_so(backend: Backend) -> None:
    seen = set()
    for _ in range(accounts.CANDIDATES):
        login = await backend.client.login_device("a-restless-phone")
        assert login.created
        seen.add(login.player_id)
        await backend.client.delete_account(login.session_token)
    assert len(seen) == accounts.CANDIDATES
    with refused("deleted-too-often"):
        await backend.client.login_device("a-restless-phone")


async def test_while_the_store_is_away_nobody_is_deleted(settings: Settings, clock: Clock) -> None:
    async with running(settings.model_copy(update={"store_url": NOBODY}), clock) as backend:
        login = await backend.login()
        for method, path in (("DELETE", "/v1/account"), ("GET", "/v1/account/export")):
            assert (await ask(backend, method, path, login)).status_code == 503
        await backend.client.profile(login.session_token)


async def test_the_books_take_a_pseudonym_and_no_other_change(
    backend: Backend, store: asyncpg.Connection
) -> None:
    login, _ = await with_a_life(backend, store, "the-phone-of-d")
    for table, (holder, _) in PSEUDONYMOUS.items():
        if table in ("inventory", "purchases", "wallets"):
            continue
        for change in (f"{holder} = 4711, request_id = NULL", "reason = 'another'", f"{holder} = {holder}"):
            with pytest.raises(asyncpg.RaiseError, match="append-only"):
                await store.execute(f"UPDATE {table} SET {change} WHERE {holder} = $1", login.player_id)
        with pytest.raises(asyncpg.RaiseError, match="append-only"):
            await store.execute(f"DELETE FROM {table}")


async def test_an_operator_exports_and_deletes_a_player_and_both_are_noted(
    backend: Backend, store: asyncpg.Connection
) -> None:
    login, _ = await with_a_life(backend, store, "the-phone-of-e")
    token = backend.app.state.signer.service_token("grace", backend.clock.wall(), roles=(OPERATOR,))
    operator = MetaClient("http://meta", token, transport=backend.client._http._transport)
    assert (await operator.export_player(login.player_id)).player_id == login.player_id
    with refused("unknown-player"):
        await operator.delete_player(4711, "no such player")
    assert (await operator.delete_player(login.player_id, "their lawyer asked")).deleted
    assert not (await operator.delete_player(login.player_id, "their lawyer asked")).deleted
    acts = await store.fetch("SELECT * FROM operator_actions WHERE operator = 'grace' ORDER BY action_no")
    assert [act["action"] for act in acts] == ["export", "delete"]
    assert {act["player_id"] for act in acts}.isdisjoint({login.player_id})
    with refused("forbidden"):
        await backend.client.delete_player(login.player_id, "a service may not")


async def test_an_export_has_everything_and_no_secret(backend: Backend, store: asyncpg.Connection) -> None:
    login, friend = await with_a_life(backend, store, "the-phone-of-f")
    found = await backend.client.export_account(login.session_token)
    empty = [name for name, rows in found.stored.items() if not rows]
    assert empty == []
    assert found.stored["display_name"][0]["display_name"] == "Nina of f"
    assert found.stored["friends"] == [
        {**found.stored["friends"][0], "player_id": str(friend.player_id), "relation": "friends"}
    ]
    assert found.stored["ledger"][0]["amount"] == 1000
    assert found.cached["player"]["display_name"] == "Nina of f"
    assert found.cached["presence"] == "online"
    text = json.dumps([found.stored, found.cached])
    assert "argon2" not in text
    for device in ("the-phone-of-f", "the-phone-of-f-second"):
        assert device not in text
    digests = await store.fetch("SELECT device_hash FROM accounts UNION SELECT login_hash FROM logins")
    assert all(bytes(digest).hex() not in text for (digest,) in digests)


async def test_every_table_that_names_a_player_is_exported_and_emptied(store: asyncpg.Connection) -> None:
    rows = await store.fetch(
        "SELECT relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace"
        " WHERE nspname = 'public' AND relkind IN ('r', 'p') AND NOT relispartition"
    )
    tables = {name for (name,) in rows}
    assert tables == DELETED.keys() | PSEUDONYMOUS.keys() | NAMES_NOBODY | {"erasures"}
    exported = " ".join(export.SECTIONS.values())
    not_exported = {name for name in DELETED.keys() | PSEUDONYMOUS.keys() if f"FROM {name}" not in exported}
    assert not_exported == {"account_changes", "newer_events", "purchase_outbox"}


async def test_a_look_over_a_connection_that_died_without_a_word_keeps_no_worker_from_ending(
    backend: Backend, clock: Clock
) -> None:
    async with dead_link(backend.settings.store_url) as link:
        left = LeftErasures(backend.app.state.context.players.cache, link.url, clock)
        await left.go_on()
        link.kill()
        looking = asyncio.create_task(left.run())
        await until(lambda: link.lost, "the store is asked")
        looking.cancel()
        await left.end()
        await until(looking.done, "the look is given up")  # for one statement it would have a minute
        assert looking.cancelled()
