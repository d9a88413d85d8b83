"""What a cache has that the store has not: changes that wait for it, and those that it could not take.

All else in a cache is made from the store, or is worth nothing once play was cut off: a player is loaded at
the next touch, boards are filled from the sums of seasons, parties, tickets, leases and presence belong to
who plays right now. So no copy of the keys is taken, and a restored backend begins with an empty cache: a
state that heals by itself, of whichever server, version, cluster and number of partitions the cache is.

A stream is read page by page, while the workers go on. A change that is gone meanwhile is in the store,
which is saved later; what is set aside or sent again meanwhile is found in one of two looks at those set
aside.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from redis.asyncio import Redis
from redis.exceptions import RedisError

from launchday.cli.backups import manifest
from launchday.cli.backups.manifest import BackupError
from launchday.clock import Clock
from launchday.resilience.cache_client import each_primary
from launchday.resilience.store_address import without_secrets
from meta_service.cache import partitions
from meta_service.cache.cache import connect
from meta_service.cache.keys import ONE

PATTERNS = ("{meta*", "{mm*")  # of our keys; the shared time stays, whoever it is of
PAGE = 500
SCANNED = 1_000
BEAT_S = 1.2  # in which every meta service that runs has counted its cache's beat up
ANSWER_S = 10.0


@dataclass(frozen=True, slots=True)
class Saved:
    """Entries of a cache's streams, each with its changes as JSON texts by kind.

    Attributes:
        waiting: by the entry's id and its stream's name, oldest first.
        rejected: likewise; their fields also have ``entry`` and ``reason``.
    """

    waiting: tuple[dict[str, Any], ...]
    rejected: tuple[dict[str, Any], ...]


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Redis]:
    """A client of a cache; that it is away, or refuses, or has no address is a BackupError of one line."""
    try:
        cache = connect(url, answer_s=ANSWER_S)
    except ValueError as error:
        raise BackupError(f"{without_secrets(url)!r} is no cache: {error}") from error
    try:
        yield cache
    except (RedisError, ConnectionError) as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise BackupError(f"the cache at {without_secrets(url)} cannot be asked: {said}") from error
    finally:
        await cache.aclose()


async def read(cache: Redis) -> Saved:
    """Read what waits for the store, and what it could not take. Raises redis-py's errors."""
    keys = await partitions.in_use(cache)
    streams = [(each.stream, each.rejected) for each in keys.partitions]
    waiting: list[dict[str, Any]] = []
    rejected: dict[tuple[str, str], dict[str, Any]] = {}
    for stream, aside in streams:
        for look in (aside, stream, aside):
            async for entry, fields in _entries(cache, look):
                row = {"stream": look, "entry": entry, "changes": fields}
                if look == stream:
                    waiting.append(row)
                else:
                    rejected[look, entry] = row
    return Saved(tuple(waiting), tuple(rejected.values()))


async def _entries(cache: Redis, stream: str) -> AsyncIterator[tuple[str, dict[str, str]]]:
    after = "-"
    while page := await cast(Any, cache.xrange(stream, min=after, count=PAGE)):
        for entry, fields in page:
            yield entry, fields
        after = f"({page[-1][0]}"


def write(folder: Path, saved: Sequence[Saved]) -> dict[str, int]:
    """Write what was read of all caches; returns what the manifest says of it. Raises OSError."""
    found = {}
    for name, rows in (
        (manifest.CHANGES, [row for each in saved for row in each.waiting]),
        (manifest.REJECTED, [row for each in saved for row in each.rejected]),
    ):
        with manifest.create(folder / name) as file:
            for row in rows:
                file.write(json.dumps(row).encode() + b"\n")
        found[name] = len(rows)
    return {"caches": len(saved), "waiting": found[manifest.CHANGES], "rejected": found[manifest.REJECTED]}


def read_written(folder: Path) -> Saved:
    """What `write` wrote."""
    waiting, rejected = (
        tuple(json.loads(line) for line in (folder / name).read_text(encoding="utf-8").splitlines())
        for name in (manifest.CHANGES, manifest.REJECTED)
    )
    return Saved(waiting, rejected)


async def our_keys(cache: Redis, most: int) -> int:
    """How many keys of ours a cache has; it stops counting behind ``most``."""
    found = 0
    for primary in await each_primary(cache):
        for pattern in PATTERNS:
            async for _ in primary.scan_iter(match=pattern, count=SCANNED):
                found += 1
                if found > most:
                    return found
    return found


async def is_in_use(cache: Redis, clock: Clock) -> bool:
    """Whether a meta service counts the cache's beat up."""
    beat = ONE.home.beat  # the home partition's, which there is in every cache
    before = await cache.get(beat)
    if before is None:
        return False
    await clock.sleep(BEAT_S)
    return bool(await cache.get(beat) != before)


async def clear(cache: Redis) -> int:
    """Remove every key of ours, and no other's; returns how many. Raises redis-py's errors."""
    removed = 0
    for primary in await each_primary(cache):
        for pattern in PATTERNS:
            page: list[Any] = []
            async for key in primary.scan_iter(match=pattern, count=SCANNED):
                page.append(key)
                if len(page) == SCANNED:
                    removed += await _unlink(primary, page)
                    page = []
            removed += await _unlink(primary, page)
    return removed


async def set_aside(cache: Redis, rows: Sequence[Mapping[str, str]]) -> None:
    """Put changes that the store could not take where operators look for them. Raises redis-py's errors."""
    for fields in rows:
        await cache.xadd(ONE.home.rejected, cast(Any, dict(fields)))


async def _unlink(primary: Redis, page: Sequence[Any]) -> int:
    pipeline = primary.pipeline(transaction=False)  # a key each: those of a page lie in many slots
    for key in page:
        pipeline.unlink(key)
    return sum(await pipeline.execute()) if page else 0
