"""What the routes do, whichever way a request comes in: create, read, accept, reject, cancel, wait for and
follow a ticket, and come back to its match.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Sequence
from uuid import UUID

import structlog
from redis.exceptions import RedisError

from launchday.clock import Clock
from launchday.problems import ProblemError
from launchday.rate_limit import RateLimit
from launchday.resilience.deadline import DeadlineExceededError
from launchday.settings import Settings
from matchmaker.api import metrics
from matchmaker.api.attendance import Attendance
from matchmaker.api.notifier import Notification, Notifier
from matchmaker.api.party_claims import ClaimReader
from matchmaker.api.rejoin import Rejoin
from matchmaker.api.schema import encode
from matchmaker.api.ticket_maker import TicketMaker
from matchmaker.api.ticket_writer import TicketWriter, WriteResult
from matchmaker.errors import SkillsRefusedError
from matchmaker.messages import (
    SEARCHING,
    Assignment,
    BatchedTicket,
    PlayerTicketRequest,
    TicketCreated,
    TicketRequest,
)
from matchmaker.queue.scripts import Scripts
from matchmaker.queue.ticket_store import StoredTicket, TicketStore, live_view
from matchmaker.rules.modes import QueueMode
from matchmaker.tickets.ticket import Ticket

HEARTBEAT_S = 15.0  # between two signs of life on an event stream; the ticket is looked at each time
TICKET_BURST_S = 10.0  # so many seconds' worth of tickets a player may make at once
MAX_LIMITED_PLAYERS = 200_000  # whose rate is remembered at once: about 20 MB

PARTY_MISMATCH = (
    "the party is complete without you, or its players ask for something else: "
    "mode, size, cross-play and platform must agree"
)
PARTY_CHANGED = "the party has changed since it queued with this claim: its leader queues it again"
PARTY_CLAIM_USED = "you, or your party, have queued with this claim before: the leader queues the party again"
PARTY_QUEUED = "your party queues: make your ticket with its claim, or take the party out of the queue first"
OTHER_WISH = (
    "the client key belongs to another wish, whose ticket is alive: cancel that ticket, or wait for it; "
    "another mode, platform, cross-play, party or other attributes need a key of their own"
)
LOGGED_OUT = "the player's session was ended: log in again"
STILL_SEARCHING = b": still searching\n\n"

log = structlog.get_logger()


class TicketService:
    """What the routes stand on; at ``app.state.matchmaker`` while the service is up.

    Args:
        settings: all settings.
        modes: what can be queued for, by name.
        scripts, store, writer, notifier, attendance: of one cache.
        claims: reads those of parties.
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
        attendance: Attendance,
        claims: ClaimReader,
        clock: Clock,
    ) -> None:
        self.modes = modes
        self.regions: Sequence[str] = settings.region_names
        self.scripts = scripts
        self.store = store
        self.writer = writer
        self.notifier = notifier
        self.clock = clock
        self._attendance = attendance
        self._watched = settings.ticket_liveness_s > 0
        self._maker = TicketMaker(settings, modes, claims, clock)
        self._rejoin = Rejoin(settings, modes, clock)
        self._rate = RateLimit(
            settings.tickets_per_player_s, burst_s=TICKET_BURST_S, max_callers=MAX_LIMITED_PLAYERS
        )

    async def create(self, player_id: int, request: TicketRequest) -> tuple[int, TicketCreated]:
        """Queue a player for a match.

        Returns:
            The HTTP status (201: a new ticket; 200: the one that the same client key made for the same wish)
            and the ticket.

        Raises:
            ProblemError: the request can never match, or the player may make no ticket now.
            SkillsUnavailableError, RedisError: a service that is needed does not answer; nothing was queued.
            DeadlineExceededError: nothing was heard of the ticket in time; repeat it with its client key.
        """
        ticket, writing = self.begin(player_id, request)
        return await self.finish(player_id, request, ticket, await writing)

    def begin(self, player_id: int, request: TicketRequest) -> tuple[Ticket, asyncio.Future[WriteResult]]:
        """The first part of `create`: have the ticket written, and give it to `finish` with what became of
        it.
        """
        self._limit(player_id, "you make too many tickets")
        ticket = self._maker.make(player_id, request, self.clock.now(), watched=self._watched)
        self.notifier.track(str(ticket.ticket_id), player_id)
        return ticket, self.writer.enqueue(request.mode, ticket)

    async def finish(
        self, player_id: int, request: TicketRequest, ticket: Ticket, written: WriteResult
    ) -> tuple[int, TicketCreated]:
        """The second part of `create`."""
        metrics.tickets.labels(written.outcome).inc()
        if written.held is not None:
            last = await self.store.read_last(player_id)
            if last is not None and _is_retry(ticket, last, written.held.match_id):
                return 200, TicketCreated(UUID(last.view.ticket_id), last.view.state, last.created_at)
            if last is None or (last.view.final and not last.view.lost):
                self._attendance.refused_in_match()
                raise self._rejoin.problem(written.held, last)
            # Its server is lost, and the fleet is about to end the lease; or they are just being placed.
            written = await self.writer.submit(request.mode, ticket, despite_match=True)
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
                request.mode, self._maker.make(request.player_id, request, now, by_service=True)
            )
        except ProblemError as problem:
            return BatchedTicket(request.player_id, None, "refused", problem.detail)
        except SkillsRefusedError as refused:
            return BatchedTicket(request.player_id, None, "refused", str(refused))
        if written.outcome == "mismatch":
            return BatchedTicket(request.player_id, None, written.outcome, PARTY_MISMATCH)
        if written.outcome == "party-changed":
            return BatchedTicket(request.player_id, None, "refused", PARTY_CHANGED)
        if written.outcome == "party-claim-used":
            return BatchedTicket(request.player_id, None, "refused", PARTY_CLAIM_USED)
        if written.outcome == "party-queued":
            return BatchedTicket(request.player_id, None, "refused", PARTY_QUEUED)
        if written.outcome == "other-wish":
            return BatchedTicket(request.player_id, written.ticket_id, "busy", OTHER_WISH)
        if written.outcome == "logged-out":
            return BatchedTicket(request.player_id, None, "refused", LOGGED_OUT)
        if written.held is not None:
            self._attendance.refused_in_match()
            detail = f"the player is in the match {written.held.match_id}"
            return BatchedTicket(request.player_id, None, written.outcome, detail)
        return BatchedTicket(request.player_id, written.ticket_id, written.outcome)

    async def read(self, ticket_id: str, player_id: int) -> StoredTicket:
        """Return a player's ticket. Raises ProblemError (404) where they have no such ticket."""
        ticket = await self.store.read(ticket_id)
        if ticket is None or ticket.player_id != player_id:
            raise ProblemError(
                404, "no-such-ticket", "you have no such ticket; ended ones are forgotten after a while"
            )
        self._attendance.touch(ticket_id)
        return ticket

    async def renew_token(self, ticket_id: str, player_id: int) -> Assignment:
        """Return where an assigned player's match is, with a newer token for the same seat: for a client that
        was started again, or has another address.

        Raises ProblemError where the ticket has no match, or its match was lost.
        """
        self._limit(player_id, "you ask for too many tokens")
        ticket = await self.read(ticket_id, player_id)
        assignment = ticket.view.assignment
        if assignment is None or ticket.view.lost:
            raise ProblemError(
                409,
                "no-match",
                f"the ticket has no match to come back to: {ticket.view.reason or ticket.view.state}",
            )
        metrics.tokens.inc()
        return self._rejoin.renewed(ticket, assignment)

    async def accept(self, ticket_id: str, player_id: int) -> StoredTicket:
        """Accept the match that was found. Raises ProblemError where none waits for that."""
        found = await self.store.accept(ticket_id, player_id, self.clock.now())
        ticket = await self.read(ticket_id, player_id)
        if found in (None, "searching") or (found == "proposed" and ticket.view.state == "proposed"):
            raise ProblemError(
                409, "nothing-to-accept", "no match waits for your yes: wait until your ticket is proposed"
            )
        return ticket

    async def reject(self, ticket_id: str, player_id: int) -> StoredTicket:
        """Decline the match that was found, and return the ticket, which has ended; of one that was cancelled
        already, as it ended. Raises ProblemError where none waits for a yes or no.
        """
        found = await self.store.reject(ticket_id, player_id)
        ticket = await self.read(ticket_id, player_id)
        if found not in ("declined", "cancelled"):
            detail = "no match waits for your yes or no: wait until your ticket is proposed"
            if found in ("proposed", "accepted"):
                detail = "the match is getting its server already: cancel the ticket, or play"
            elif ticket.view.final:
                detail = f"the ticket is {ticket.view.state}: there is nothing to decline"
            raise ProblemError(409, "nothing-to-reject", detail)
        return ticket

    async def cancel(self, ticket_id: str, player_id: int) -> tuple[int, StoredTicket]:
        """Cancel a ticket; where its match waits for the players to accept it, that is a no.

        Returns:
            The HTTP status (200: it has ended; 202: its match is getting a server, and it ends if that comes
            to nothing) and the ticket.

        Raises ProblemError where there is nothing to cancel.
        """
        found = await self.store.cancel(ticket_id, player_id)
        if found == "proposed":
            raise ProblemError(
                409,
                "match-found",
                "one of the party is on the way into a match: try again",
                headers={"Retry-After": "1"},
            )
        if found not in (None, "searching", "marked", "cancelled"):
            raise ProblemError(409, "ticket-ended", f"the ticket is {found}; there is nothing to cancel")
        ticket = await self.read(ticket_id, player_id)
        return (200 if ticket.view.final else 202), ticket

    async def read_when_changed(
        self, ticket_id: str, player_id: int, wait_s: float, known: bytes, lost: bool = False
    ) -> StoredTicket:
        """Wait for a ticket's end, or until its player is asked to accept a match or searches again after
        one, at most ``wait_s``; return it as it is then.

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
                told = view.accept_requested or view.state == SEARCHING
                if ended or (told and ticket.json != known) or left_s <= 0:
                    return ticket
                await asyncio.wait((changed,), timeout=left_s)

    async def follow(
        self,
        ticket_id: str,
        player_id: int,
        seen: Notification | None = None,
        may_play: Callable[[], bool] = lambda: True,
    ) -> AsyncIterator[bytes]:
        """Yield a ticket's server-sent events: its state now, each change, and its end, after which there are
        no more.

        What happens to a ticket that was made in this process passes through it, so that is followed without
        a look at the cache.

        Args:
            ticket_id, player_id: the ticket, and whose it is.
            seen: what the player has been told of it; None: nothing yet.
            may_play: whether the player's token is good still; where it is not, no match is named.

        Raises:
            ProblemError: the player has no such ticket. Before the first event only.
        """
        notifier = self.notifier
        if seen is None:
            seen = self.known(ticket_id, player_id) or _as_read(await self.read(ticket_id, player_id))
            yield server_sent_event(seen)
        while not seen.final:
            if notifier.tracks_for(ticket_id, player_id):
                with notifier.subscription(ticket_id) as changed:
                    if (notifier.latest(ticket_id) or seen) == seen:
                        await asyncio.wait((changed,), timeout=HEARTBEAT_S)
                    found = notifier.latest(ticket_id) or seen
            else:
                found = _as_read(await self.read_when_changed(ticket_id, player_id, HEARTBEAT_S, seen.view))
            if found.names_match and not may_play():
                return
            yield STILL_SEARCHING if found.view == seen.view else server_sent_event(found)
            seen = found

    def known(self, ticket_id: str, player_id: int) -> Notification | None:
        """What a player's ticket is like, where all that was said of it passed through this process."""
        if not self.notifier.tracks_for(ticket_id, player_id):
            return None
        return self.notifier.latest(ticket_id) or Notification(encode(live_view(ticket_id)), final=False)

    def _limit(self, player_id: int, what: str) -> None:
        """Raise ProblemError (429) where a player asks for more than they may."""
        if wait_s := self._rate.wait_s(player_id, self.clock.monotonic()):
            raise ProblemError(
                429,
                "too-many-tickets",
                f"{what}: wait {wait_s:.1f} s",
                headers={"Retry-After": str(math.ceil(wait_s))},
            )


