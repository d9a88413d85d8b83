from __future__ import annotations

import asyncio
import dataclasses
import random
from datetime import UTC, datetime

import asyncpg
import pytest
from msgspec import structs
from redis.asyncio import Redis

from launchday.clock import SystemClock
from launchday.seasons import Seasons, moment
from launchday.settings import Settings
from meta_service.cache import keys, ranking
from meta_service.cache.cache import Cache
from meta_service.client import Leaderboard, MetaUnavailableError, Session
from meta_service.domain.leaderboards import BOARDS, Leaderboards, publish
from meta_service.store import apply as applying
from meta_service.store.apply import apply
from meta_service.store.season_sums import SeasonRecord, follow_table
from meta_service.store.store import Store
from meta_service.writebehind.worker import WriteBehind
from rewards.progression import rules
from tests.meta_service.conftest import (
    SEASONS,
    Backend,
    Clock,
    drain,
    drained,
    new_match,
    result,
    running,
    season,
    working,
)
from tests.meta_service.domain.test_accounts import NOBODY
from tests.meta_service.domain.test_parties import refused
from tests.meta_service.writebehind.test_worker import MATCH, NOW_S, commit
from tests.waiting import until

SEASON = "century"
NOW_MS = 1_700_000_000_000  # 2023-11-14T22:13:20Z
TABLE = Seasons(
    season(name, starts, ends, "America/Los_Angeles")
    for name, starts, ends in (
        ("summer", "2026-07-01", "2026-11-01T01:30"),
        ("winter", "2026-11-01T01:30", "2027-03-14T02:30"),
        ("spring", "2027-03-14T02:30", "2027-07-01"),
    )
)
# The night that has 1:30 twice, and the one that has no 2:30.
NIGHTS = [("2026-11-01T08:30Z", "summer", "winter"), ("2027-03-14T10:30Z", "winter", "spring")]
LONG_AGO = Seasons([season("old", "1970-01-01", "1970-01-02")])


async def play(backend: Backend, logins: list[Session], kills: list[int]) -> None:
    """A match in which the first wins."""
    match = new_match()
    out = await backend.client.check_out(match, "s", "east-us", 60, [login.player_id for login in logins])
    fences = {player.player_id: player.fence for player in out.checked_out}
    results = [
        result(login.player_id, fences[login.player_id], placement=place, kills=count)
        for place, (login, count) in enumerate(zip(logins, kills, strict=True), start=1)
    ]
    backend.clock.advance(10)
    await backend.client.commit(match, results)
    backend.clock.advance(1)


def lines(board: Leaderboard) -> list[tuple[int, int, int]]:
    return [(line.rank, line.player_id, line.score) for line in board.standings]


async def test_committed_results_are_on_the_seasons_boards(backend: Backend) -> None:
    one, two, three = logins = await backend.logins(3)
    await play(backend, logins, [5, 9, 1])
    await play(backend, [two, one, three], [2, 4, 0])
    await drain(backend)
    ids = [login.player_id for login in logins]
    kills = await backend.client.leaderboard(one.session_token, "kills")
    assert kills.total == 3
    assert kills.season == SEASON
    assert lines(kills) == [(1, ids[1], 11), (2, ids[0], 9), (3, ids[2], 1)]
    assert kills.standings[0].display_name.startswith("Player ")
    wins = await backend.client.leaderboard(one.session_token, "wins")
    assert {line.player_id: line.score for line in wins.standings} == {ids[0]: 1, ids[1]: 1, ids[2]: 0}
    page = await backend.client.leaderboard(one.session_token, "kills", offset=1, limit=1)
    assert lines(page) == [(2, ids[0], 9)]


