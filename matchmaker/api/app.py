"""The tickets API: create, read, cancel, and wait by long poll or server-sent events."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any
from uuid import UUID

import structlog
from fastapi import APIRouter, FastAPI, Query, Request, Response
from fastapi.responses import StreamingResponse
from redis.exceptions import RedisError

from launchday import service
from launchday.identity import Signer
from launchday.problems import ProblemError
from launchday.rate_limit import RateLimit
from launchday.service import PlayerCaller, ServiceCaller
from launchday.settings import Settings
from matchmaker.api.backfill_routes import router as openings_router
from matchmaker.api.fast_path import (
    HEARTBEAT_S,
    PARTY_MISMATCH,
    FastPath,
    raise_unless_created,
    server_sent_event,
    unavailable_problem,
)
from matchmaker.api.notifier import Notifier
from matchmaker.api.ticket_writer import Skills, TicketWriter
from matchmaker.errors import SkillsUnavailableError
from matchmaker.queue.cache import asked_to_stop, open_cache
from matchmaker.queue.counters import MatchmakerCounters, read_counters
from matchmaker.queue.scripts import Scripts
from matchmaker.queue.ticket_store import StoredTicket, TicketStore
from matchmaker.rules.attributes import as_members, problem_details
from matchmaker.rules.flexmatch.document import DocumentError
from matchmaker.rules.modes import QueueMode, SearchRules, load_modes
from matchmaker.tickets.skills import MetaSkills
from matchmaker.tickets.ticket import (
    ASSIGNED,
    SEARCHING,
    BatchedTicket,
    PlayerTicketRequest,
    Ticket,
    TicketBatch,
    TicketBatchRequest,
    TicketCreated,
    TicketRequest,
    TicketView,
    Wish,
    live_view,
    random_uuid,
)
from meta_service.client import MetaClient

MAX_WAIT_S = 30.0  # below the idle time-outs of common load balancers
EXPIRY_PERIOD_S = 1.0
TICKET_BURST_S = 10.0  # so many seconds' worth of tickets a player may make at once
MAX_LIMITED_PLAYERS = 200_000  # whose rate is remembered at once: about 20 MB
SERVICE_TOKEN_TTL_S = 365 * 24 * 3600.0

log = structlog.get_logger()
router = APIRouter(prefix="/v1", tags=["tickets"])


class TicketService:
    """What the routes stand on; at ``app.state.matchmaker`` while the service is up."""

    def __init__(
        self,
        settings: Settings,
        modes: dict[str, QueueMode],
        scripts: Scripts,
        store: TicketStore,
        intake: TicketWriter,
        waiters: Notifier,
    ) -> None:
        self.modes = modes
        self.regions: Sequence[str] = settings.region_names
        self.ticket_ttl_s = settings.ticket_ttl_s
        self.rate = RateLimit(
            settings.tickets_per_player_s, burst_s=TICKET_BURST_S, max_callers=MAX_LIMITED_PLAYERS
        )
        self.scripts = scripts
        self.store = store
        self.intake = intake
        self.waiters = waiters

    def admit(self, player_id: int, now: float) -> None:
        """Count a creation of the player's; raises Problem when it is one too many."""
        if wait_s := self.rate.wait_s(player_id, now):
            raise ProblemError(
                429,
                "too-many-tickets",
                f"you make too many tickets: wait {wait_s:.1f} s",
                headers={"Retry-After": str(math.ceil(wait_s))},
            )

    def make_ticket(self, player_id: int, wish: Wish, now: float) -> Ticket:
        """The ticket of a wish; raises Problem where it could never match."""
        mode = self.modes.get(wish.mode)
        if mode is None:
            raise ProblemError(
                422, "unknown-mode", f"there is no mode {wish.mode!r}; modes: {', '.join(self.modes)}"
            )
        rules = mode.rules
        known = wish.latencies_ms
        latency_ms = tuple([known.get(region, math.inf) for region in self.regions])
        if min(latency_ms, default=math.inf) > rules.max_latency_ms:
            raise ProblemError(
                422,
                "no-region",
                f"no region is within {rules.max_latency_ms:g} ms; measure at least one of: {', '.join(self.regions)}",
            )
        if isinstance(rules, SearchRules) and (reason := rules.unmatchable_reason(known)):
            raise ProblemError(422, "no-region", reason)
        try:
            attributes = mode.attributes.check(wish.attributes and as_members(wish.attributes))
        except DocumentError as refused:
            detail, errors = problem_details(refused)
            raise ProblemError(422, "bad-attributes", detail, errors=errors) from refused
        party = wish.party
        if party is not None and party.size > rules.team_size:
            raise ProblemError(
                422,
                "party-too-large",
                f"a party of {party.size} fits into no team of {wish.mode}: at most {rules.team_size}",
            )
        return Ticket(
            ticket_id=random_uuid(),
            player_id=player_id,
            enqueued_at=now,
            expires_at=now + self.ticket_ttl_s,
            platform=wish.platform,
            cross_play=wish.cross_play,
            client_key=wish.client_key or "",
            latency_ms=latency_ms,
            party="" if party is None else party.party_id,
            party_size=1 if party is None else party.size,
            attributes=attributes,
        )

    async def expire_tickets(self, clock: Callable[[], float]) -> None:
        """Expire tickets whose time is up, until cancelled; every API process does, and each ticket expires once."""
        while not asked_to_stop():
            try:
                for mode in self.modes:
                    await self.store.expire_due(mode, clock())
            except RedisError as error:
                log.warning("cannot expire tickets, trying again", error=str(error))
            await asyncio.sleep(EXPIRY_PERIOD_S)


