"""Leaderboards: a sorted set a season and board, filled by the write-behind worker from the store's sums.

Players with one sum share a rank, and the next one's counts them all: 1, 1, 3. Among them, who reached the
sum first stands first (see `meta_service.cache.ranking`). Sums only grow, and a smaller one never replaces a
greater. So they may be published in any order and as often as one likes, a rebuild may run beside the worker
and gives the same order, and a lost cache costs one read of the season's table, and one that came back older
another (see `meta_service.cache.epoch`). The seasons are those of `launchday.seasons`, and a result belongs
to the one in which its match ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any, cast, get_args

import structlog
from redis.asyncio import Redis

from launchday.clock import Clock
from launchday.seasons import Seasons, shipped
from meta_service.cache import keys, ranking, scripts
from meta_service.cache.cache import Cache
from meta_service.cache.ranking import RankScale
from meta_service.domain.names import names_of
from meta_service.errors import RebuildingError, UnknownSeasonError
from meta_service.messages.base import PlayerId
from meta_service.messages.social import BoardName, Leaderboard, Standing
from meta_service.store.season_sums import RECORD_COLUMNS, SeasonRecord, windows_of
from meta_service.store.store import Store

BOARDS: tuple[BoardName, ...] = get_args(BoardName)

MAX_BUILD_ROWS = 5_000  # players a page of a rebuild: about 10 ms of the store's and 5 ms of the cache's time
BUILD_LOCK_S = 30  # a rebuild that takes longer is taken for dead, and another begins
LATE_RESULTS_S = 86_400.0  # after a season's end; then what the store has of it stays as it is
MAX_WAIT_S = 1.5  # how long a reader waits for another's rebuild
POLL_S = 0.02

log = structlog.get_logger()


def scale_of(seasons: Seasons, name: str) -> RankScale | None:
    """By what a season's boards measure time; None for one that the table does not have."""
    return next((RankScale(*season.window_s) for season in seasons.all if season.name == name), None)


async def publish(
    redis: Redis,
    records: Iterable[SeasonRecord],
    seasons: Seasons | None = None,
    otherwise: RankScale = ranking.UNKNOWN_SEASON,
) -> None:
    """Show players' sums on the boards; a sum below the one that is shown changes nothing.

    Args:
        redis: a client of the region's cache.
        records: the sums.
        seasons: the table by which times are measured; None: the shipped one.
        otherwise: by what those of a season are that it does not have.
    """
    pipeline = redis.pipeline(transaction=False)
    by_season = sorted(records, key=lambda record: record.season)
    for season, of_season in groupby(by_season, key=lambda record: record.season):
        rows = list(of_season)
        scale = scale_of(seasons or shipped(), season) or otherwise
        for name in BOARDS:
            values: dict[Any, float] = {
                ranking.member(row.player_id): scale.value(getattr(row, name), getattr(row, f"{name}_at"))
                for row in rows
            }
            pipeline.zadd(keys.board(season, name), values, lt=True)
    await pipeline.execute()


async def forget_boards(redis: Redis, seasons: Iterable[str]) -> None:
    """Drop the boards of seasons whose sums may have become smaller; their next reader fills them again."""
    for season in seasons:
        await redis.delete(keys.boards_built(season), *(keys.board(season, name) for name in BOARDS))


async def remove(redis: Redis, seasons: Iterable[str], player_id: int) -> None:
    """Take a player off all boards of these seasons; for one whose sums the store no longer has."""
    pipeline = redis.pipeline(transaction=False)
    for season in seasons:
        for name in BOARDS:
            pipeline.zrem(keys.board(season, name), ranking.member(player_id))
        for key in keys.older_boards(season):
            pipeline.zrem(key, str(player_id))
    await pipeline.execute()


