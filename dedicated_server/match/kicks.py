"""Players who have to leave a running match: the server asks the meta service for them, and closes their
slots.

A player is kicked when an operator bans them. The meta service notes it beside the player's check-out, and
the server asks every `PERIOD_S` what was noted since; so a ban reaches the match within seconds, and while
the meta service does not answer the match plays on and hears of it later. A kicked player has left: their
result counts and is committed at the end, or when a backfill takes the slot.
"""

from __future__ import annotations

import asyncio
from typing import Protocol
from uuid import UUID

import structlog

from dedicated_server.protocol.reasons import BANNED, KICKED
from dedicated_server.tick.engine import Engine
from launchday.clock import Clock
from meta_service.client import Kicks, MetaClientError

PERIOD_S = 2.0  # a call of every server in so many seconds costs the meta service half a millisecond
ANSWER_S = 2.0  # a call holds the connection that commits need, too
BEGINNING = "0-0"

log = structlog.get_logger()


class KickSource(Protocol):
    """The meta service, as this needs it."""

    async def kicks(self, match_id: UUID, after: str = BEGINNING) -> Kicks:
        """Return whom to kick, after a cursor. Raises MetaClientError."""


class KickFollower:
    """Kicks the players of one match.

    Args:
        match_id: the match.
        engine: its slots are closed here, between two ticks.
        source: says whom.
        clock: paces the questions.
    """

    def __init__(self, match_id: UUID, engine: Engine, source: KickSource, clock: Clock) -> None:
        self._match_id, self._engine, self._source, self._clock = match_id, engine, source, clock
        self._cursor = BEGINNING
        self._why: dict[int, str] = {}  # by player id; also of players who have no slot yet
        self._away = False

    async def run(self) -> None:
        """Follow, until cancelled."""
        while True:
            try:
                async with asyncio.timeout(ANSWER_S):
                    await self.follow()
                self._away = False
            except (MetaClientError, TimeoutError) as error:
                if not self._away:
                    log.warning("cannot ask whom to kick, trying again", reason=str(error) or "no answer")
                self._away = True
            await self._clock.sleep(PERIOD_S)

    async def follow(self) -> None:
        """Kick whoever is to leave by now. Raises MetaClientError."""
        self._close_slots()  # somebody who was named before may have been given a slot since
        told = await self._source.kicks(self._match_id, self._cursor)
        self._why.update({kick.player_id: kick.why for kick in told.kicks})
        self._cursor = told.cursor
        self._close_slots()

    def _close_slots(self) -> None:
        if not self._why:
            return
        slots = self._engine.slots
        for player in self._engine.match.roster:
            if player.player_id in self._why and not slots.kicked[player.entity]:
                why = self._why[player.player_id]
                slots.kick(player.entity, BANNED if why == "banned" else KICKED)
                log.info("a player is kicked", player_id=player.player_id, entity=player.entity, reason=why)
