"""The meta service's HTTP API."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import structlog
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from redis import exceptions as redis_errors
from starlette.middleware import Middleware

from launchday.identity import SERVICE, InvalidTokenError, Signer
from launchday.problems import ProblemError
from launchday.service import create_app
from launchday.settings import Settings
from meta_service.cache import cache
from meta_service.context import Context
from meta_service.domain.credentials import Credentials
from meta_service.domain.friends import Friends
from meta_service.domain.history import History
from meta_service.domain.leaderboards import Leaderboards
from meta_service.domain.parties import Parties
from meta_service.domain.players import Players
from meta_service.domain.sessions import Sessions
from meta_service.domain.shop import Shop
from meta_service.errors import RebuildingError, RefusedError, StoreUnavailableError, WriteBehindFullError
from meta_service.metrics import MetricsCollector
from meta_service.rate_limit import AddressLimit, RateLimit
from meta_service.routes import lookup, money, parties, players, servers, sessions, social
from meta_service.store.store import Store

RETRY_AFTER = {"Retry-After": "1"}
REFUSAL_HEADERS = {401: {"WWW-Authenticate": "Bearer"}, 429: {"Retry-After": "60"}}
CACHE_UNAVAILABLE_ERRORS = (
    redis_errors.ConnectionError,
    redis_errors.TimeoutError,
    redis_errors.ReadOnlyError,
    redis_errors.OutOfMemoryError,
)

_log = structlog.get_logger()


def build(settings: Settings, clock: Callable[[], float] = time.time) -> FastAPI:
    """Build the application. It starts, and serves all but the unknown, while the store is away.

    Args:
        settings: reads the engines' addresses, ``region``, the secret, the tokens' lives and the limits.
        clock: Unix seconds; leases, fences and versions are made from it.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        regional = cache.Cache(cache.connect(settings.cache_url), settings.region, settings.writebehind_limit)
        players = Players(regional, Store(settings.store_url, time.monotonic))
        app.state.context = Context(
            players,
            Shop(players.store, regional),
            Parties(players),
            Friends(players),
            Leaderboards(regional.redis, players.store),
            History(players.store),
            Sessions(players, app.state.signer, settings.session_ttl_s, settings.refresh_ttl_s),
            Credentials(players.store, regional),
            RateLimit(settings.requests_per_player_s),
            app.state.signer,
            clock,
        )
        watched = Store(settings.store_url, time.monotonic)  # its own: looking must not hold requests up
        watch = asyncio.create_task(MetricsCollector(regional, watched, clock).run())
        try:
            yield
        finally:
            watch.cancel()
            await asyncio.wait([watch])
            await watched.close()
            await players.store.close()
            await players.cache.close()

    app = create_app("launchday meta service", settings, lifespan)
    limited = Middleware(  # appended: inside of the request ids, which are then on refusals too
        AddressLimit,
        per_s=settings.requests_per_address_s,
        clock=time.monotonic,
        exempt=lambda header: _is_service(app.state.signer, header, clock()),
    )
    app.user_middleware.append(limited)
    app.include_router(sessions.router)
    app.include_router(sessions.services)
    app.include_router(players.router)
    app.include_router(servers.router)
    app.include_router(lookup.router)
    app.include_router(money.router)
    app.include_router(money.services)
    app.include_router(parties.router)
    app.include_router(parties.services)
    app.include_router(social.router)
    app.include_router(social.services)
    app.add_exception_handler(RefusedError, _on_refused)
    app.add_exception_handler(StoreUnavailableError, _on_store_away)
    app.add_exception_handler(WriteBehindFullError, _on_full)
    app.add_exception_handler(RebuildingError, _on_rebuilding)
    for away in CACHE_UNAVAILABLE_ERRORS:
        app.add_exception_handler(away, _on_cache_away)
    return app


async def _on_refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RefusedError)
    return ProblemError(
        error.status, error.slug, str(error), headers=REFUSAL_HEADERS.get(error.status)
    ).response()


def _is_service(signer: Signer, header: bytes, now: float) -> bool:
    try:
        return SERVICE in signer.verify(header.decode("latin-1").removeprefix("Bearer "), now).roles
    except InvalidTokenError:
        return False


async def _on_store_away(_: Request, error: Exception) -> JSONResponse:
    _log.warning("store away", reason=str(error))
    return ProblemError(
        503, "store-away", "the global store does not answer: try again", headers=RETRY_AFTER
    ).response()


async def _on_full(_: Request, error: Exception) -> JSONResponse:
    _log.warning("write-behind full")
    return ProblemError(503, "writebehind-full", str(error), headers=RETRY_AFTER).response()


async def _on_rebuilding(_: Request, error: Exception) -> JSONResponse:
    return ProblemError(503, "rebuilding", str(error), headers=RETRY_AFTER).response()


async def _on_cache_away(_: Request, error: Exception) -> JSONResponse:
    _log.error("cache away", reason=repr(error))
    return ProblemError(
        503, "cache-away", "the cache does not answer: try again", headers=RETRY_AFTER
    ).response()
