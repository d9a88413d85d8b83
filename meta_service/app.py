"""The meta service's HTTP API."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from redis import exceptions as redis_errors
from redis.asyncio import Redis
from starlette.middleware import Middleware

from launchday.clock import Clock, SystemClock
from launchday.identity import SERVICE, InvalidTokenError, Signer
from launchday.problems import ProblemError
from launchday.rate_limit import RateLimit
from launchday.resilience import parts
from launchday.resilience.cache_errors import CACHE_AWAY, is_away
from launchday.resilience.clocks.shared_time import shared_time
from launchday.resilience.health import Part
from launchday.seasons import Seasons
from launchday.seasons import load as load_seasons
from launchday.service import create_app
from launchday.settings import Settings
from meta_service import admission
from meta_service.cache import partitions
from meta_service.cache.cache import Cache, connect
from meta_service.cache.epoch import EpochWatch
from meta_service.cache.keys import Keys
from meta_service.cache.partitions import PartitionsError
from meta_service.context import Context
from meta_service.domain.audit import Audit
from meta_service.domain.bans import Bans
from meta_service.domain.blocks import Blocks
from meta_service.domain.credentials import Credentials
from meta_service.domain.erasure import Erasures
from meta_service.domain.export import Exports
from meta_service.domain.friends import Friends
from meta_service.domain.hashing import Passwords, processes_of
from meta_service.domain.history import History
from meta_service.domain.kicks import MatchKicks
from meta_service.domain.leaderboards import Leaderboards
from meta_service.domain.logins import Logins
from meta_service.domain.names import Names
from meta_service.domain.parties import Parties
from meta_service.domain.party_changes import ChangedParties
from meta_service.domain.players import Players
from meta_service.domain.progress import ProgressReader
from meta_service.domain.revocations import RevokedTokens
from meta_service.domain.session_ends import EndedSessions
from meta_service.domain.sessions import Sessions
from meta_service.domain.shop import Shop
from meta_service.domain.wardrobe import Wardrobe
from meta_service.errors import (
    RebuildingError,
    RefusedError,
    SessionUnknownError,
    StoreLateError,
    StoreUnavailableError,
    WriteBehindFullError,
)
from meta_service.metrics import MetricsCollector
from meta_service.oidc.issuers import load as load_platforms
from meta_service.oidc.verifier import PlatformVerifier
from meta_service.rate_limit import BURST_S, AddressLimit
from meta_service.routes import ROUTERS
from meta_service.routes.message_route import describe
from meta_service.start_checks import read_seasons
from meta_service.store.errors import UNAVAILABLE_ERRORS
from meta_service.store.store import Store
from meta_service.store.version import schema_fault

RETRY_AFTER = {"Retry-After": "1"}
AT_ONCE = {"Retry-After": "0"}
REFUSAL_HEADERS = {401: {"WWW-Authenticate": "Bearer"}, 429: {"Retry-After": "60"}, 503: RETRY_AFTER}
CACHE_UNAVAILABLE_ERRORS = (*CACHE_AWAY, redis_errors.ResponseError)  # of the last those that say so

log = structlog.get_logger()


def build(settings: Settings, clock: Clock | None = None, seasons: Seasons | None = None) -> FastAPI:
    """Build the application. Without the store it starts, too, and serves the players whom the cache knows.

    Args:
        settings: reads the engines' addresses, ``region``, the secret, the tokens' lives and the limits.
        clock: the API's time and chance: leases, fences, versions and ids come from it. None: the machine's.
        seasons: the table of seasons; None: the one that the settings name.
    """
    time = clock or SystemClock()
    table = seasons or load_seasons(settings.seasons)
    platforms = load_platforms(settings.oidc)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        redis = connect(settings.cache_url)
        cache = Cache(
            redis,
            settings.region,
            settings.writebehind_limit,
            settings.player_cache_ttl_s,
            settings.session_ttl_s + settings.refresh_repeat_s,
            await _agreed_keys(redis, settings.cache_partitions),
        )
        store = Store(
            settings.store_url,
            time,
            answer_s=settings.store_answer_s,
            change_s=settings.store_change_s,
            connections=settings.store_connections,
            replica_url=settings.store_replica_url,
            replica_behind_s=settings.store_replica_behind_s,
        )
        wardrobe = Wardrobe(store, cache, time, settings.kinds, settings.catalogue_look_s)
        await wardrobe.begin()
        app.state.reloading.add("catalogue", wardrobe.read)
        players = Players(cache, store, time, wardrobe)
        blocks = Blocks(players)
        verifier = PlatformVerifier(platforms, time)
        parties = Parties(players, blocks, app.state.signer, time)
        passwords = Passwords(time, processes_of(settings.hashing_processes))
        shop = Shop(store, cache, time, wardrobe)
        leaderboards = Leaderboards(cache, store, time, table)

        async def read_rules() -> None:
            await leaderboards.go_by(await time.run_in_thread(read_seasons, settings.seasons))

        app.state.reloading.add("rules", read_rules)
        app.state.context = Context(
            players=players,
            shop=shop,
            parties=parties,
            party_changes=ChangedParties(cache.redis),
            blocks=blocks,
            friends=Friends(players, blocks),
            leaderboards=leaderboards,
            history=History(store),
            progress=ProgressReader(store, time),
            sessions=Sessions(
                players,
                app.state.signer,
                settings.session_ttl_s,
                settings.refresh_ttl_s,
                settings.refresh_repeat_s,
                time,
            ),
            ended_sessions=EndedSessions(cache),
            revoked_tokens=RevokedTokens(cache),
            bans=Bans(players),
            match_kicks=MatchKicks(cache, Audit(store)),
            audit=Audit(store),
            credentials=Credentials(store, cache, passwords),
            names=Names(players, settings.name_change_s),
            logins=Logins(players),
            platforms=verifier,
            exports=Exports(players),
            erasures=Erasures(players, parties.leave, time),
            player_limit=RateLimit(settings.requests_per_player_s, burst_s=BURST_S),
            signer=app.state.signer,
            settings=settings,
            clock=time,
        )
        collector = MetricsCollector(cache, store, time)
        epochs = EpochWatch(cache, store, time, _end)
        background = [
            asyncio.create_task(work) for work in (collector.run(), epochs.run(), shop.warm(), wardrobe.run())
        ]
        try:
            async with (
                parts.cache_part(settings.cache_url) as cache_answers,
                parts.store_part(settings.store_url) as store_answers,
                shared_time(cache.redis, time),
            ):
                app.state.health.add(cache_answers, store_answers, _schema_part(settings.store_url))
                yield
        finally:
            collector.stop()
            for task in background:
                task.cancel()
            await asyncio.wait(background)
            await passwords.close()
            await verifier.close()
            await store.close()
            await cache.close()

    app = create_app(
        "launchday meta service",
        settings,
        lifespan,
        clock=time,
        admission=admission.classes(settings),
        keys="meta",
    )
    limited = Middleware(  # appended: inside of the request ids, which are then on refusals too
        AddressLimit,
        per_s=settings.requests_per_address_s,
        clock=time,
        exempt=lambda header: _is_service(app.state.signer, header, time),
    )
    app.user_middleware.append(limited)
    for router in ROUTERS:
        app.include_router(router)
    describe(app)
    app.add_exception_handler(RefusedError, _on_refused)
    app.add_exception_handler(StoreUnavailableError, _on_store_unavailable)
    app.add_exception_handler(WriteBehindFullError, _on_full)
    app.add_exception_handler(RebuildingError, _on_rebuilding)
    app.add_exception_handler(SessionUnknownError, _on_session_unknown)
    for error in CACHE_UNAVAILABLE_ERRORS:
        app.add_exception_handler(error, _on_cache_unavailable)
    return app


async def _agreed_keys(redis: Redis, wanted: int) -> Keys:
    """The cache's keys; while it is away, what they are to be: `EpochWatch` finds out whether they are."""
    try:
        return await partitions.agree(redis, wanted)
    except (redis_errors.RedisError, OSError) as away:
        log.warning("the cache does not answer yet: its partitions are not known", reason=repr(away))
        return Keys(wanted or partitions.default(redis))


