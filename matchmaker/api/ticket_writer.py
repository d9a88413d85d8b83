"""Group commit: tickets that arrive within a few milliseconds go to the queue in one command.

Each is answered after the cache has acknowledged that command. It is half the cost of one awaited write a
ticket, and makes ``appendfsync always`` affordable.
"""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, cast
from uuid import UUID

import msgspec
import structlog

from matchmaker.errors import SkillsUnavailableError
from matchmaker.queue.scripts import Argument, Scripts
from matchmaker.tickets.ticket import RecordFormat, Ticket
from meta_service.client import MetaClient, MetaClientError

# 2 ms at 1,667 tickets/s took 0.84 of a core, most of it for some 350 calls a second to the meta service.
GATHER_S = 0.008
# Writes under way. What comes meanwhile goes together with the next write, so a busy API asks and writes less
# often.
MAX_WRITES = 2
MAX_BATCH = 500  # keeps the script below a few milliseconds, in which the cache serves nobody else

WriteOutcome = Literal["created", "repeated", "busy", "mismatch"]

log = structlog.get_logger()


class Skills(Protocol):
    """Where players' skills come from: the meta service, or a stand-in with the same answer."""

    async def skills(self, mode: str, player_ids: Sequence[int]) -> Mapping[int, tuple[float, float]]:
        """Return mean and deviation of each player's rating. Raises SkillsUnavailableError."""


class MetaSkills:
    """Skills from the meta service, a batch at a time; never from the client."""

    def __init__(self, meta: MetaClient) -> None:
        self._meta = meta

    async def skills(self, mode: str, player_ids: Sequence[int]) -> Mapping[int, tuple[float, float]]:
        """Return mean and deviation of each player's rating. Raises SkillsUnavailableError."""
        try:
            skills = (await self._meta.skills(mode, player_ids)).skills
        except MetaClientError as error:
            raise SkillsUnavailableError(str(error)) from error
        return {player_id: (skill.mu, skill.sigma) for player_id, skill in skills.items()}


@dataclass(frozen=True, slots=True)
class WriteResult:
    """What became of a creation.

    Attributes:
        outcome: ``created``; ``repeated``: the same client key made this ticket before; ``busy``: the player
            has another live ticket; ``mismatch``: the party is complete without it, or its players ask for
            something else.
        ticket_id: the player's ticket.
    """

    outcome: WriteOutcome
    ticket_id: UUID


@dataclass(frozen=True, slots=True)
class _PendingTicket:
    ticket: Ticket
    result: asyncio.Future[WriteResult]


class TicketWriter:
    """Gathers new tickets and writes them. Used from one event loop.

    Args:
        scripts: the cache's scripts.
        skills: where players' skills come from.
        regions: the fleet's regions, in the order of the tickets' latencies.
        game_modes: by which game mode the players of a mode are rated, where it has another name.
    """

    def __init__(
        self,
        scripts: Scripts,
        skills: Skills,
        regions: Sequence[str],
        game_modes: Mapping[str, str] | None = None,
    ) -> None:
        self._scripts = scripts
        self._skills = skills
        self._game_modes = game_modes or {}
        self._regions = ",".join(regions)
        self._format = RecordFormat(len(regions))
        self._gathered: dict[str, list[_PendingTicket]] = defaultdict(list)
        self._overdue: set[str] = set()  # modes whose time to write came while too many writes were under way
        self._writes: set[asyncio.Task[None]] = set()

    async def submit(self, mode: str, ticket: Ticket) -> WriteResult:
        """Queue a ticket, unless its player has one.

        Raises SkillsUnavailableError, and the cache's errors.
        """
        loop = asyncio.get_running_loop()
        result: asyncio.Future[WriteResult] = loop.create_future()
        gathered = self._gathered[mode]
        gathered.append(_PendingTicket(ticket, result))
        if len(gathered) == 1:
            loop.call_later(GATHER_S, self._due, mode)
        elif len(gathered) == MAX_BATCH:
            self._flush(mode)
        return await result

    async def drain(self) -> None:
        """Wait until everything gathered is written."""
        while self._gathered or self._writes:
            for mode in list(self._gathered):
                self._flush(mode)
            await asyncio.gather(*self._writes)

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
        if batch := self._gathered.pop(mode, None):
            write = asyncio.create_task(self._write_batch(mode, batch))
            self._writes.add(write)
            write.add_done_callback(self._written)

    async def _write_batch(self, mode: str, batch: list[_PendingTicket]) -> None:
        try:
            answers = await self._write(mode, [pending.ticket for pending in batch])
        except Exception as error:
            log.warning("tickets not queued", tickets=len(batch), error=str(error))
            for pending in batch:
                if not pending.result.done():  # done: the player has hung up
                    pending.result.set_exception(error)
            return
        for pending, answer in zip(batch, answers, strict=True):
            if not pending.result.done():
                pending.result.set_result(_write_result(pending.ticket, answer))

    async def _write(self, mode: str, tickets: list[Ticket]) -> list[tuple[bytes, bytes] | int]:
        rated = self._game_modes.get(mode) or mode
        skills = await self._skills.skills(rated, [ticket.player_id for ticket in tickets])
        kept_s = max(ticket.expires_at - ticket.enqueued_at for ticket in tickets) + self._scripts.retention_s
        for ticket in tickets:
            if ticket.player_id not in skills:
                raise SkillsUnavailableError(f"the meta service gave no skill for player {ticket.player_id}")
        args: list[Argument] = [
            mode,
            self._regions,
            math.ceil(kept_s),
            msgspec.msgpack.encode([_row(ticket) for ticket in tickets]),
            self._format.pack(tickets, skills),
        ]
        if tickets[0].attributes is not None:  # a mode's tickets all have them, or none has
            args.append(msgspec.msgpack.encode([ticket.attributes for ticket in tickets]))
        answers: list[tuple[bytes, bytes] | int] = await self._scripts.create_tickets(args)
        return answers


def _write_result(ticket: Ticket, answer: tuple[bytes, bytes] | int) -> WriteResult:
    if isinstance(answer, int):
        return WriteResult("created", ticket.ticket_id)
    outcome, ticket_id = answer
    return WriteResult(cast(WriteOutcome, outcome.decode()), UUID(ticket_id.decode()))


def _row(ticket: Ticket) -> tuple[str, ...]:
    """What the script reads of a ticket; one without a party has five fields."""
    row = (
        str(ticket.ticket_id),
        str(ticket.player_id),
        ticket.client_key,
        repr(ticket.enqueued_at),
        repr(ticket.expires_at),
    )
    return (*row, ticket.party, str(ticket.party_size), ticket.party_terms) if ticket.party else row
