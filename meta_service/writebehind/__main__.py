"""``python -m meta_service.writebehind``: run one write-behind worker."""

from __future__ import annotations

import argparse
import asyncio
import signal
import socket
import sys

import structlog
import uvloop
from redis.asyncio import Redis
from redis.exceptions import RedisError

from launchday import startup
from launchday.clock import Clock, SystemClock
from launchday.resilience import day_partitions, parts
from launchday.resilience.clocks.shared_time import shared_time
from launchday.resilience.day_partitions import DayTable
from launchday.resilience.health import begin_stop, operations
from launchday.resilience.reloading import Reloading
from launchday.resilience.start_checks import check_cache
from launchday.resilience.store_checks import check_store
from launchday.seasons import Seasons
from launchday.settings import Settings, settings
from launchday.telemetry import configure
from meta_service.cache import partitions
from meta_service.cache.cache import connect
from meta_service.cache.keys import Keys
from meta_service.cache.partitions import PartitionsError
from meta_service.start_checks import check_partitions, check_schema, check_seasons, read_seasons
from meta_service.store.idempotency_days import idempotency
from meta_service.writebehind.worker import WriteBehind

RETRY_S = 0.5  # until the cache answers for the first time

log = structlog.get_logger()


async def serve(own: Settings, name: str, seasons: Seasons) -> None:
    """Work until SIGTERM or SIGINT; the batch under way is finished first."""
    stop = asyncio.Event()

    def leave() -> None:
        begin_stop()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, leave)
    clock = SystemClock()

    async def keys_of_purchases() -> list[DayTable]:
        return [idempotency(own.idempotency_days)]

    redis = connect(own.cache_url)
    try:
        log.info("write-behind started", worker=name)
        async with (
            parts.cache_part(own.cache_url) as cache,
            parts.store_part(own.store_url) as store,
            shared_time(redis, clock),
            operations(own, own.writebehind_port, (cache, store), clock),
        ):
            keys = await _agree(redis, own.cache_partitions, clock, stop)
            if keys is None:
                return
            worker = WriteBehind(
                redis, own.store_url, name, clock, own.region, own.player_cache_ttl_s, seasons, keys
            )

            async def read_again() -> None:
                worker.go_by(await clock.run_in_thread(read_seasons, own.seasons))

            reloading = Reloading()
            reloading.add("rules", read_again)
            beside = [
                asyncio.create_task(reloading.run(), name="SIGHUP"),
                asyncio.create_task(
                    day_partitions.run(own.store_itself, keys_of_purchases, clock),
                    name="keep idempotency keys",
                ),
            ]
            try:
                await worker.run(stop)
            finally:
                for task in beside:
                    task.cancel()
                await asyncio.wait(beside)
    finally:
        await redis.aclose()


async def _agree(redis: Redis, wanted: int, clock: Clock, stop: asyncio.Event) -> Keys | None:
    """The cache's keys, once it answers; None: stopped before that."""
    while not stop.is_set():
        try:
            return await partitions.agree(redis, wanted)
        except PartitionsError as other:
            sys.exit(f"error: {other}")
        except (RedisError, OSError) as away:
            log.warning("write-behind waits for the cache", reason=repr(away), retry_in_s=RETRY_S)
            await clock.sleep(RETRY_S)
    return None


def main() -> None:
    """Run one worker; several may run, each with a name of its own."""
    parser = argparse.ArgumentParser(
        prog="python -m meta_service.writebehind",
        description="Carry accepted changes from the cache to the store until SIGTERM or SIGINT.",
    )
    parser.add_argument(
        "--name",
        default=socket.gethostname(),
        help="the worker's name, kept over restarts (default: the host's)",
    )
    arguments = parser.parse_args()
    own = settings()
    configure("writebehind", own)
    seasons = check_seasons(own.seasons)
    check_cache(own.cache_url)
    check_store(own, SystemClock().wall())
    check_partitions(own.cache_url, own.cache_partitions)
    check_schema(own.store_url)
    uvloop.run(serve(own, arguments.name, seasons))


if __name__ == "__main__":
    startup.prepare()
    main()
