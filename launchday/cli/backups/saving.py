"""A backup, step by step, of a backend that runs."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import hashlib
import os
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

import launchday
from launchday.cli.backups import bus_positions, cache_copy, lake_copy, manifest, store_copy
from launchday.cli.backups.bus_positions import End, Place
from launchday.clock import Clock
from launchday.resilience.bus import Bus
from launchday.settings import Settings, SettingsError, env_name
from rewards.app import CONSUMER_NAME
from rewards.errors import BusUnavailableError

POLL_S = 0.2
LAKE, FLEET = "analytics", "fleet"
# Files that settings name: they are a studio's own, under its version control; the backup knows their
# digests.
FILES = ("rules", "seasons", "rule_sets", "oidc", "fleet_policy")
SECRETS = ("identity_keys", "identity_secret", "fleet_key")
_OFFSETS = "SELECT topic, partition, next_offset FROM consumer_offsets WHERE consumer = $1"

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Source:
    """What is saved.

    Attributes:
        settings: with the addresses of the engines, embedded ones too.
        caches: of all regions, the one of the settings first.
        wait_s: how long to wait for what reads the bus.
    """

    settings: Settings
    caches: tuple[str, ...]
    wait_s: float


async def save(source: Source, target: Path, clock: Clock, progress: Progress) -> dict[str, Any]:
    """Make a backup; returns its manifest. Raises BackupError, and then there is none."""
    settings = source.settings
    lake = settings.state_dir / LAKE
    with manifest.new_folder(target) as (folder, was_cut_short):
        if was_cut_short:
            progress(f"a backup to {target} was cut short before: it is gone")
        began_at = clock.wall()
        async with AsyncExitStack() as opened:
            caches = [await opened.enter_async_context(cache_copy.opened(url)) for url in source.caches]
            saved = [await cache_copy.read(cache) for cache in caches]
        cache = cache_copy.write(folder, saved)
        progress(f"cache: {cache['waiting']:,} changes that wait, {cache['rejected']:,} set aside")
        bus = await _Bus.asked(settings, clock)
        await bus.wait(settings, lake, source.wait_s, clock, progress)
        store = await store_copy.save(settings.store_url, folder)
        progress(f"store: {store['rows']['accounts']:,} accounts, schema {store['schema']}")
        analytics = await asyncio.to_thread(lake_copy.save, lake, folder / manifest.ANALYTICS)
        progress(
            f"analytics: nothing in {lake}"
            if analytics is None
            else f"analytics: {analytics['files']:,} files"
        )
        policies = _copy_policies(settings, folder)
        return manifest.write_manifest(
            folder,
            {
                "launchday": launchday.__version__,
                "began": _iso(began_at),
                "ended": _iso(clock.wall()),
                "region": settings.region,
                "store": store,
                "cache": cache,
                "analytics": analytics,
                "policies": policies,
                "bus": await bus.said(settings, store, clock),
                "not_saved": _not_saved(settings),
            },
        )


class _Bus:
    """The bus while a backup is made.

    Args:
        ends: where its topics ended after the caches were read.
        why: they are not known; empty where they are.
    """

    def __init__(self, ends: Mapping[Place, End], why: str) -> None:
        self._ends = ends
        self._why = why

    @classmethod
    async def asked(cls, settings: Settings, clock: Clock) -> _Bus:
        """Ask the bus of the settings; that it is away is no reason to save nothing."""
        if not settings.kafka_bootstrap:
            return cls({}, f"no broker runs here, and {env_name('kafka_bootstrap')} is not set")
        try:
            return cls(await bus_positions.ends(Bus.of(settings, clock), settings.topic_prefix), "")
        except (BusUnavailableError, SettingsError) as error:
            return cls({}, str(error))

    async def wait(
        self, settings: Settings, lake: Path, wait_s: float, clock: Clock, progress: Progress
    ) -> None:
        """Wait until rewards and analytics have read what the bus had."""
        if self._why:
            progress(f"bus: not asked: {self._why}")
            return
        prefix = settings.topic_prefix
        rewards, analytics = bus_positions.of_rewards(prefix), bus_positions.of_analytics(prefix)
        until = clock.monotonic() + wait_s
        async with store_copy.opened(settings.store_url) as connection:
            while True:
                try:
                    rows = await connection.fetch(_OFFSETS, CONSUMER_NAME)
                except asyncpg.UndefinedTableError:
                    raise store_copy.no_schema() from None
                read = {(row["topic"], row["partition"]): row["next_offset"] for row in rows}
                left = bus_positions.unread(self._ends, read, rewards)
                of_lake = lake_copy.offsets(lake)
                behind = 0 if of_lake is None else bus_positions.unread(self._ends, of_lake, analytics)
                if (not left and not behind) or clock.monotonic() >= until:
                    break
                await clock.sleep(POLL_S)
        progress(
            f"bus: {left:,} records that rewards has not applied, {behind:,} that analytics has not written"
        )

    async def said(self, settings: Settings, store: Mapping[str, Any], clock: Clock) -> dict[str, Any]:
        """What the manifest says of the bus: positions, and what is in it alone."""
        if self._why:
            return {"not_asked": self._why}
        read = {
            (row["topic"], row["partition"]): row["next_offset"]
            for row in store["offsets"]
            if row["consumer"] == CONSUMER_NAME
        }
        prefix, ends = settings.topic_prefix, self._ends
        with contextlib.suppress(BusUnavailableError):
            ends = await bus_positions.ends(Bus.of(settings, clock), prefix)
        names = bus_positions.of_rewards(prefix)
        return {
            "topics": bus_positions.as_rows(ends, read),
            "older_than_backup_unread": bus_positions.unread(self._ends, read, names),
            "unread": bus_positions.unread(ends, read, names),
        }


def _copy_policies(settings: Settings, folder: Path) -> bool:
    source = settings.state_dir / FLEET / manifest.POLICIES
    try:
        manifest.copy(source, folder / manifest.POLICIES)
    except FileNotFoundError:
        return False
    return True


def _not_saved(settings: Settings) -> dict[str, Any]:
    """What a restored backend needs besides: files that settings name, and which secrets are set."""
    files = {}
    for name in FILES:
        if given := str(getattr(settings, name, "") or ""):
            with contextlib.suppress(OSError):
                if os.path.isfile(given):
                    files[env_name(name)] = {
                        "path": given,
                        "sha256": hashlib.sha256(Path(given).read_bytes()).hexdigest(),
                    }
    spool = settings.state_dir / "spool"
    return {
        "files": files,
        "secrets": [env_name(name) for name in SECRETS if _is_set(getattr(settings, name))],
        "spooled_files": sum(path.is_file() for path in spool.rglob("*")) if spool.is_dir() else 0,
    }


def _is_set(value: Any) -> bool:
    return bool(value.get_secret_value() if hasattr(value, "get_secret_value") else value)


def _iso(at: float) -> str:
    return datetime.datetime.fromtimestamp(at, datetime.UTC).isoformat(timespec="milliseconds")
