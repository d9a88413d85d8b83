"""What a process of the meta service asks before it starts: whether the store's schema is new enough, and the
catalogue and the table of seasons make sense, and the cache has as many partitions as are set.

On an older one it would answer 500 request by request, and the worker would wait for ever. A store that does
not answer is no reason to stay down: the service starts without it, and ``/readyz`` says so.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable

import structlog
from redis.exceptions import RedisError

from dedicated_server.cards import CardError, cards_in_force
from launchday.resilience import store_address
from launchday.resilience.reloading import ReloadRefusedError
from launchday.seasons import Seasons, SeasonsError, load
from meta_service.cache import partitions
from meta_service.cache.cache import connect
from meta_service.cache.partitions import PartitionsError
from meta_service.oidc.issuers import PlatformsError
from meta_service.oidc.issuers import load as load_platforms
from meta_service.store import catalogue
from meta_service.store.catalogue import CatalogueError
from meta_service.store.errors import UNAVAILABLE_ERRORS
from meta_service.store.version import schema_fault

CHECK_S = 5.0  # for each question to the store

log = structlog.get_logger()


def check_schema(store_url: str) -> None:
    """End this process with one line where the store's schema is older than the code.

    Call it in ``__main__``, before the service's event loop.

    Args:
        store_url: postgresql://… address.

    Raises:
        SystemExit: with the line to type.
    """
    try:
        fault = asyncio.run(schema_fault(store_url))
    except UNAVAILABLE_ERRORS as away:
        log.warning("the store does not answer yet: its schema is not checked", reason=repr(away))
        return
    if fault is not None:
        sys.exit(f"error: {fault}")


def check_partitions(cache_url: str, wanted: int) -> None:
    """End this process with one line where the cache was begun with another number of partitions than is set.

    A cache that is away refuses nothing: whoever finds out later ends then.

    Args:
        cache_url: of the region's cache.
        wanted: the setting ``cache_partitions``.

    Raises:
        SystemExit: with the line to type.
    """
    try:
        asyncio.run(_check_partitions(cache_url, wanted))
    except PartitionsError as other:
        sys.exit(f"error: {other}")
    except (RedisError, OSError, ValueError) as away:  # ValueError: no address at all
        log.warning("the cache does not answer yet: its partitions are not known", reason=str(away))


async def _check_partitions(cache_url: str, wanted: int) -> None:
    async with connect(cache_url) as redis:
        await partitions.agree(redis, wanted)


def check_catalogue(store_url: str, kinds: Iterable[str]) -> None:
    """End this process with a line for each mistake where the store's catalogue makes no sense.

    Args:
        store_url: postgresql://… address.
        kinds: of items that there may be.

    Raises:
        SystemExit: with the lines.
    """
    try:
        asyncio.run(_check_catalogue(store_url, kinds))
    except UNAVAILABLE_ERRORS as away:
        log.warning("the store does not answer yet: its catalogue is not checked", reason=repr(away))
    except CatalogueError as error:
        sys.exit("\n".join(f"error: catalogue: {mistake}" for mistake in error.mistakes))


async def _check_catalogue(store_url: str, kinds: Iterable[str]) -> None:
    connection = await store_address.connect(store_url, timeout_s=CHECK_S, command_timeout=CHECK_S)
    try:
        catalogue.check(await catalogue.stored(connection), kinds)
    finally:
        connection.terminate()


def check_modes(modes: str) -> None:
    """End the process where the folders of modes cannot be used, with a line for each mistake."""
    try:
        cards_in_force(modes)
    except CardError as error:
        raise SystemExit(str(error)) from error


def check_seasons(path: str) -> Seasons:
    """Return the table of seasons; end this process with a line for each mistake where it cannot be used.

    Args:
        path: of the table; empty: the shipped one.

    Raises:
        SystemExit: with the lines.
    """
    try:
        return load(path)
    except SeasonsError as error:
        sys.exit("\n".join(f"error: {line}" for line in str(error).splitlines()))


def read_seasons(path: str) -> Seasons:
    """Return the table of seasons for a process that reads it again.

    Args:
        path: of the table; empty: the shipped one.

    Raises:
        ReloadRefusedError: with a line for each mistake.
    """
    try:
        return load(path)
    except SeasonsError as error:
        raise ReloadRefusedError(str(error).splitlines()) from error


def check_platforms(path: str) -> None:
    """End this process with a line for each mistake where the file of platforms cannot be used.

    Args:
        path: of the file; empty: there are none.

    Raises:
        SystemExit: with the lines.
    """
    try:
        load_platforms(path)
    except PlatformsError as error:
        sys.exit("\n".join(f"error: {line}" for line in str(error).splitlines()))
