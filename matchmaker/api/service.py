"""What the routes do, whichever way a request comes in: create, read, accept, cancel, wait for and follow a
ticket.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Sequence

import structlog
from redis.exceptions import RedisError

from launchday.clock import Clock
from launchday.problems import ProblemError
from launchday.rate_limit import RateLimit
from launchday.settings import Settings
from matchmaker.api.notifier import Notification, Notifier
from matchmaker.api.schema import encode
from matchmaker.api.ticket_writer import TicketWriter, WriteResult
from matchmaker.messages import (
    SEARCHING,
    BatchedTicket,
    PlayerTicketRequest,
    TicketCreated,
    TicketRequest,
)
from matchmaker.queue.cache import asked_to_stop
from matchmaker.queue.scripts import Scripts
from matchmaker.queue.ticket_store import StoredTicket, TicketStore, live_view
from matchmaker.rules.attributes import as_members, problem_details
from matchmaker.rules.flexmatch.document import DocumentError
from matchmaker.rules.modes import QueueMode, SearchRules
from matchmaker.tickets.ticket import Ticket

HEARTBEAT_S = 15.0  # between two signs of life on an event stream; the ticket is looked at each time
EXPIRY_PERIOD_S = 1.0
TICKET_BURST_S = 10.0  # so many seconds' worth of tickets a player may make at once
MAX_LIMITED_PLAYERS = 200_000  # whose rate is remembered at once: about 20 MB

PARTY_MISMATCH = (
    "the party is complete without you, or its players ask for something else: "
    "size, cross-play and platform must agree"
)
STILL_SEARCHING = b": still searching\n\n"

log = structlog.get_logger()


class TicketService:
    """What the routes stand on; at ``app.state.matchmaker`` while the service is up.

    Args:
        settings: all settings.
        modes: what can be queued for, by name.
        scripts, store, writer, notifier: of one cache.
        clock: time, and the tickets' ids.
    """

    def __init__(
        self,
        settings: Settings,
        modes: dict[str, QueueMode],
        scripts: Scripts,
        store: TicketStore,
        writer: TicketWriter,
        notifier: Notifier,
        clock: Clock,
    ) -> None:
        self.modes = modes
        self.regions: Sequence[str] = settings.region_names
        self.ticket_ttl_s = settings.ticket_ttl_s
        self.scripts = scripts
        self.store = store
        self.writer = writer
        self.notifier = notifier
        self.clock = clock
        self._rate = RateLimit(
            settings.tickets_per_player_s, burst_s=TICKET_BURST_S, max_callers=MAX_LIMITED_PLAYERS
        )

    async def create(self, player_id: int, request: TicketRequest) -> tuple[int, TicketCreated]:
        """Queue a player for a match.

        Returns:
            The HTTP status (201: a new ticket; 200: the one that the same client key made) and the ticket.

        Raises:
            ProblemError: the request can never match, or the player may make no ticket now.
            SkillsUnavailableError, RedisError: a service that is needed does not answer; nothing was queued.
        """
        if wait_s := self._rate.wait_s(player_id, self.clock.monotonic()):
            raise ProblemError(
                429,
                "too-many-tickets",
                f"you make too many tickets: wait {wait_s:.1f} s",
                headers={"Retry-After": str(math.ceil(wait_s))},
            )
        ticket = self.make_ticket(player_id, request, self.clock.now())
        self.notifier.track(str(ticket.ticket_id), player_id)
        written = await self.writer.submit(request.mode, ticket)
        if written.outcome == "created":
            return 201, TicketCreated(ticket.ticket_id, SEARCHING, ticket.enqueued_at)
        if written.outcome == "repeated":
            before = await self.read(str(written.ticket_id), player_id)
            return 200, TicketCreated(written.ticket_id, before.view.state, before.created_at)
        raise _refusal(written)

    async def create_for(self, request: PlayerTicketRequest, now: float) -> BatchedTicket:
        """Queue a player for a match on a service's behalf; what the request lacks is said in the answer."""
        try:
            written = await self.writer.submit(
                request.mode, self.make_ticket(request.player_id, request, now)
            )
        except ProblemError as problem:
            return BatchedTicket(request.player_id, None, "refused", problem.detail)
        if written.outcome == "mismatch":
            return BatchedTicket(request.player_id, None, written.outcome, PARTY_MISMATCH)
        return BatchedTicket(request.player_id, written.ticket_id, written.outcome)

    def make_ticket(self, player_id: int, request: TicketRequest, now: float) -> Ticket:
        """Return the ticket of a request at ``now`` (Unix seconds).

        Raises ProblemError where it could never match.
        """
        mode = self.modes.get(request.mode)
        if mode is None:
            raise ProblemError(
                422, "unknown-mode", f"there is no mode {request.mode!r}; modes: {', '.join(self.modes)}"
            )
        rules = mode.rules
        known = request.latencies_ms
        latency_ms = tuple([known.get(region, math.inf) for region in self.regions])
        if min(latency_ms, default=math.inf) > rules.max_latency_ms:
            raise ProblemError(
                422,
                "no-region",
                (
                    f"no region is within {rules.max_latency_ms:g} ms; measure at least one of: "
                    f"{', '.join(self.regions)}"
                ),
            )
        if isinstance(rules, SearchRules) and (reason := rules.unmatchable_reason(known)):
            raise ProblemError(422, "no-region", reason)
        try:
            attributes = mode.attributes.check(request.attributes and as_members(request.attributes))
        except DocumentError as refused:
            detail, errors = problem_details(refused)
            raise ProblemError(422, "bad-attributes", detail, errors=errors) from refused
        party = request.party
        if party is not None and party.size > rules.team_size:
            raise ProblemError(
                422,
                "party-too-large",
                f"a party of {party.size} fits into no team of {request.mode}: at most {rules.team_size}",
            )
        return Ticket(
            ticket_id=self.clock.uuid(),
            player_id=player_id,
            enqueued_at=now,
            expires_at=now + self.ticket_ttl_s,
            platform=request.platform,
            cross_play=request.cross_play,
            client_key=request.client_key or "",
            latency_ms=latency_ms,
            party="" if party is None else party.party_id,
            party_size=1 if party is None else party.size,
            attributes=attributes,
        )

    async def read(self, ticket_id: str, player_id: int) -> StoredTicket:
        """Return a player's ticket. Raises ProblemError (404) where they have no such ticket."""
        ticket = await self.store.read(ticket_id)
        if ticket is None or ticket.player_id != player_id:
            raise ProblemError(
                404, "no-such-ticket", "you have no such ticket; ended ones are forgotten after a while"
            )
        return ticket

    async def accept(self, ticket_id: str, player_id: int) -> StoredTicket:
        """Accept the match that was found. Raises ProblemError where none waits for that."""
        found = await self.store.accept(ticket_id, player_id, self.clock.now())
        ticket = await self.read(ticket_id, player_id)
        if found in (None, "searching") or (found == "proposed" and ticket.view.state == "proposed"):
            raise ProblemError(
                409, "nothing-to-accept", "no match waits for your yes: wait until your ticket is proposed"
            )
        return ticket

    async def cancel(self, ticket_id: str, player_id: int) -> StoredTicket:
        """Cancel a ticket. Raises ProblemError where it is too late."""
        found = await self.store.cancel(ticket_id, player_id)
        if found in ("proposed", "accepted"):
            raise ProblemError(
                409,
                "match-found",
                "a match has been found; it is getting its server",
                headers={"Retry-After": "1"},
            )
        if found not in (None, "searching", "cancelled"):
            raise ProblemError(409, "ticket-ended", f"the ticket is {found}; there is nothing to cancel")
        return await self.read(ticket_id, player_id)

    async def read_when_changed(
        self, ticket_id: str, player_id: int, wait_s: float, known: bytes, lost: bool = False
    ) -> StoredTicket:
        """Wait for a ticket's end, or until its player is asked to accept a match, at most ``wait_s``; return
        it as it is then.

        Args:
            ticket_id, player_id: the ticket, and whose it is.
            wait_s: seconds.
            known: the JSON that the caller has read already.
            lost: an assignment is not the end that is waited for; that its match was lost is.

        Raises:
            ProblemError: the player has no such ticket.
        """
        deadline = self.clock.monotonic() + wait_s
        while True:
            # Register first, then look: an end that is written in between wakes us, one written before is
            # seen.
            with self.notifier.subscription(ticket_id) as changed:
                ticket = await self.read(ticket_id, player_id)
                view = ticket.view
                ended = view.final and (not lost or view.state != "assigned" or view.lost)
                left_s = deadline - self.clock.monotonic()
                if ended or (ticket.json != known and view.accept_requested) or left_s <= 0:
                    return ticket
                await asyncio.wait((changed,), timeout=left_s)

    async def follow(self, ticket_id: str, player_id: int) -> AsyncIterator[bytes]:
        """Yield a ticket's server-sent events: its state now, each change, and its end, after which there are
        no more.

        What happens to a ticket that was made in this process passes through it, so that is followed without
        a look at the cache.

        Raises:
            ProblemError: the player has no such ticket. Before the first event only.
        """
        notifier = self.notifier
        if notifier.tracks_for(ticket_id, player_id):
            seen = notifier.latest(ticket_id) or Notification(encode(live_view(ticket_id)), final=False)
        else:
            seen = _as_read(await self.read(ticket_id, player_id))
        yield server_sent_event(seen)
        while not seen.final:
            if notifier.tracks_for(ticket_id, player_id):
                with notifier.subscription(ticket_id) as changed:
                    if (notifier.latest(ticket_id) or seen) == seen:
                        await asyncio.wait((changed,), timeout=HEARTBEAT_S)
                    found = notifier.latest(ticket_id) or seen
            else:
                found = _as_read(await self.read_when_changed(ticket_id, player_id, HEARTBEAT_S, seen.view))
            yield STILL_SEARCHING if found.view == seen.view else server_sent_event(found)
            seen = found

    async def expire_tickets(self) -> None:
        """Expire tickets whose time is up, until cancelled; every API process does, and each ticket expires
        once.
        """
        while not asked_to_stop():
            try:
                for mode in self.modes:
                    await self.store.expire_due(mode, self.clock.now())
            except RedisError as error:
                log.warning("cannot expire tickets, trying again", error=str(error))
            await self.clock.sleep(EXPIRY_PERIOD_S)


def server_sent_event(notification: Notification) -> bytes:
    """Return a ticket's view as a server-sent event; its id is that of the entry of the cache's stream that
    held it.
    """
    named = b"id: " + notification.entry_id + b"\n" if notification.entry_id else b""
    return named + b"event: ticket\ndata: " + notification.view + b"\n\n"


def unavailable_problem(error: Exception) -> ProblemError:
    """Return the problem of a service that does not answer now (RedisError, SkillsUnavailableError)."""
    if isinstance(error, RedisError):
        log.error("the cache is unavailable", error=str(error))
        slug, detail = "cache-unavailable", "tickets cannot be reached right now"
    else:
        slug, detail = "skills-unavailable", str(error)
    return ProblemError(503, slug, f"{detail}; try again", headers={"Retry-After": "1"})


def _as_read(ticket: StoredTicket) -> Notification:
    return Notification(ticket.json, ticket.view.final)


def _refusal(written: WriteResult) -> ProblemError:
    if written.outcome == "mismatch":
        return ProblemError(409, "party-mismatch", PARTY_MISMATCH)
    return ProblemError(
        409,
        "ticket-exists",
        "you are already searching: cancel that ticket first, or wait for it",
        ticket_id=str(written.ticket_id),
    )