async def test_a_player_sees_the_neighbours(backend: Backend, redis: Redis) -> None:
    login, stranger = await backend.logins(2)
    await backend.client.leaderboard(login.session_token)
    rows = [SeasonRecord(SEASON, number, 1, 0, 100 - number) for number in range(1, 21)]
    await publish(redis, [*rows, SeasonRecord(SEASON, login.player_id, 1, 0, 90)])
    board = await backend.client.leaderboard_around_me(login.session_token, "kills", neighbours=2)
    assert [line[0] for line in lines(board)] == [9, 10, 10, 12, 13]  # with player 10, whose id is less
    assert (board.total, lines(board)[2][1]) == (21, login.player_id)
    none = await backend.client.leaderboard_around_me(stranger.session_token, "kills")
    assert (none.total, none.standings) == (21, [])


async def test_an_unknown_board_or_season_is_refused(
    backend: Backend, redis: Redis, store: asyncpg.Connection
) -> None:
    login = await backend.login()
    with refused("invalid-request"):
        await backend.client.leaderboard(login.session_token, "dances")  # type: ignore[arg-type]
    with refused("unknown-season"):
        await backend.client.leaderboard(login.session_token, "kills", season="2026-q5")
    assert not await redis.keys("*:board:2026-q5:*")  # a season that nobody has fills no cache
    with refused("invalid-request"):
        await backend.client.leaderboard(login.session_token, "kills", season="Über")
    await store.execute("INSERT INTO season_records VALUES ('2026-q3', $1, 3, 1, 9, now())", login.player_id)
    quarter = await backend.client.leaderboard(login.session_token, "kills", season="2026-q3")
    assert lines(quarter) == [(1, login.player_id, 9)]  # of a version before there was a table


async def test_players_with_one_sum_share_a_rank_and_who_reached_it_first_stands_first(
    backend: Backend, redis: Redis
) -> None:
    one, two, three, four = logins = await backend.logins(4)
    await play(backend, [one, four], [1, 0])
    await play(backend, [two], [3])
    await play(backend, [three], [5])
    await play(backend, [one], [2])
    ids = [login.player_id for login in logins]
    await drain(backend)
    expected = [(1, ids[2], 5), (2, ids[1], 3), (2, ids[0], 3), (4, ids[3], 0)]
    for _ in ("as published", "rebuilt"):
        assert lines(await backend.client.leaderboard(one.session_token, "kills")) == expected
        page = await backend.client.leaderboard(one.session_token, "kills", offset=2, limit=1)
        assert lines(page) == expected[2:3]
        around = await backend.client.leaderboard_around_me(one.session_token, "kills", neighbours=1)
        assert lines(around) == expected[1:]
        await redis.flushall()
        for login in logins:  # sessions went with the cache
            await backend.client.profile(login.session_token)


async def test_a_result_counts_once_however_often_it_is_applied(store: asyncpg.Connection) -> None:
    change = {"commit": [commit(MATCH, (7, 1000, 1500)), commit(MATCH, (8, 1000, 1500))]}
    first = await apply(store, change, NOW_S, LONG_AGO)
    again = await apply(store, change, NOW_S, LONG_AGO)
    assert first.records == again.records  # a worker killed before it showed them shows them the second time
    rows = await store.fetch("SELECT season, player_id, matches, wins, kills FROM season_records ORDER BY 2")
    assert [tuple(row) for row in rows] == [("old", 7, 1, 1, 3), ("old", 8, 1, 1, 3)]