def server_sent_event(notification: Notification) -> bytes:
    """Return a ticket's view as a server-sent event; its id is that of the entry of the cache's stream that
    held it.
    """
    named = b"id: " + notification.entry_id + b"\n" if notification.entry_id else b""
    return named + b"event: ticket\ndata: " + notification.view + b"\n\n"


def unavailable_problem(error: Exception) -> ProblemError:
    """Return the problem of a service that does not answer now (RedisError, SkillsUnavailableError,
    DeadlineExceededError).
    """
    if isinstance(error, DeadlineExceededError):
        slug, detail = "too-late", "the ticket was not written in time"
    elif isinstance(error, RedisError):
        log.error("the cache is unavailable", error=str(error))
        slug, detail = "cache-unavailable", "tickets cannot be reached right now"
    else:
        slug, detail = "skills-unavailable", str(error)
    return ProblemError(503, slug, f"{detail}; try again", headers={"Retry-After": "1"})


def _is_retry(asked: Ticket, last: StoredTicket, match_id: str) -> bool:
    """Whether a player in a match asks again for the ticket that brought them there, or is about to."""
    if not asked.client_key or (last.client_key, last.wish or asked.wish) != (asked.client_key, asked.wish):
        return False
    assignment = last.view.assignment
    return not last.view.final or (assignment is not None and assignment.match_id == match_id)


def _as_read(ticket: StoredTicket) -> Notification:
    return Notification(ticket.json, ticket.view.final)


def _refusal(written: WriteResult) -> ProblemError:
    if written.outcome == "logged-out":
        return ProblemError(401, "session-revoked", LOGGED_OUT, headers={"WWW-Authenticate": "Bearer"})
    if written.outcome == "mismatch":
        return ProblemError(409, "party-mismatch", PARTY_MISMATCH)
    if written.outcome == "party-changed":
        return ProblemError(409, "party-changed", PARTY_CHANGED)
    if written.outcome == "party-claim-used":
        return ProblemError(409, "party-claim-used", PARTY_CLAIM_USED)
    if written.outcome == "party-queued":
        return ProblemError(409, "party-queued", PARTY_QUEUED)
    if written.outcome == "other-wish":
        return ProblemError(409, "client-key-in-use", OTHER_WISH, ticket_id=str(written.ticket_id))
    return ProblemError(
        409,
        "ticket-exists",
        "you are already searching: cancel that ticket first, or wait for it",
        ticket_id=str(written.ticket_id),
    )