class Leaderboards:
    """Reads boards, and rebuilds a season's from the store where the cache has lost them.

    Args:
        seasons: the table of seasons.
    """

    def __init__(self, cache: Cache, store: Store, clock: Clock, seasons: Seasons) -> None:
        self._seasons = seasons
        self._cache = cache
        self._redis = cache.redis
        self._clock = clock
        self._store = store
        self._read = cache.redis.register_script(scripts.source("board"))

    @property
    def seasons(self) -> Seasons:
        """The table in force."""
        return self._seasons

    async def go_by(self, seasons: Seasons) -> None:
        """Go by another table from now on; the boards of seasons whose time has changed are filled anew."""
        before = set(zip(*windows_of(self._seasons), strict=True))
        changed = set(zip(*windows_of(seasons), strict=True)) ^ before
        self._seasons = seasons
        await forget_boards(self._redis, sorted({name for name, _, _ in changed}))

    async def season(self, asked: str | None, wall: float) -> str:
        """The season whose boards are meant: the one asked for; without one that of the moment (Unix seconds)
        or, between two, the one that was over last.

        Raises UnknownSeasonError; StoreUnavailableError where only the store could know a season.
        """
        if asked is None:
            newest = self._seasons.newest(wall)
            if newest is None:
                raise UnknownSeasonError("no season has begun yet")
            return newest
        if (
            asked not in self._seasons
        ):  # of an earlier table, or a quarter, as seasons were before there was one
            statement = "SELECT 1 FROM season_records WHERE season = $1 LIMIT 1"
            if not await self._store.read(statement, asked):
                raise UnknownSeasonError(f"there is no season {asked}, and no results of one")
        return asked

    async def top(self, season: str, board: BoardName, offset: int, limit: int) -> Leaderboard:
        """The ``limit`` players after the best ``offset`` of a season's board.

        Raises StoreUnavailableError or RebuildingError while the board has to be rebuilt and cannot be.
        """
        await self._ensure_built(season)
        return await self._window(season, board, offset, limit)

    async def around(self, season: str, board: BoardName, player_id: int, neighbours: int) -> Leaderboard:
        """The player and up to ``neighbours`` others on each side; empty if the player is not on the board.

        Raises StoreUnavailableError or RebuildingError as ``top`` does.
        """
        await self._ensure_built(season)
        return await self._window(season, board, 0, 0, ranking.member(player_id), neighbours)

    async def _window(
        self, season: str, board: BoardName, offset: int, limit: int, around: str = "", neighbours: int = 0
    ) -> Leaderboard:
        total, place, rank, flat = await cast(
            Any,
            self._read(
                keys=[keys.board(season, board)],
                args=[offset, limit, around, neighbours, 1 << ranking.TIME_BITS],
            ),
        )
        ids = [int(member) for member in flat[::2]]
        scores = [ranking.score_of(float(value)) for value in flat[1::2]]
        names = await self._names(ids)
        standings: list[Standing] = []
        for player_id, score, name in zip(ids, scores, names, strict=True):
            place += 1
            if not standings:
                rank += 1  # players with a greater sum, and this one
            elif score < standings[-1].score:
                rank = place
            standings.append(Standing(rank, PlayerId(player_id), name, score))
        return Leaderboard(season, board, int(total), standings)

    async def _names(self, player_ids: Sequence[int]) -> list[str]:
        return await names_of(self._cache, self._store, player_ids)

    async def _ensure_built(self, season: str) -> None:
        built = keys.boards_built(season)
        if self._is_built(await self._cache.text(built)):
            return
        building, mine = keys.boards_build_lock(season), str(self._clock.uuid())
        if await self._redis.set(building, mine, nx=True, ex=BUILD_LOCK_S):
            try:
                epoch = self._cache.epoch  # of the beginning: the next one may begin meanwhile
                await self._build(season)
                await self._redis.set(built, epoch)
            finally:
                if await self._redis.get(building) == mine:
                    await self._redis.delete(building)
            return
        for _ in range(int(MAX_WAIT_S / POLL_S)):
            await self._clock.sleep(POLL_S)
            if self._is_built(await self._cache.text(built)):
                return
        raise RebuildingError(f"the leaderboards of {season} are being rebuilt: try again")

    def _is_settled(self, season: str) -> bool:
        """Whether no result of it can come any more."""
        ends_s = [each.window_s[1] for each in self._seasons.all if each.name == season]
        return self._clock.wall() > max(ends_s, default=0.0) + LATE_RESULTS_S

    def _is_built(self, epoch: str | None) -> bool:
        """Boards lie in the home partition, so its epoch is theirs."""
        return epoch is not None and int(epoch) >= self._cache.epoch

    async def _build(self, season: str) -> None:
        players, last = 0, 0
        read = self._store.read_settled if self._is_settled(season) else self._store.read
        otherwise = ranking.UNKNOWN_SEASON
        if season not in self._seasons:  # of an earlier table: as long as it was when it was summed up
            windows = await read(
                "SELECT extract(epoch FROM starts_at)::float8, extract(epoch FROM ends_at)::float8"
                " FROM season_windows WHERE season = $1",
                season,
            )
            otherwise = RankScale(*windows[0]) if windows else otherwise
        while True:
            rows = await read(
                f"SELECT {RECORD_COLUMNS} FROM season_records"
                " WHERE season = $1 AND player_id > $2 ORDER BY player_id LIMIT $3",
                *(season, last, MAX_BUILD_ROWS),
            )
            if not rows:
                break
            records = [SeasonRecord(*row) for row in rows]
            await publish(self._redis, records, self._seasons, otherwise)
            players, last = players + len(records), records[-1].player_id
        log.info("leaderboards built", season=season, players=players)