@pytest.mark.parametrize(("boundary", "before", "after"), NIGHTS)
async def test_a_result_counts_for_the_season_in_which_its_match_ended_however_late_it_is_committed(
    settings: Settings, clock: Clock, store: asyncpg.Connection, boundary: str, before: str, after: str
) -> None:
    at_s = moment(boundary, UTC).timestamp()
    clock.set(at_s - 60)
    async with running(settings, clock, TABLE) as backend:
        one, *others = logins = await backend.logins(4)
        match = new_match()
        ids = [login.player_id for login in logins]
        out = await backend.client.check_out(match, "s", "east-us", 600, ids)
        clock.set(at_s + 30)
        ended = [at_s - 0.001, at_s, None, at_s + 31]  # its server's word, none, and one that cannot be
        rows = [
            structs.replace(result(player.player_id, player.fence), ended_at=ended_at)
            for player, ended_at in zip(out.checked_out, ended, strict=True)
        ]
        await backend.client.commit(match, rows)
        await drain(backend, TABLE)
        for season_name, expected in (
            (before, {one.player_id}),
            (after, {each.player_id for each in others}),
        ):
            board = await backend.client.leaderboard(one.session_token, "kills", season=season_name)
            assert {line.player_id for line in board.standings} == expected
        shown = await backend.client.leaderboard(one.session_token, "kills")
        assert shown.season == after
        assert (await backend.client.matches(one.session_token))[0].ended_at == at_s - 0.001
    passes = rules.Rules.model_validate({**rules.load().model_dump(), "seasons": TABLE.all})
    kills = [(at_s - 0.001, before), (at_s, after)]
    assert [passes.season_at(occurred_at) for occurred_at, _ in kills] == [name for _, name in kills]


async def test_a_table_that_changes_is_summed_up_anew_and_boards_follow(
    backend: Backend, store: asyncpg.Connection, redis: Redis
) -> None:
    login = await backend.login()
    for at_ms, kills in ((NOW_MS, 3), (NOW_MS + 1000, 5)):
        await store.execute(
            "INSERT INTO match_history (player_id, fence, match_id, outcome, placement, kills, ended_at)"
            " VALUES ($1, $2, $3, 'committed', 1, $4, to_timestamp($2::bigint / 1000.0))",
            *(login.player_id, at_ms, new_match(), kills),
        )
    whole, half = season("s", "1970-01-01", "2100-01-01"), season("s", "1970-01-01", "2023-11-14T22:13:21Z")
    later = season("t", "2023-11-14T22:13:21Z", "2100-01-01")
    for seasons, changed, sums in (
        (Seasons([whole]), ["s"], {"s": 8}),
        (Seasons([whole]), [], {"s": 8}),
        (Seasons([half, later]), ["s", "t"], {"s": 3, "t": 5}),
    ):
        assert await follow_table(store, seasons, NOW_S) == changed
        assert dict(await store.fetch("SELECT season, kills FROM season_records")) == sums
    await publish(redis, [SeasonRecord("century", login.player_id, 9, 9, 99)])
    await drain(backend)  # the worker meets another table than the store's
    board = await backend.client.leaderboard(login.session_token, "kills")
    assert lines(board) == [(1, login.player_id, 8)]


async def test_a_refused_result_is_on_no_board(store: asyncpg.Connection) -> None:
    await store.execute("INSERT INTO match_history (player_id, fence, match_id) VALUES (7, 1200, $1)", MATCH)
    applied = await apply(store, {"commit": [commit(MATCH, (7, 1000, 1500))]}, NOW_S, LONG_AGO)
    assert applied == applying.ApplyResult(1, ())


async def test_an_older_sum_does_not_replace_a_newer_one(redis: Redis) -> None:
    await publish(redis, [SeasonRecord(SEASON, 7, 2, 1, 9)])
    await publish(redis, [SeasonRecord(SEASON, 7, 1, 1, 4)])
    shown = await redis.zscore(keys.board(SEASON, "kills"), ranking.member(7))
    assert shown is not None
    assert ranking.score_of(shown) == 9


Place = tuple[int, int, int]
"""Rank, player id and score."""


def by_hand(records: list[SeasonRecord], board: str) -> list[Place]:
    """The oracle: a plain sort by sum, by when it was reached and by id; one sum is one rank."""
    sums = [getattr(record, board) for record in records]
    ordered = sorted(
        records,
        key=lambda one: (
            -getattr(one, board),
            round(getattr(one, f"{board}_at") * 1000) if getattr(one, board) else 0,
            one.player_id,
        ),
    )
    return [
        (1 + sum(other > getattr(one, board) for other in sums), one.player_id, getattr(one, board))
        for one in ordered
    ]


