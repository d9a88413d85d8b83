"""A restore, step by step, into engines that nobody uses.

The store's second transaction is what commits all of it: until then services do not start on it, and what was
there before is beside it. A restore that fails puts that back; one that is killed is done anew by the next
one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
from redis.asyncio import Redis

from launchday import folders
from launchday.cli.backups import cache_copy, lake_copy, manifest, store_copy
from launchday.cli.backups.manifest import BackupError
from launchday.cli.backups.saving import FLEET, LAKE, Progress
from launchday.clock import Clock
from launchday.errors import LaunchdayError
from launchday.seasons import Seasons, load
from launchday.settings import Settings
from meta_service.store import schema
from meta_service.store.apply import INVALID_CHANGE_ERRORS, apply
from meta_service.store.version import HEAD

BATCH = 1_000
SHOWN = 3


@dataclass(frozen=True, slots=True)
class Target:
    """Where a backup is brought back to.

    Attributes:
        settings: with the addresses of the engines, embedded ones too.
        caches: of all regions, the one of the settings first.
        replace: whether what is there may go.
        keep_waiting: whether the changes that wait in the caches that are emptied are stored, too.
    """

    settings: Settings
    caches: tuple[str, ...]
    replace: bool
    keep_waiting: bool


async def restore(
    backup: Path, target: Target, clock: Clock, progress: Progress, agreed: Callable[[str], bool]
) -> dict[str, Any]:
    """Bring a backup back; returns what was done.

    Args:
        backup: its folder.
        target: where to.
        clock: stamps what is ended.
        progress: is told each step.
        agreed: is asked before anything goes, with what goes.

    Raises BackupError; then everything is as it was.
    """
    content = manifest.read(backup)
    _refuse_newer(content)
    manifest.require_whole(backup, content)
    progress(f"{backup}: {len(content['files']):,} files, all as they were written {content['ended']}")
    settings = target.settings
    lake = settings.state_dir / LAKE
    async with AsyncExitStack() as opened:
        store = await opened.enter_async_context(store_copy.opened(settings.store_url))
        caches = [await opened.enter_async_context(cache_copy.opened(url)) for url in target.caches]
        state = await _look(store, caches, lake, clock, progress)
        there = await _what_is_there(state, caches, lake if content["analytics"] is not None else None)
        if there and not target.replace:
            raise BackupError(
                f"there is something already: {', '.join(there)}: give empty engines, or --replace it"
            )
        if there and not agreed(", ".join(there)):
            raise BackupError("nothing was restored")
        waiting = [*cache_copy.read_written(backup).waiting]
        if target.keep_waiting:
            waiting += [row for cache in caches for row in (await cache_copy.read(cache)).waiting]
        try:
            beside = None
            if content["analytics"] is not None:
                saved = manifest.names(content, manifest.ANALYTICS)
                beside = await asyncio.to_thread(lake_copy.prepare, backup / manifest.ANALYTICS, saved, lake)
                progress(f"analytics: {content['analytics']['files']:,} files")
            await store_copy.bring_back(
                settings.store_url,
                store._addr,
                backup / manifest.STORE,
                backup.name,
                move_aside=bool(state.names),
            )
            await asyncio.to_thread(schema.migrate, settings.store_url)
            store_copy.compare(await store_copy.counts(store), content["store"]["rows"])
            progress(f"store: {content['store']['rows']['accounts']:,} accounts")
            seasons = load(settings.seasons)
            async with store.transaction():
                refused = await _apply(store, waiting, clock.wall(), seasons)
                done = await store_copy.finish(store, clock.wall())
                if beside is not None:
                    lake_copy.put(beside, lake)
                if manifest.POLICIES in manifest.names(content):
                    _put_policies(backup, settings)
                # Last, for nothing brings back what was in them.
                cleared = sum([await cache_copy.clear(cache) for cache in caches])
                rejected = [row["changes"] for row in cache_copy.read_written(backup).rejected]
                await cache_copy.set_aside(caches[0], [*rejected, *refused])
        except BaseException as error:
            await _undo(settings.store_url, lake)
            if isinstance(error, Exception) and not isinstance(error, LaunchdayError):
                raise BackupError(f"nothing was restored: {' '.join(str(error).split())}") from error
            raise
    if (left := lake_copy.keep(lake)) is not None:
        progress(f"analytics: what was there before is in {left}")
    progress(
        f"cache: empty; {len(waiting):,} changes that waited are in the store, {len(refused):,} set aside"
    )
    return {
        "backup": str(backup),
        "of": content["ended"],
        "store": content["store"]["rows"],
        "schema": HEAD,
        "changes_applied": len(waiting) - len(refused),
        "changes_set_aside": len(rejected) + len(refused),
        "cache_keys_removed": cleared,
        "analytics_files": (content["analytics"] or {}).get("files", 0),
        **done,
        "bus": content["bus"],
    }


def _refuse_newer(content: dict[str, Any]) -> None:
    store, ours = content.get("store"), HEAD
    theirs = str(store.get("schema")) if isinstance(store, dict) else ""
    if _number(theirs) > _number(ours):
        raise BackupError(
            f"the backup's schema is {theirs} and this release knows it to {ours}: restore it with the "
            f"release that made it (pip install launchday=={content.get('launchday', '…')})"
        )


def _number(revision: str) -> int:
    digits = revision[1:5]
    return int(digits) if digits.isdigit() else 0


async def _look(
    store: asyncpg.Connection, caches: Sequence[Redis], lake: Path, clock: Clock, progress: Progress
) -> store_copy.StoreState:
    """See what is there; refuse where somebody uses it, and take back what a killed restore has left."""
    state = await store_copy.look(store)
    if state.others:
        shown = ", ".join(state.others[:SHOWN])
        raise BackupError(
            f"{len(state.others)} other connections use the store ({shown}): stop the services, and what "
            "else is connected to that database"
        )
    if any([await cache_copy.is_in_use(cache, clock) for cache in caches]):
        raise BackupError("a meta service uses the cache: stop the services")
    if lake_copy.is_in_use(lake):
        raise BackupError(f"a process writes to {lake}: stop analytics")
    if state.elsewhere:
        shown = ", ".join(state.elsewhere[:SHOWN])
        raise BackupError(f"the store has {shown} outside of its schema public: give a database of its own")
    if state.is_guarded:
        progress("a restore was cut short here before: what it had written goes first")
        lake_copy.take_back(lake)
        await store_copy.undo(store)
        state = await store_copy.look(store)
    else:
        lake_copy.settle(lake)
    return state


async def _what_is_there(
    state: store_copy.StoreState, caches: Sequence[Redis], lake: Path | None
) -> list[str]:
    """What a restore takes the place of, in words; empty where nothing is."""
    found = []
    if state.names:
        found.append(f"{len(state.names)} tables and routines in the store")
    for cache in caches:
        if await cache_copy.our_keys(cache, most=0):
            waiting = len((await cache_copy.read(cache)).waiting)
            found.append(f"a cache with keys of ours, {waiting:,} changes that wait for the store among them")
    if lake is not None and not lake_copy.is_empty(lake):
        found.append(f"the files of {lake}")
    return found


async def _apply(
    store: asyncpg.Connection, rows: Sequence[dict[str, Any]], now: float, seasons: Seasons
) -> list[dict[str, str]]:
    """Store what waited; returns what the store does not take, as fields of an entry that is set aside."""
    refused = []
    for begin in range(0, len(rows), BATCH):
        refused += await _apply_batch(store, rows[begin : begin + BATCH], now, seasons)
    return refused


async def _apply_batch(
    store: asyncpg.Connection, rows: Sequence[dict[str, Any]], now: float, seasons: Seasons
) -> list[dict[str, str]]:
    changes: dict[str, list[str]] = {}
    for row in rows:
        for kind, text in row["changes"].items():
            changes.setdefault(kind, []).append(text)
    try:
        await apply(store, changes, now, seasons)
    except INVALID_CHANGE_ERRORS as error:
        if len(rows) == 1:
            return [{"entry": rows[0]["entry"], "reason": str(error), **rows[0]["changes"]}]
        middle = len(rows) // 2
        first = await _apply_batch(store, rows[:middle], now, seasons)
        return first + await _apply_batch(store, rows[middle:], now, seasons)
    return []


def _put_policies(backup: Path, settings: Settings) -> None:
    """What operators had set for the fleet, unless this fleet has something else."""
    source, place = backup / manifest.POLICIES, settings.state_dir / FLEET / manifest.POLICIES
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        folders.write_whole(place, source.read_bytes(), manifest.FILE_MODE)


async def _undo(store_url: str, lake: Path) -> None:
    """Put back what was there, as far as the engines still answer; the next restore does the rest."""
    with contextlib.suppress(BackupError, OSError):
        async with store_copy.opened(store_url) as store:
            lake_copy.take_back(lake)
            await store_copy.undo(store)
