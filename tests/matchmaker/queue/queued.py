"""Tickets in a queue, without an API."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from uuid import uuid4

from launchday.settings import Settings
from matchmaker.api.ticket_writer import TicketWriter
from matchmaker.queue.scripts import Scripts
from matchmaker.tickets.ticket import Ticket
from tests.matchmaker.conftest import StubSkills

MODE = "battle_royale"


async def queued(
    scripts: Scripts, settings: Settings, players: Iterable[int], parties: Mapping[int, str] | None = None
) -> list[str]:
    """Have tickets of players written in one batch; return their ids. ``parties``: of two players each."""
    parties, now = parties or {}, time.time()
    writer = TicketWriter(scripts, StubSkills(), settings.region_names)
    tickets = [
        Ticket(
            uuid4(), player, now, now + 60.0, "pc", True, "", (12.0,) * len(settings.region_names),
            parties.get(player, ""), 2 if player in parties else 1,
        )
        for player in players
    ]  # fmt: skip
    written = [writer.enqueue(MODE, ticket) for ticket in tickets]
    await writer.drain()
    for each in written:
        await each
    return [str(ticket.ticket_id) for ticket in tickets]
