"""The tickets API, put together: routes, the direct routes before them, and what runs beside them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from fastapi import FastAPI, Request, Response
from redis.exceptions import RedisError

from dedicated_server.fleet.client import mutual_tls
from launchday import service as http_service
from launchday.clock import Clock
from launchday.identity import Signer
from launchday.resilience.clocks.shared_time import shared_time
from launchday.resilience.parts import cache_part, http_part
from launchday.settings import Settings
from matchmaker.api import admission, backfill_routes, routes
from matchmaker.api.attendance import Attendance
from matchmaker.api.direct_routes import DirectRoutes
from matchmaker.api.notifier import Notifier
from matchmaker.api.party_changes import PartyChangeFollower, PartyChangeSource
from matchmaker.api.party_claims import ClaimReader
from matchmaker.api.revocations import RevocationFollower, RevocationSource, RevokedTokens
from matchmaker.api.schema import describe
from matchmaker.api.service import TicketService, unavailable_problem
from matchmaker.api.session_ends import SessionEndFollower, SessionEndSource
from matchmaker.api.skills import MetaSkills, Skills
from matchmaker.api.ticket_writer import TicketWriter
from matchmaker.errors import SkillsUnavailableError
from matchmaker.queue.cache import open_cache
from matchmaker.queue.scripts import Scripts
from matchmaker.queue.ticket_store import TicketStore
from matchmaker.rules.modes import load_modes
from meta_service.client import MetaClient

SERVICE_TOKEN_TTL_S = 30 * 24 * 3600.0  # signed anew at half of it

log = structlog.get_logger()


def create_api(
    settings: Settings,
    clock: Clock,
    skills: Skills | None = None,
    session_ends: SessionEndSource | None = None,
    party_changes: PartyChangeSource | None = None,
    revocations: RevocationSource | None = None,
) -> FastAPI:
    """Build the API.

    Args:
        settings: all settings.
        clock: time, chance and ids.
        skills: where players' skills come from; None: the meta service.
        session_ends: who says which sessions have ended; None: the meta service, or nobody where ``skills``
            is a stand-in for it.
        party_changes: who says which parties have changed; None: as for ``session_ends``.
        revocations: who says which tokens open nothing any more; None: as for ``session_ends``.

    Raises:
        RuleSetsError: the operator's rule sets cannot be used.
    """
    modes = load_modes(settings)
    for name, mode in modes.items():
        said, seats = settings.party_size_of(name), mode.rules.team_size
        if said is not None and said != seats:
            log.warning("LAUNCHDAY_PARTY_SIZES differs from the rules", mode=name, said=said, seats=seats)
    fleet_tls = mutual_tls(settings.fleet_ca, settings.fleet_certificate, settings.fleet_certificate_key)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with (
            open_cache(settings.cache_url) as cache,
            MetaClient(settings.meta_url, token, clock=clock) as meta,
            cache_part(settings.cache_url) as cache_answers,
            shared_time(cache, clock),
        ):
            app.state.health.add(
                cache_answers,
                http_part("meta service", settings.meta_url),
                http_part("fleet", settings.fleet_url, tls=fleet_tls),
            )
            scripts = Scripts(cache, settings.ticket_retention_s, clock)
            games = {name: mode.rules.game_mode for name, mode in modes.items()}
            blocks_in = {name for name, mode in modes.items() if mode.attributes.read_blocks}
            source_of_skills = skills or MetaSkills(meta)
            writer = TicketWriter(scripts, source_of_skills, settings.region_names, games, blocks_in)
            notifier = Notifier(cache, clock)
            store = TicketStore(cache, scripts, watched=settings.ticket_liveness_s > 0)
            attendance = Attendance(scripts, store, notifier, list(modes), settings.ticket_liveness_s, clock)
            claims = ClaimReader(signer, clock)
            tickets = TicketService(
                settings, modes, scripts, store, writer, notifier, attendance, claims, clock
            )
            app.state.matchmaker = tickets
            direct.service = tickets
            # Should one of them fail all the same, waiting players still look at their tickets when their
            # wait is over.
            tasks = [asyncio.create_task(notifier.run()), asyncio.create_task(attendance.run())]
            following: RevocationFollower | None = None
            revocation_source = revocations or (meta if skills is None else None)
            if revocation_source is not None:
                following = RevocationFollower(revoked, revocation_source, clock)
                tasks.append(asyncio.create_task(following.run()))
            source = session_ends or (meta if skills is None else None)
            if source is not None:
                follower = SessionEndFollower(cache, scripts, source, clock, following)
                tasks.append(asyncio.create_task(follower.run()))
            parties = party_changes or (meta if skills is None else None)
            if parties is not None:
                changes = PartyChangeFollower(cache, scripts, parties, clock)
                tasks.append(asyncio.create_task(changes.run()))
            for task in tasks:
                task.add_done_callback(_report_failure)
            try:
                yield
            finally:
                await writer.drain()
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                with contextlib.suppress(RedisError):  # then others wait a minute for this process
                    await attendance.leave()

    app = http_service.create_app(
        "Matchmaker", settings, lifespan, admission=admission.CLASSES, keys="matchmaker"
    )
    signer: Signer = app.state.signer
    token = signer.service_tokens("matchmaker", clock, SERVICE_TOKEN_TTL_S)
    app.include_router(routes.router)
    app.include_router(backfill_routes.router)
    describe(app, (*routes.MESSAGES, *backfill_routes.MESSAGES))
    revoked = app.state.revoked = RevokedTokens(clock)
    direct = app.state.direct = DirectRoutes(app.state.signer, revoked, clock)
    app.add_exception_handler(RedisError, _on_unavailable)
    app.add_exception_handler(SkillsUnavailableError, _on_unavailable)
    return app


async def _on_unavailable(_: Request, error: Exception) -> Response:
    return unavailable_problem(error).response()


def _report_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("a background task failed", task=task.get_name(), exc_info=error)