def _end(_: PartitionsError) -> None:
    """End this process in order; at the next start it goes by the cache's number, or is refused."""
    signal.raise_signal(signal.SIGTERM)


def _schema_part(store_url: str) -> Part:
    """Whether the store's schema is new enough; asked until it is, for a schema does not grow older."""
    fits = False

    async def check() -> str | None:
        nonlocal fits
        fault = None
        if not fits:
            try:
                fault = await schema_fault(store_url)
            except UNAVAILABLE_ERRORS:
                return None  # the part "store" says so
            fits = fault is None
        return fault

    return Part("schema", check, needed=True)


def _is_service(signer: Signer, header: bytes, clock: Clock) -> bool:
    try:
        token = header.decode("latin-1").removeprefix("Bearer ")
        return SERVICE in signer.verify(token, signer.time(clock)).roles
    except InvalidTokenError:
        return False


async def _on_refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RefusedError)
    return ProblemError(
        error.status, error.slug, str(error), headers=REFUSAL_HEADERS.get(error.status), **error.members
    ).response()


async def _on_store_unavailable(_: Request, error: Exception) -> JSONResponse:
    log.warning("store unavailable", reason=str(error))
    late = isinstance(error, StoreLateError)
    return _try_again("store-unavailable", "the global store does not answer: try again", at_once=late)


async def _on_full(_: Request, error: Exception) -> JSONResponse:
    log.warning("write-behind full")
    return _try_again("writebehind-full", str(error))


async def _on_rebuilding(_: Request, error: Exception) -> JSONResponse:
    return _try_again("rebuilding", str(error))


async def _on_session_unknown(_: Request, error: Exception) -> JSONResponse:
    return _try_again("session-unknown", str(error))


async def _on_cache_unavailable(_: Request, error: Exception) -> JSONResponse:
    if not is_away(error):
        raise error
    log.error("cache unavailable", reason=repr(error))
    late = isinstance(error, redis_errors.TimeoutError)
    return _try_again("cache-unavailable", "the cache does not answer: try again", at_once=late)


def _try_again(slug: str, detail: str, *, at_once: bool = False) -> JSONResponse:
    """503; ``at_once``: it was one connection that died, and the next one may be well."""
    return ProblemError(503, slug, detail, headers=AT_ONCE if at_once else RETRY_AFTER).response()