@pytest.mark.parametrize("most", [2, 40, 3_000_000])
async def test_boards_stand_as_a_plain_sort_says_whatever_comes_first_and_after_a_rebuild(
    store_url: str, store: asyncpg.Connection, redis: Redis, most: int
) -> None:
    drawn = random.Random(most)
    table = Seasons([season("s", "2026-11-01", "2027-02-01")])
    starts_s, _ = table.all[0].window_s
    # Above a million a sum keeps less of the time: then moments are as far apart as it tells.
    step_ms = 1 if most < 1 << 20 else 8
    records = [
        SeasonRecord(
            *("s", player_id),
            *(drawn.randrange(most + 1) for _ in BOARDS),
            *(starts_s + drawn.randrange(1, 60) * step_ms / 1000 for _ in BOARDS),
        )
        for player_id in drawn.sample(range(1, 10**18), 150)
    ]
    shuffled = drawn.sample(records, len(records))
    earlier = [
        dataclasses.replace(one, **{name: getattr(one, name) // 2 for name in BOARDS}) for one in shuffled
    ]
    for half in (shuffled, earlier, shuffled[:50]):
        await publish(redis, half, table)
    boards = Leaderboards(Cache(redis), own := Store(store_url, SystemClock()), SystemClock(), table)
    await redis.set(keys.boards_built("s"), 0)
    expected = {name: by_hand(records, name) for name in BOARDS}
    for rebuilt in (False, True):
        for name in BOARDS:
            whole = await boards.top("s", name, 0, 100), await boards.top("s", name, 100, 100)
            assert [place for part in whole for place in lines(part)] == expected[name]
            for offset in drawn.sample(range(150), 5):  # a page begins anywhere among players of one sum
                page = await boards.top("s", name, offset, 7)
                assert (page.total, lines(page)) == (150, expected[name][offset : offset + 7])
            for index in drawn.sample(range(150), 5):
                mine = await boards.around("s", name, expected[name][index][1], 3)
                assert lines(mine) == expected[name][max(index - 3, 0) : index + 4]
        if not rebuilt:
            await store.copy_records_to_table(
                "season_records",
                records=[
                    (*row[:5], *(datetime.fromtimestamp(at, UTC) for at in row[5:]))
                    for row in map(dataclasses.astuple, records)
                ],
                columns=[each.name for each in dataclasses.fields(SeasonRecord)],
            )
            await redis.flushall()
    await own.close()


async def test_boards_come_back_when_the_cache_was_lost(backend: Backend, redis: Redis) -> None:
    logins = await backend.logins(3)
    await play(backend, logins, [5, 9, 1])
    await drain(backend)
    before = await backend.client.leaderboard(logins[0].session_token, "kills")
    await redis.flushall()
    await publish(
        redis, [SeasonRecord(before.season, logins[0].player_id, 1, 1, 5)]
    )  # the worker was quicker
    after = await backend.client.leaderboard(logins[0].session_token, "kills")
    assert lines(after) == lines(before)


async def test_many_readers_of_a_lost_board_are_one_rebuild(
    store_url: str, redis: Redis, store: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.execute(
        "INSERT INTO season_records (season, player_id, matches, wins, kills)"
        " SELECT $1, player, 1, 0, player FROM generate_series(1, 2500) player",
        SEASON,
    )
    monkeypatch.setattr("meta_service.domain.leaderboards.MAX_BUILD_ROWS", 1000)
    reads: list[str] = []
    own = Store(store_url, SystemClock())
    real = own.read

    async def counted(statement: str, *arguments: object) -> list[object]:
        reads.append(statement)
        return await real(statement, *arguments)

    monkeypatch.setattr(own, "read", counted)
    boards = Leaderboards(Cache(redis), own, SystemClock(), SEASONS)
    answers = await asyncio.gather(*(boards.top(SEASON, "kills", 0, 1) for _ in range(50)))
    assert {(answer.total, answer.standings[0].player_id) for answer in answers} == {(2500, 2500)}
    assert sum("season_records" in statement for statement in reads) == 4  # three pages and the empty one
    await own.close()


async def test_a_board_that_cannot_be_rebuilt_is_told_to_try_again(redis: Redis) -> None:
    boards = Leaderboards(Cache(redis), Store(NOBODY, SystemClock()), SystemClock(), SEASONS)
    for _ in range(2):  # the failed one left no mark behind
        with pytest.raises(Exception, match="store"):
            await boards.top(SEASON, "kills", 0, 1)
    assert not await redis.exists(keys.boards_build_lock(SEASON))


async def test_a_player_reads_the_own_matches_and_a_service_a_whole_one(backend: Backend) -> None:
    one, two = await backend.logins(2)
    await play(backend, [one, two], [5, 9])
    await play(backend, [one], [1])
    match = new_match()
    await backend.client.check_out(match, "s", "east-us", 60, [one.player_id])
    await drain(backend)
    matches = await backend.client.matches(one.session_token)
    assert [(row.outcome, row.kills) for row in matches] == [
        ("playing", None),
        ("committed", 1),
        ("committed", 5),
    ]
    assert matches[0].match_id == match
    rest = await backend.client.matches(one.session_token, before=matches[0].fence, limit=1)
    assert rest == matches[1:2]
    report = await backend.client.match(matches[2].match_id)
    assert [(row.player_id, row.placement) for row in report.players] == [
        (one.player_id, 1),
        (two.player_id, 2),
    ]
    with refused("unknown-match"):
        await backend.client.match(new_match())


async def test_matches_wait_for_the_store(backend: Backend) -> None:
    login = await backend.login()
    backend.app.state.context.history._store._presence.away = True
    with pytest.raises(MetaUnavailableError):
        await backend.client.matches(login.session_token)


async def test_results_that_an_earlier_releases_worker_stores_are_shown_while_its_boards_are_there(
    backend: Backend, redis: Redis, store: asyncpg.Connection
) -> None:
    login = await backend.login()
    await drain(backend)  # the seasons are summed up
    assert (await backend.client.leaderboard(login.session_token)).total == 0  # and the boards built
    (board, *_) = keys.older_boards(SEASON)
    await redis.zadd(board, {str(login.player_id): 7})
    await store.execute(
        "INSERT INTO season_records (season, player_id, matches, wins, kills, stored_at)"
        " VALUES ($1, $2, 1, 0, 7, to_timestamp($3))",
        *(SEASON, login.player_id, backend.clock.wall()),
    )

    async def shown() -> bool:
        found = await backend.client.leaderboard(login.session_token)
        return lines(found) == [(1, login.player_id, 7)]

    async with working(backend.settings, backend.clock):
        await until(shown, "the worker looks for what others have stored")
    assert 0 < await redis.ttl(board) <= 3600


async def test_a_worker_goes_by_another_table_when_it_is_told_to(
    backend: Backend, redis: Redis, store: asyncpg.Connection
) -> None:
    login = await backend.login()
    await play(backend, [login], [5])
    stop, worker = (
        asyncio.Event(),
        WriteBehind(redis, backend.settings.store_url, "w", backend.clock, seasons=SEASONS),
    )
    working_task = asyncio.create_task(worker.run(stop))
    await drained(backend)
    worker.go_by(Seasons([season("other", "2000-01-01", "2100-01-01")]))

    async def summed_up() -> bool:
        return bool(await store.fetchval("SELECT 1 FROM season_records WHERE season = 'other'"))

    await until(summed_up, "the other season has the results")
    await play(backend, [login], [2])
    await drained(backend)
    stop.set()
    await working_task
    rows = await store.fetch("SELECT season, kills FROM season_records ORDER BY season")
    assert [tuple(row) for row in rows] == [("century", 5), ("other", 7)]
