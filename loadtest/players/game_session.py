"""One player's session on one of our own game servers, over UDP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from loadtest.bots.session import PlayerLink, SessionStatistics, SessionStatus
from loadtest.errors import SessionBrokenError, TokenExpiredError
from loadtest.players.player_records import PlayerRecords
from loadtest.target import PlayEnd

CONNECT_TIMEOUT_S = 15.0  # the client itself gives up after 10


class FastLane(Protocol):
    """What a session needs of the UDP side of the bots."""

    async def join(self, bot: int, connect_token: bytes, link: PlayerLink, mode: str) -> SessionStatus:
        """Start the handshake with a game server, for a match in a mode.

        Raises:
            ConnectTokenError: the token is none.
            OSError: no socket can be opened.
            SwarmError: the bots' thread has ended, or they do not know the mode.
        """
        ...

    async def roam(self, bot: int) -> None:
        """Go on from another port; the session's status says when the server was heard there.

        Raises:
            OSError: no socket can be opened.
            SwarmError: the bots' thread has ended.
        """
        ...

    async def leave(self, bot: int, *, silently: bool = False) -> SessionStatistics:
        """Say good-bye, or vanish without one. Raises SwarmError."""
        ...


class GameSession:
    """A player's session on a game server.

    Args:
        swarm: the UDP side of the bots.
        bot: whose session it is.
        records: get what the client has measured.
        clock: seconds of the run.
    """

    def __init__(self, swarm: FastLane, bot: int, records: PlayerRecords, clock: Callable[[], float]) -> None:
        self._swarm, self._bot, self._records, self._clock = swarm, bot, records, clock
        self._joined = self._died = False
        self._status = SessionStatus()

    async def connect(self, connect_token: bytes, link: PlayerLink, mode: str) -> None:
        """Shake hands with the game server of a match that is played in ``mode``.

        Raises:
            SessionBrokenError: it does not answer, or does not let the player in.
            TokenExpiredError: the token has expired by its clock.
            ConnectTokenError, OSError, SwarmError: the handshake cannot begin.
        """
        self._status = await self._swarm.join(self._bot, connect_token, link, mode)
        self._joined = True
        try:
            await self._wait_until_connected()
        except BaseException:
            await self.leave()
            raise

    async def _wait_until_connected(self) -> None:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                while not self._status.connected:
                    if self._status.expired:
                        self._records.tokens_expired[self._bot] += 1
                        raise TokenExpiredError("the game server takes the connect token for expired")
                    if self._status.broken:
                        said = self._status.reason or "it does not answer any more"
                        raise SessionBrokenError(f"the game server did not let the player in: {said}")
                    await self._status.wait_for_change()
        except TimeoutError as error:
            raise SessionBrokenError("the game server did not answer the handshake") from error

    async def play(self) -> PlayEnd:
        """Wait until the match is over, or until the player has died in it for good, which is told once.

        Raises SessionBrokenError.
        """
        while not self._status.match_over:
            if self._status.broken:
                said = self._status.reason or "the game server fell silent"
                raise SessionBrokenError(f"the session broke during the match: {said}")
            if self._status.died and not self._died:
                self._died = True
                return PlayEnd.DIED
            await self._status.wait_for_change()
        return PlayEnd.OVER

    async def roam(self) -> float | None:
        """Go on from another port, without a word.

        Returns the seconds until the server was heard there, from the first datagram that left it; None where
        the match ended first. Raises SessionBrokenError where it never was, OSError, SwarmError.
        """
        status = self._status
        status.back_s = None
        await self._swarm.roam(self._bot)
        while status.back_s is None and not status.match_over:
            if status.broken:
                raise SessionBrokenError("the session broke after the player's address had changed")
            await status.wait_for_change()
        return status.back_s

    async def leave(self, *, silently: bool = False) -> None:
        """Say good-bye, or vanish without one, and record what the client measured.

        Does nothing after the first call.
        """
        if not self._joined:
            return
        self._joined = False
        records, bot = self._records, self._bot
        if not self._status.match_over:
            records.matches_missed[bot] += 1
        measured = await self._swarm.leave(bot, silently=silently)
        records.note_told(bot, measured.reason)
        records.kills_seen[bot] += measured.kills
        records.deaths_seen[bot] += measured.deaths
        connected_s = self._clock() - records.connected_s[bot]
        records.rtt_ms[bot] = measured.rtt_ms
        if connected_s > 0:
            records.received_kbit_s[bot] = measured.received_bytes * 8e-3 / connected_s
            records.sent_kbit_s[bot] = measured.sent_bytes * 8e-3 / connected_s
