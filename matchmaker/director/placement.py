"""From a match to its players' assignments: find a server, wait until it answers, assign, notify.

A late server is not a dead one. It is asked again, under the same key and so the same server, for as long as
the fleet says that it lives, up to ``claim_s``: a server that is killed for being late is work lost that is
begun again, on a machine that is slow already. What is given up is taken back first (``giving_up``): nobody
is found another match while the one before may still have its players.

A placement can be repeated from any point by another director: the allocation under the same key gives the
same server, closing a match twice closes it once, and the assignment is written once.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

import structlog

from dedicated_server.fleet.client import Allocation
from launchday.clock import Clock
from launchday.resilience.retry import Backoff
from matchmaker.director import metrics
from matchmaker.director.giving_up import GivingUp
from matchmaker.director.patience import Patience
from matchmaker.director.server_search import NoServer, ServerSearch, Why
from matchmaker.queue.proposals import MatchProposal, UnreadableProposal, Withdrawal
from matchmaker.queue.queue import Queue
from matchmaker.tickets.seats import assigned_views
from matchmaker.tickets.ticket import NO_REQUEUE_RECORD, RequeueRecord

FIRST_PAUSE_S, MAX_PAUSE_S = 0.1, 2.0  # between two calls of a fleet that gave no usable answer
COME_S = 5.0  # more for a server whose players have come when patience with it is over
MAX_WRITES = 32  # under way at once: each takes a connection to the cache
ALL_REFUSED = "every player was refused"  # part of what a server reports that got none of its players

# Why a match was given up, as the counters and metrics name it.
GONE, SILENT, NO_ANSWER, REFUSED = "server-gone", "server-silent", "fleet-unavailable", "players-refused"
INTERRUPTED = "placement-interrupted"
EXPIRED = "token-expired"  # by the clock of the server's machine
REFUSED_REASON = "the players of the match were refused by the meta service again and again: try later"

log = structlog.get_logger()


class PlacementOutcome(Enum):
    """What became of a match."""

    ASSIGNED = auto()
    FAILED = auto()  # the fleet refused it for good: its tickets have ended
    NO_SERVER = auto()  # its tickets search again
    FLEET_UNAVAILABLE = auto()  # closed: its tickets search again
    UNREACHABLE = auto()  # closed, its server ended: its tickets search again, with their age
    PLAYERS_REFUSED = (
        auto()
    )  # closed: its players got none of their check-outs, and search again after a rest


class Placed(NamedTuple):
    """What became of a match, and of its tickets.

    Attributes:
        outcome: of the match.
        reason: why it was not assigned, in plain words.
        why: the same as counters name it, where it was given up; else empty.
        retry_after_s: seconds that the fleet asked to wait for; 0: none.
        tickets: those that search again, and those that do not; None where all have ended.
    """

    outcome: PlacementOutcome
    reason: str = ""
    why: str = ""
    retry_after_s: float = 0.0
    tickets: Withdrawal | None = None


@dataclass(slots=True)
class _Attempt:
    """A match while a server is found for it.

    Attributes:
        proposal: the match.
        started: whether a server may have it: then it has to be closed before its tickets search again.
        late: whether its server did not answer at once.
        last_chance: whether the players had come when patience was over.
    """

    proposal: MatchProposal
    started: bool
    late: bool = False
    last_chance: bool = False


class Placement:
    """Places matches of one queue.

    Args:
        queue: where the matches were proposed.
        servers: finds servers, and asks about them.
        giving_up: closes matches.
        fleet_key: seals connect tokens; 32 bytes.
        token_ttl_s: seconds a connect token is valid.
        retry_for_s: seconds for which an unanswered allocation is repeated before the tickets search again.
        claim_s: seconds for which a server that lives is waited for.
        clock: stamps assignments, paces retries, and draws the tokens' nonces.
    """

    def __init__(
        self,
        queue: Queue,
        servers: ServerSearch,
        giving_up: GivingUp,
        *,
        fleet_key: bytes,
        token_ttl_s: float,
        retry_for_s: float,
        claim_s: float,
        clock: Clock,
    ) -> None:
        self._queue = queue
        self._servers = servers
        self._giving_up = giving_up
        self._fleet_key = fleet_key
        self._token_ttl_s = token_ttl_s
        self._retry_for_s = retry_for_s
        self._claim_s = claim_s
        self._clock = clock
        self._writes = asyncio.Semaphore(MAX_WRITES)

    async def place(
        self,
        proposal: MatchProposal,
        requeue_record: RequeueRecord = NO_REQUEUE_RECORD,
        *,
        recovered: bool = False,
        closing: bool = False,
    ) -> Placed:
        """Bring one proposed match to its end, or its tickets back to the search.

        Args:
            proposal: the match.
            requeue_record: its tickets, kept while the match may be lost with its server.
            recovered: another director proposed it, and may have got a server for it.
            closing: it had begun to close it.

        Raises:
            LeaseLostError: another director leads the queue.
        """
        attempt = _Attempt(proposal, started=recovered)
        patience = Patience(self._clock, self._claim_s)
        unanswered = Patience(self._clock, self._retry_for_s)
        pauses = Backoff(self._clock, FIRST_PAUSE_S, MAX_PAUSE_S)
        if closing:
            outcome, reason = PlacementOutcome.UNREACHABLE, "its director ended while it was given up"
            if (
                closed := await self._give_up(attempt, outcome, INTERRUPTED, reason, force=False)
            ) is not None:
                return closed
        while True:
            found = await self._servers.allocate(proposal)
            if isinstance(found, Allocation):
                attempt.started = True
                unanswered.grant(self._retry_for_s)
                if await self._servers.answers(found, proposal):
                    await self._assign(found, proposal, requeue_record)
                    return Placed(PlacementOutcome.ASSIGNED)
                given_up = await self._late(attempt, found, patience)
            elif found.why is Why.UNAVAILABLE:
                # A server may be ours already, and the same key gives it again.
                attempt.started = True
                given_up = await self._unanswered(attempt, found, patience, unanswered)
                if given_up is None:
                    await self._clock.sleep(pauses.next_s(FIRST_PAUSE_S))
            else:
                given_up = await self._without_server(attempt, found, recovered, patience)
                if given_up is None:
                    await self._clock.sleep(MAX_PAUSE_S)
            if given_up is not None:
                return given_up

    async def abandon(self, damaged: UnreadableProposal) -> None:
        """Give up a match that cannot be read, but for its id and what looks like its tickets."""
        await self._queue.begin_closing(damaged.match_id)
        if damaged.player_ids:
            await self._giving_up.close(damaged.match_id, damaged.player_ids, force=True)
        await self._queue.withdraw(damaged.match_id, damaged.ticket_ids, given_up=INTERRUPTED)
        self._giving_up.end_server(damaged.match_id)

    async def _late(self, attempt: _Attempt, found: Allocation, patience: Patience) -> Placed | None:
        """A server did not answer in time: ask the fleet. None: it is asked again."""
        match_id = attempt.proposal.match_id
        gone, reason = await self._servers.is_gone(match_id)
        if gone:
            return await self._give_up_gone(attempt, GONE, reason or f"{found.name} is gone")
        if not attempt.late:
            attempt.late = True
            metrics.servers_late.labels(attempt.proposal.mode).inc()
            log.warning("a server is late, asking it again", match_id=match_id, server=found.name)
        if not patience.over():
            return None
        refusal = self._servers.refusal(match_id)
        reason = refusal or f"{found.name} did not answer for {self._claim_s:g} s"
        why = EXPIRED if refusal else SILENT
        placed = await self._give_up(
            attempt, PlacementOutcome.UNREACHABLE, why, reason, force=attempt.last_chance
        )
        if placed is None:
            attempt.last_chance = True
            patience.grant(COME_S)
        return placed

    async def _unanswered(
        self, attempt: _Attempt, found: NoServer, patience: Patience, unanswered: Patience
    ) -> Placed | None:
        """The fleet gave no usable answer. None: it is asked again."""
        log.warning("no usable answer from the fleet", match_id=attempt.proposal.match_id, error=found.reason)
        over = patience.over()
        if not unanswered.over():
            return None
        placed = await self._give_up(
            attempt, PlacementOutcome.FLEET_UNAVAILABLE, NO_ANSWER, found.reason, force=over
        )
        if placed is None:  # its players have come: the fleet will say to which server
            unanswered.grant(self._retry_for_s)
        return placed

    async def _without_server(
        self, attempt: _Attempt, found: NoServer, recovered: bool, patience: Patience
    ) -> Placed | None:
        """The fleet gives no server. None: it is asked again, for the match's players have come to one."""
        if not attempt.started:
            if found.why is Why.REFUSED:
                return await self._fail(attempt.proposal, found.reason)
            return await self._withdrawn(attempt.proposal, found)
        gone, reason = await self._servers.is_gone(attempt.proposal.match_id)
        gone = gone or found.why is Why.LOST
        if found.why is Why.REFUSED and not recovered:
            if await self._close(attempt, force=gone or patience.over()):
                return await self._fail(attempt.proposal, found.reason)
            return None
        # A match that was interrupted never fails for it: its players search on, with their age.
        why = INTERRUPTED if recovered else GONE
        if gone:
            return await self._give_up_gone(attempt, why, reason or found.reason)
        return await self._give_up(
            attempt, PlacementOutcome.NO_SERVER, why, found.reason, force=patience.over()
        )

    async def _give_up_gone(self, attempt: _Attempt, why: str, reason: str) -> Placed | None:
        """Its server is gone: nothing of the match can go on."""
        outcome = PlacementOutcome.UNREACHABLE
        if ALL_REFUSED in reason:
            outcome, why = PlacementOutcome.PLAYERS_REFUSED, REFUSED
        return await self._give_up(attempt, outcome, why, reason, force=True)

    async def _assign(
        self, server: Allocation, proposal: MatchProposal, requeue_record: RequeueRecord
    ) -> None:
        now = self._clock.now()
        views = assigned_views(
            self._fleet_key,
            self._token_ttl_s,
            proposal.match_id,
            proposal.region,
            (server.addresses.address, server.addresses.other, server.port),
            proposal.game_mode or proposal.mode,
            proposal.ticket_ids,
            list(zip(proposal.player_ids, range(len(proposal.player_ids)), proposal.teams, strict=True)),
            self._clock,
            self._clock.wall(),
            requeue_record,
        )
        async with self._writes:
            await self._queue.assign(proposal, views, now, requeue_record)
        metrics.matches_assigned.labels(proposal.mode).inc()
        metrics.waits.observe(proposal.mode, [max(0.0, now - each) for each in proposal.enqueued_at])
        log.info(
            "match assigned",
            match_id=proposal.match_id,
            region=proposal.region,
            players=len(proposal.player_ids),
            server=server.name,
        )

    async def _give_up(
        self, attempt: _Attempt, outcome: PlacementOutcome, why: str, reason: str, *, force: bool
    ) -> Placed | None:
        """Close a match and give its tickets back; None: its players have come, and nothing changed."""
        if not await self._close(attempt, force=force):
            return None
        proposal = attempt.proposal
        log.warning(
            "match given up", match_id=proposal.match_id, region=proposal.region, why=why, reason=reason
        )
        metrics.matches_given_up.labels(proposal.mode, why).inc()
        refused = REFUSED_REASON if outcome is PlacementOutcome.PLAYERS_REFUSED else ""
        async with self._writes:
            tickets = await self._queue.withdraw(
                proposal.match_id, proposal.ticket_ids, given_up=why, refused=refused
            )
        self._giving_up.end_server(proposal.match_id)
        return Placed(outcome, reason, why, tickets=tickets)

    async def _close(self, attempt: _Attempt, *, force: bool) -> bool:
        # Fenced: a director that was stopped must not close what its successor has assigned meanwhile.
        await self._queue.begin_closing(attempt.proposal.match_id)
        proposal = attempt.proposal
        closed = await self._giving_up.close(proposal.match_id, proposal.player_ids, force=force)
        if not closed:
            log.info("the players of a late match have come", match_id=proposal.match_id)
        return closed

    async def _withdrawn(self, proposal: MatchProposal, found: NoServer) -> Placed:
        async with self._writes:
            tickets = await self._queue.withdraw(proposal.match_id, proposal.ticket_ids)
        return Placed(
            PlacementOutcome.NO_SERVER, found.reason, retry_after_s=found.retry_after_s, tickets=tickets
        )

    async def _fail(self, proposal: MatchProposal, reason: str) -> Placed:
        log.error("the fleet refused a match", match_id=proposal.match_id, error=reason)
        async with self._writes:
            await self._queue.fail(proposal, "the fleet refused the match")
        return Placed(PlacementOutcome.FAILED, reason)
