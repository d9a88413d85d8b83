from __future__ import annotations

import asyncio

import asyncpg
import pytest
from redis.asyncio import Redis

from launchday.clock import SystemClock
from meta_service.cache import keys
from meta_service.cache.cache import Cache
from meta_service.client import Leaderboard, MetaUnavailableError, Session
from meta_service.domain.leaderboards import Leaderboards, publish, season_of
from meta_service.store import apply as applying
from meta_service.store.apply import SeasonRecord, apply
from meta_service.store.store import Store
from tests.meta_service.conftest import Backend, drain, new_match, result
from tests.meta_service.domain.test_accounts import NOBODY
from tests.meta_service.domain.test_parties import refused
from tests.meta_service.writebehind.test_worker import MATCH, NOW_S, commit

SEASON = "2026-q4"


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


@pytest.mark.parametrize(
    ("now", "season"), [(0, "1970-q1"), (1_790_812_799, "2026-q3"), (1_790_812_800, "2026-q4")]
)
def test_a_season_is_a_quarter_of_the_year(now: float, season: str) -> None:
    assert season_of(now) == season


async def test_committed_results_are_on_the_seasons_boards(backend: Backend) -> None:
    one, two, three = logins = await backend.logins(3)
    await play(backend, logins, [5, 9, 1])
    await play(backend, [two, one, three], [2, 4, 0])
    await drain(backend)
    ids = [login.player_id for login in logins]
    kills = await backend.client.leaderboard(one.session_token, "kills")
    assert kills.total == 3
    assert kills.season == season_of(backend.clock.now())
    assert lines(kills) == [(1, ids[1], 11), (2, ids[0], 9), (3, ids[2], 1)]
    assert kills.standings[0].display_name.startswith("Player ")
    wins = await backend.client.leaderboard(one.session_token, "wins")
    assert {line.player_id: line.score for line in wins.standings} == {ids[0]: 1, ids[1]: 1, ids[2]: 0}
    page = await backend.client.leaderboard(one.session_token, "kills", offset=1, limit=1)
    assert lines(page) == [(2, ids[0], 9)]
    earlier = await backend.client.leaderboard(one.session_token, "kills", season="2020-q1")
    assert (earlier.total, earlier.standings) == (0, [])


async def test_a_player_sees_the_neighbours(backend: Backend, redis: Redis) -> None:
    login, stranger = await backend.logins(2)
    season = season_of(backend.clock.now())
    await backend.client.leaderboard(login.session_token)
    rows = [SeasonRecord(season, number, 1, 0, 100 - number) for number in range(1, 21)]
    await publish(redis, [*rows, SeasonRecord(season, login.player_id, 1, 0, 90)])
    board = await backend.client.leaderboard_around_me(login.session_token, "kills", neighbours=2)
    assert [line[0] for line in lines(board)] in ([8, 9, 10, 11, 12], [9, 10, 11, 12, 13])
    assert (board.total, lines(board)[2][1]) == (21, login.player_id)
    none = await backend.client.leaderboard_around_me(stranger.session_token, "kills")
    assert (none.total, none.standings) == (21, [])


async def test_an_unknown_board_or_season_is_refused(backend: Backend) -> None:
    login = await backend.login()
    with refused("invalid-request"):
        await backend.client.leaderboard(login.session_token, "dances")  # type: ignore[arg-type]
    with refused("invalid-request"):
        await backend.client.leaderboard(login.session_token, "kills", season="2026-q5")


async def test_a_result_counts_once_however_often_it_is_applied(store: asyncpg.Connection) -> None:
    change = {"commit": [commit(MATCH, (7, 1000, 1500)), commit(MATCH, (8, 1000, 1500))]}
    first = await apply(store, change, NOW_S)
    again = await apply(store, change, NOW_S)
    assert first.records == again.records  # a worker killed before it showed them shows them the second time
    rows = await store.fetch("SELECT season, player_id, matches, wins, kills FROM season_records ORDER BY 2")
    assert [tuple(row) for row in rows] == [("1970-q1", 7, 1, 1, 3), ("1970-q1", 8, 1, 1, 3)]


async def test_a_refused_result_is_on_no_board(store: asyncpg.Connection) -> None:
    await store.execute("INSERT INTO match_history (player_id, fence, match_id) VALUES (7, 1200, $1)", MATCH)
    applied = await apply(store, {"commit": [commit(MATCH, (7, 1000, 1500))]}, NOW_S)
    assert applied == applying.ApplyResult(1, ())


async def test_an_older_sum_does_not_replace_a_newer_one(redis: Redis) -> None:
    await publish(redis, [SeasonRecord(SEASON, 7, 2, 1, 9)])
    await publish(redis, [SeasonRecord(SEASON, 7, 1, 1, 4)])
    assert await redis.zscore(keys.board(SEASON, "kills"), "7") == 9


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
    boards = Leaderboards(Cache(redis), own, SystemClock())
    answers = await asyncio.gather(*(boards.top(SEASON, "kills", 0, 1) for _ in range(50)))
    assert {(answer.total, answer.standings[0].player_id) for answer in answers} == {(2500, 2500)}
    assert len(reads) == 4  # three pages and the empty one
    await own.close()


async def test_a_board_that_cannot_be_rebuilt_is_told_to_try_again(redis: Redis) -> None:
    boards = Leaderboards(Cache(redis), Store(NOBODY, SystemClock()), SystemClock())
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
