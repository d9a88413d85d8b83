"""Group commit: tickets that arrive within a few milliseconds go to the queue in one command.

Each is answered after the cache has acknowledged that command. It is half the cost of one awaited write a
ticket, and makes ``appendfsync always`` affordable. What is wrong with one ticket is its own affair: the
others of its batch are written without it.
"""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict, deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast
from uuid import UUID

import msgspec
import structlog

from launchday.resilience import deadline
from launchday.resilience.deadline import DeadlineExceededError
from matchmaker.api import metrics
from matchmaker.api.party_claims import CLAIM_PREFIX
from matchmaker.api.revocations import banned_problem
from matchmaker.api.skills import HeldPlayer, PlayerSkills, Skills, skills_of
from matchmaker.errors import SkillsRefusedError, WriterFullError
from matchmaker.queue.scripts import KEYS, Argument, Scripts
from matchmaker.rules.attributes import with_blocked
from matchmaker.tickets.ticket import RecordFormat, Ticket

# At 1,667 tickets/s 2 ms took 0.84 of a core, by calls to the meta service; since then 8 ms 0.65, 16 ms 0.53.
GATHER_S = 0.016
# Writes under way. What comes meanwhile goes together with the next write, so a busy API asks and writes less
# often.
MAX_WRITES = 2
MAX_BATCH = 500  # keeps the script below a few milliseconds, in which the cache serves nobody else
MAX_WAITING = (
    5_000  # tickets: ten batches, more than the admission lets in at once; services bring 500 a request
)
PATIENCE_S = 5.0  # of who waits for a ticket, and of a write
GATHERING_GRACE_S = PATIENCE_S + 1.0  # a ticket made in time may be written so late

WriteOutcome = Literal[
    "created",
    "repeated",
    "busy",
    "other-wish",
    "mismatch",
    "party-changed",
    "party-claim-used",
    "party-queued",
    "in-match",
    "logged-out",
]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class WriteResult:
    """What became of a creation.

    Attributes:
        outcome: ``created``; ``repeated``: the same client key made this ticket before, for the same wish;
            ``busy``: the player has another live ticket; ``other-wish``: one of the same client key, for
            another wish; ``mismatch``: the party is complete without it, or its players ask for something
            else; ``party-changed``: it is another one than that which queued; ``party-claim-used``: it
            has queued with this claim before; ``party-queued``: the player's party queues, and this ticket
            is not for it; ``in-match``: the player is checked out for a match; ``logged-out``: the
            player's session was ended.
        ticket_id: the player's ticket.
        held: where a player is who is in a match.
    """

    outcome: WriteOutcome
    ticket_id: UUID
    held: HeldPlayer | None = None


@dataclass(frozen=True, slots=True)
class _PendingTicket:
    ticket: Ticket
    result: asyncio.Future[WriteResult]
    despite_match: bool  # its player's match is known to be lost: the lease is about to end