def create_api(settings: Settings, skills: Skills | None = None) -> FastAPI:
    """Build the API. ``skills`` replaces the meta service. Raises RuleSetsRefused."""
    modes = load_modes(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_cache(settings.cache_url) as cache, MetaClient(settings.meta_url, token) as meta:
            scripts = Scripts(cache, settings.ticket_retention_s)
            games = {name: mode.rules.game_mode for name, mode in modes.items()}
            intake = TicketWriter(scripts, skills or MetaSkills(meta), settings.region_names, games)
            waiters = Notifier(cache)
            matchmaker = TicketService(settings, modes, scripts, TicketStore(cache, scripts), intake, waiters)
            app.state.matchmaker = matchmaker
            # Should one of them fail all the same, waiters still look at their tickets when their wait is over.
            tasks = [
                asyncio.create_task(waiters.run()),
                asyncio.create_task(matchmaker.expire_tickets(time.time)),
            ]
            for task in tasks:
                task.add_done_callback(_report_failure)
            try:
                yield
            finally:
                await intake.drain()
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    app = service.create_app("Matchmaker", settings, lifespan)
    signer: Signer = app.state.signer
    token = signer.service_token("matchmaker", time.time(), SERVICE_TOKEN_TTL_S)
    app.include_router(router)
    app.include_router(openings_router)

    async def on_cache_away(_: Request, error: Exception) -> Response:
        log.error("the cache is away", error=str(error))
        return unavailable_problem("cache-unavailable", "tickets cannot be reached right now").response()

    async def on_skills_unavailable(_: Request, error: Exception) -> Response:
        return unavailable_problem("skills-unavailable", str(error)).response()

    app.add_middleware(FastPath, owner=app)
    app.add_exception_handler(RedisError, on_cache_away)
    app.add_exception_handler(SkillsUnavailableError, on_skills_unavailable)
    return app


@router.post("/tickets", status_code=201, response_model=TicketCreated)
async def create_ticket(
    wish: TicketRequest, caller: PlayerCaller, request: Request, response: Response
) -> TicketCreated:
    """Queue for a match. 201: a new ticket; 200: the one that the same client key made; 409: there is another."""
    matchmaker = _matchmaker(request)
    now = time.time()
    matchmaker.admit(caller.player_id, now)
    ticket = matchmaker.make_ticket(caller.player_id, wish, now)
    accepted = await matchmaker.intake.submit(wish.mode, ticket)
    raise_unless_created(accepted)
    if accepted.outcome == "created":
        return TicketCreated(ticket_id=accepted.ticket_id, state=SEARCHING, created_at=ticket.enqueued_at)
    response.status_code = 200
    before = await _read(matchmaker, str(accepted.ticket_id), caller.player_id)
    return TicketCreated(ticket_id=accepted.ticket_id, state=before.state, created_at=before.created_at)


@router.post("/internal/tickets", tags=["internal"], response_model=TicketBatch)
async def create_tickets(wishes: TicketBatchRequest, _: ServiceCaller, request: Request) -> TicketBatch:
    """Queue many players for matches, each with his own ticket: a lobby's, a tournament's, a whole party's."""
    matchmaker = _matchmaker(request)
    now = time.time()

    async def make(wish: PlayerTicketRequest) -> BatchedTicket:
        try:
            accepted = await matchmaker.intake.submit(
                wish.mode, matchmaker.make_ticket(wish.player_id, wish, now)
            )
        except ProblemError as problem:
            return BatchedTicket(
                player_id=wish.player_id, ticket_id=None, outcome="refused", detail=problem.detail
            )
        if accepted.outcome == "mismatch":
            return BatchedTicket(
                player_id=wish.player_id, ticket_id=None, outcome=accepted.outcome, detail=PARTY_MISMATCH
            )
        return BatchedTicket(player_id=wish.player_id, ticket_id=accepted.ticket_id, outcome=accepted.outcome)

    return TicketBatch(tickets=await asyncio.gather(*map(make, wishes.tickets)))


@router.post("/tickets/{ticket_id}/accept", response_model=TicketView)
async def accept_match(ticket_id: UUID, caller: PlayerCaller, request: Request) -> Response:
    """Say yes to the match that was found, where the mode asks for it; saying it again answers the same."""
    matchmaker = _matchmaker(request)
    found = await matchmaker.store.accept(str(ticket_id), caller.player_id, time.time())
    ticket = await _read(matchmaker, str(ticket_id), caller.player_id)
    if found in (None, "searching") or (found == "proposed" and ticket.state == "proposed"):
        raise ProblemError(
            409, "nothing-to-accept", "no match waits for your yes: wait until your ticket is proposed"
        )
    return Response(ticket.view, media_type="application/json")


@router.get("/tickets/{ticket_id}", response_model=TicketView)
async def read_ticket(
    ticket_id: UUID,
    caller: PlayerCaller,
    request: Request,
    wait_s: Annotated[float, Query(ge=0, le=MAX_WAIT_S, description="Wait so long for its end.")] = 0.0,
    lost: Annotated[
        bool,
        Query(
            description="Of an assigned ticket: wait until its match is known to be lost. For players who do not hear their game server any more."
        ),
    ] = False,
) -> Response:
    """Read a ticket; with ``wait_s``, answer when it has its end or the time is over (long poll)."""
    known = live_view(str(ticket_id))
    view, _ = await _read_when_changed(
        _matchmaker(request), str(ticket_id), caller.player_id, wait_s, known, lost
    )
    return Response(view, media_type="application/json")


@router.delete("/tickets/{ticket_id}", response_model=TicketView)
async def cancel_ticket(ticket_id: UUID, caller: PlayerCaller, request: Request) -> Response:
    """Cancel a ticket. 409 when its match has been found; cancelling again answers the same."""
    matchmaker = _matchmaker(request)
    found = await matchmaker.store.cancel(str(ticket_id), caller.player_id)
    if found in ("proposed", "accepted"):
        raise ProblemError(
            409,
            "match-found",
            "a match has been found; it is getting its server",
            headers={"Retry-After": "1"},
        )
    if found not in (None, "searching", "cancelled"):
        raise ProblemError(409, "ticket-ended", f"the ticket is {found}; there is nothing to cancel")
    ticket = await _read(matchmaker, str(ticket_id), caller.player_id)
    return Response(ticket.view, media_type="application/json")


@router.get(
    "/tickets/{ticket_id}/events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}}},
)
async def ticket_events(ticket_id: UUID, caller: PlayerCaller, request: Request) -> StreamingResponse:
    """Follow a ticket (server-sent events): its state now, and its end, after which the stream closes."""
    matchmaker = _matchmaker(request)
    first = await _read(matchmaker, str(ticket_id), caller.player_id)

    async def events() -> AsyncIterator[bytes]:
        yield server_sent_event(first.view)
        last, final = first.view, first.final
        while not final:
            view, final = await _read_when_changed(
                matchmaker, str(ticket_id), caller.player_id, HEARTBEAT_S, last
            )
            yield server_sent_event(view) if view != last else b": still searching\n\n"
            last = view

    return StreamingResponse(
        events(),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


@router.get("/internal/books", tags=["internal"])
async def read_ticket_counters(_: ServiceCaller, request: Request) -> MatchmakerCounters:
    """What became of all tickets, at one instant."""
    matchmaker = _matchmaker(request)
    return await read_counters(matchmaker.scripts, list(matchmaker.modes))


@router.get("/internal/queues", tags=["internal"])
async def read_queue_depths(_: ServiceCaller, request: Request) -> dict[str, Any]:
    """What waits in each queue: players by their nearest region, matches without a server, the oldest ticket's age."""
    return await _matchmaker(request).store.depths()


async def _read(matchmaker: TicketService, ticket_id: str, player_id: int) -> StoredTicket:
    ticket = await matchmaker.store.read(ticket_id)
    if ticket is None or ticket.player_id != player_id:
        raise ProblemError(
            404, "no-such-ticket", "you have no such ticket; ended ones are forgotten after a while"
        )
    return ticket


async def _read_when_changed(
    matchmaker: TicketService, ticket_id: str, player_id: int, wait_s: float, known: bytes, lost: bool = False
) -> tuple[bytes, bool]:
    """The view of a ticket at its end, when its match is to be accepted, or as it is after ``wait_s``; and whether it has its end.

    ``lost``: an assignment is not the end that is waited for; that its match was lost is.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + wait_s
    while True:
        # Register first, then look: an end that is written in between is told, one written before is seen.
        with matchmaker.waiters.subscription(ticket_id) as told:
            ticket = await _read(matchmaker, ticket_id, player_id)
            final = ticket.final and (not lost or ticket.state != ASSIGNED or ticket.lost)
            news = final or (ticket.view != known and ticket.accept_requested)
            if news or loop.time() >= deadline:
                return ticket.view, ticket.final
            try:
                async with asyncio.timeout_at(deadline):
                    await told
            except TimeoutError:
                continue


def _report_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("a background task failed", task=task.get_name(), exc_info=error)


def _matchmaker(request: Request) -> TicketService:
    matchmaker: TicketService = request.app.state.matchmaker
    return matchmaker
