"""The load test's bots, whose lines can die towards the server alone, and whose game can be of tomorrow."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

import numpy as np

from dedicated_server.cards import shipped_cards
from dedicated_server.protocol import connect_token
from dedicated_server.protocol import handshake as hs
from loadtest.bots.session import PlayerLink, SessionStatus
from loadtest.bots.swarm import Swarm
from loadtest.errors import BenchError
from loadtest.players.player_records import PlayerRecords
from loadtest.scenario.link_profiles import LinkProfile
from loadtest.scenario.population import draw_population
from loadtest.scenario.reader import SHIPPED, load_scenario

MODE: Final = "battle_royale"
LINE: Final = PlayerLink(rtt_ms=4.0, profile=LinkProfile())
DEAD: Final = PlayerLink(rtt_ms=4.0, profile=LinkProfile(), region="dead")  # what `Bots.cut` cuts
LONGEST_MS: Final = 50.0
LARGEST_MATCH: Final = 4
HEAR_S: Final = 12.0  # a client gives up after 10
NEXT_VERSION: Final = b"LDWIRE%02d" % (connect_token.MAJOR + 1)


class _Lines(Swarm):
    """Bots whose lines, cut, still bring what the server says; those in ``of_tomorrow`` speak another version
    than the server does.
    """

    of_tomorrow = False

    def _set_cut(self, bot: int) -> None:
        super()._set_cut(bot)
        self._state.inbound.links["cut"][bot] = False

    def _begin(self, session: int, mode: str) -> None:
        super()._begin(session, mode)
        if self.of_tomorrow:
            version = np.frombuffer(NEXT_VERSION, np.uint8)
            self._clients.sessions["request"][session, hs.AT_TOKEN : hs.AT_CIPHER] = version


class Bots:
    """Bots, and what they were told, counted as a flood counts it. Use it as an async context manager.

    Attributes:
        records: ``records.told()`` is a flood's ``told``.
    """

    def __init__(self) -> None:
        scenario = load_scenario(SHIPPED / "smoke.yaml")
        population = draw_population(scenario)
        self.records = PlayerRecords(np.zeros(len(population)))
        self._swarm = _Lines(
            population,
            cards=shipped_cards(),
            players=LARGEST_MATCH,
            scenario=scenario,
            longest_ms=LONGEST_MS,
        )

    async def __aenter__(self) -> Bots:
        await self._swarm.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._swarm.__aexit__(None, None, None)

    async def join(
        self, bot: int, token: bytes, link: PlayerLink = LINE, *, of_tomorrow: bool = False
    ) -> SessionStatus:
        """Begin a handshake."""
        self._swarm.of_tomorrow = of_tomorrow
        return await self._swarm.join(bot, token, link, MODE)

    async def connect(self, bot: int, token: bytes, link: PlayerLink = LINE) -> SessionStatus:
        """Be let in. Raises BenchError where the server does not within the time that a client has."""
        status = await self.join(bot, token, link)
        try:
            async with asyncio.timeout(HEAR_S):
                while not status.connected:
                    if status.broken:
                        raise BenchError(f"a bot was not let in: {status.reason or 'no answer'}")
                    await status.wait_for_change()
        except TimeoutError as error:
            raise BenchError("a bot was not let in: no answer") from error
        return status

    async def hear(self, bot: int, status: SessionStatus) -> int:
        """Wait until the session is over, count what ended it as a flood does, and return it.

        Of `protocol.reasons`; 0: nothing was heard.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HEAR_S):
                while not status.broken:
                    await status.wait_for_change()
        measured = await self._swarm.leave(bot)
        self.records.note_told(bot, measured.reason)
        return measured.reason

    @contextlib.asynccontextmanager
    async def cut(self) -> AsyncIterator[None]:
        """Let nothing of the bots whose link is `DEAD` get to the server while the block runs."""
        await self._swarm.cut(DEAD.region, off=True)
        try:
            yield
        finally:
            await self._swarm.cut(DEAD.region, off=False)