class TicketWriter:
    """Gathers new tickets and writes them. Used from one event loop.

    Args:
        scripts: the cache's scripts.
        skills: where players' skills come from.
        regions: the fleet's regions, in the order of the tickets' latencies.
        game_modes: by which game mode the players of a mode are rated, where it has another name.
        blocks_in: modes whose rules read whom players block.
    """

    def __init__(
        self,
        scripts: Scripts,
        skills: Skills,
        regions: Sequence[str],
        game_modes: Mapping[str, str] | None = None,
        blocks_in: Collection[str] = (),
    ) -> None:
        self._scripts = scripts
        self._skills = skills
        self._game_modes = game_modes or {}
        self._blocks_in = blocks_in
        self._regions = ",".join(regions)
        self._format = RecordFormat(len(regions))
        self._gathered: dict[str, list[_PendingTicket]] = defaultdict(list)
        self._waiting = 0
        self._overdue: set[str] = set()  # modes whose time to write came while too many writes were under way
        self._writes: set[asyncio.Task[None]] = set()
        # What waits as long as it may, and until when (the loop's seconds); also what is done by now.
        self._patient: deque[tuple[float, asyncio.Future[WriteResult]]] = deque()

    async def submit(self, mode: str, ticket: Ticket, *, despite_match: bool = False) -> WriteResult:
        """Queue a ticket, unless its player has one, or is in a match.

        ``despite_match``: the match that the player is in is known to be lost.

        Raises SkillsUnavailableError, DeadlineExceededError, and the cache's errors.
        """
        return await self.enqueue(mode, ticket, despite_match=despite_match)

    def enqueue(
        self, mode: str, ticket: Ticket, *, despite_match: bool = False
    ) -> asyncio.Future[WriteResult]:
        """Begin what `submit` does; the future has its result or its error. Raises WriterFullError."""
        if self._waiting >= MAX_WAITING:
            raise WriterFullError("too many tickets wait to be written")
        loop = asyncio.get_running_loop()
        result: asyncio.Future[WriteResult] = loop.create_future()
        gathered = self._gathered[mode]
        gathered.append(_PendingTicket(ticket, result, despite_match))
        if len(gathered) == 1:
            loop.call_later(GATHER_S, self._due, mode)
        elif len(gathered) == MAX_BATCH:
            self._flush(mode)
        self._waiting += 1
        result.add_done_callback(self._over)
        # Nearly all have the same patience: one timer for all of them, for each costs 5 µs to set and cancel.
        if (left_s := deadline.left_s(self._scripts.clock, PATIENCE_S)) < PATIENCE_S:
            timer = loop.call_later(left_s, _give_up, result)
            result.add_done_callback(lambda _: timer.cancel())
        else:
            self._patient.append((loop.time() + PATIENCE_S, result))
            if len(self._patient) == 1:
                loop.call_later(PATIENCE_S, self._lose_patience)
        return result

    async def drain(self) -> None:
        """Wait until everything gathered is written."""
        while self._gathered or self._writes:
            for mode in list(self._gathered):
                self._flush(mode)
            await asyncio.gather(*self._writes)

    def _over(self, _: asyncio.Future[WriteResult]) -> None:
        self._waiting -= 1

    def _lose_patience(self) -> None:
        """Give up what has waited for too long, and look again when the next has."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        while self._patient and (self._patient[0][0] <= now or self._patient[0][1].done()):
            _give_up(self._patient.popleft()[1])
        if self._patient:
            loop.call_later(self._patient[0][0] - now, self._lose_patience)

    def _due(self, mode: str) -> None:
        if len(self._writes) < MAX_WRITES:
            self._flush(mode)
        else:
            self._overdue.add(mode)

    def _written(self, write: asyncio.Task[None]) -> None:
        self._writes.discard(write)
        overdue, self._overdue = self._overdue, set()
        for mode in overdue:
            self._due(mode)

    def _flush(self, mode: str) -> None:
        # Done by now: the player has hung up, or given up, and a ticket of theirs would be nobody's.
        batch = [each for each in self._gathered.pop(mode, ()) if not each.result.done()]
        if batch:
            with deadline.serving(None):  # a write works for many requests
                write = asyncio.create_task(self._write_batch(mode, batch))
            self._writes.add(write)
            write.add_done_callback(self._written)

    async def _write_batch(self, mode: str, batch: list[_PendingTicket]) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._write(mode, batch)
        except Exception as error:
            log.warning("tickets not queued", tickets=len(batch), error=str(error))
            for pending in batch:
                _fail(pending, error)

    async def _write(self, mode: str, batch: list[_PendingTicket]) -> None:
        rated = self._game_modes.get(mode) or mode
        players = [pending.ticket.player_id for pending in batch]
        blocks = mode in self._blocks_in
        known = await skills_of(self._skills, rated, players, blocks=blocks)
        writing: list[_PendingTicket] = []
        records: list[bytes] = []
        for pending in batch:
            ticket = pending.ticket
            if (reason := known.refused.get(ticket.player_id)) is not None:
                _fail(pending, SkillsRefusedError(f"player {ticket.player_id}: {reason}"))
            elif (ban := known.banned.get(ticket.player_id)) is not None:
                _fail(pending, banned_problem(*ban))
            elif ticket.player_id in known.logged_out:
                _answer(pending, WriteResult("logged-out", ticket.ticket_id))
            elif (held := known.held.get(ticket.player_id)) is not None and not pending.despite_match:
                _answer(pending, WriteResult("in-match", ticket.ticket_id, held))
            elif ticket.party_until and _is_void(ticket, known):
                _answer(pending, WriteResult("party-changed", ticket.ticket_id))
            else:
                writing.append(pending)
        if not writing:
            return
        try:
            records = [self._format.pack([pending.ticket for pending in writing], known.ratings)]
        except (TypeError, ValueError, OverflowError):
            writing, records = self._packable(writing, known.ratings)
        if not writing:
            return
        for pending, answer in zip(
            writing, await self._create(mode, writing, b"".join(records), known), strict=True
        ):
            _answer(pending, _write_result(pending.ticket, answer))

    def _packable(
        self, batch: list[_PendingTicket], ratings: Mapping[int, tuple[float, float]]
    ) -> tuple[list[_PendingTicket], list[bytes]]:
        """Pack tickets one by one: those that cannot be packed fail alone."""
        kept, records = [], []
        for pending in batch:
            try:
                records.append(self._format.pack([pending.ticket], ratings))
            except (TypeError, ValueError, OverflowError) as error:
                log.error("a ticket cannot be packed", player_id=pending.ticket.player_id, error=str(error))
                metrics.poisoned.inc()
                _fail(pending, SkillsRefusedError("the ticket cannot be queued as it is"))
            else:
                kept.append(pending)
        return kept, records

    async def _create(
        self, mode: str, batch: list[_PendingTicket], records: bytes, known: PlayerSkills
    ) -> list[tuple[bytes, bytes] | int]:
        tickets = [pending.ticket for pending in batch]
        kept_s = max(ticket.expires_at - ticket.enqueued_at for ticket in tickets) + self._scripts.retention_s
        rows = [_row(ticket, known.queued) for ticket in tickets]
        args: list[Argument] = [
            mode,
            self._regions,
            math.ceil(kept_s),
            msgspec.msgpack.encode(rows),
            records,
        ]
        if tickets[0].attributes is not None:  # a mode's tickets all have them, or none has
            blocked = known.blocked
            args.append(
                msgspec.msgpack.encode(
                    [
                        with_blocked(ticket.attributes or "", blocked[ticket.player_id])
                        if blocked.get(ticket.player_id)
                        else ticket.attributes
                        for ticket in tickets
                    ]
                )
            )
        answers: list[tuple[bytes, bytes] | int] = await self._scripts.create_tickets(
            args,
            mode=mode,
            tickets=[str(ticket.ticket_id) for ticket in tickets],
            players=[ticket.player_id for ticket in tickets],
            # of parties: the ticket's, or the one that queues without it
            keys=list({KEYS["party"] + (row[5] or row[6]): None for row in rows if len(row) > 5}),
        )
        return answers


def _give_up(result: asyncio.Future[WriteResult]) -> None:
    if not result.done():
        result.set_exception(DeadlineExceededError("the ticket was not written in time"))


def _answer(pending: _PendingTicket, result: WriteResult) -> None:
    if not pending.result.done():  # done: the player has hung up
        pending.result.set_result(result)


def _fail(pending: _PendingTicket, error: Exception) -> None:
    if not pending.result.done():
        pending.result.set_exception(error)


def _write_result(ticket: Ticket, answer: tuple[bytes, bytes] | int) -> WriteResult:
    if isinstance(answer, int):
        return WriteResult("created", ticket.ticket_id)
    outcome, ticket_id = answer
    return WriteResult(cast(WriteOutcome, outcome.decode()), UUID(ticket_id.decode()))


def _is_void(ticket: Ticket, known: PlayerSkills) -> bool:
    """Whether a ticket's claim is not that with which its player's party queues now."""
    now, void = known.queued.get(ticket.player_id), known.void.get(ticket.player_id)
    if now is not None:
        return ticket.party != CLAIM_PREFIX + now
    return void is not None and ticket.party == CLAIM_PREFIX + void


def _row(ticket: Ticket, queued: Mapping[int, str]) -> tuple[str, ...]:
    """What the script reads of a ticket beside its id and its player's. One without a party has five fields,
    and two more where its player's party queues.
    """
    row = (
        ticket.client_key,
        ticket.wish,
        repr(ticket.enqueued_at),
        repr(ticket.expires_at),
        "1" if ticket.watched else "",
    )
    if ticket.party:
        until = repr(ticket.party_until + GATHERING_GRACE_S) if ticket.party_until else ""
        return (*row, ticket.party, str(ticket.party_size), ticket.party_terms, until)
    if ticket.player_id in queued and not ticket.by_service:
        return (*row, "", CLAIM_PREFIX + queued[ticket.player_id])
    return row
