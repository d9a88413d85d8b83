"""One match of one player over UDP: connect, play until it ends or the player leaves, disconnect."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import math

from dedicated_server.protocol.connect_token import ConnectTokenError
from launchday.resilience.exhaustion import own_shortage
from loadtest.bots.session import PlayerLink, SessionStatus
from loadtest.errors import ClientCrashedError, PlayerLostError, SessionBrokenError, TokenExpiredError
from loadtest.players.player_records import PlayerState
from loadtest.players.run_context import RunContext
from matchmaker.client import Assignment

CONNECT_TIMEOUT_S = 15.0  # the client itself gives up after 10
OVERTIME_S = 60.0  # a match that is still not over this long after its time has hung


class GameSession:
    """A player's session on a game server. It can be lost and connected again with the same token."""

    def __init__(self, context: RunContext, bot: int, connect_token: bytes, link: PlayerLink) -> None:
        self._context, self._bot, self._token, self._link = context, bot, connect_token, link
        self._joined = False
        self.status = SessionStatus()

    async def connect(self) -> None:
        """Start the handshake, for the first time or again. Raises ConnectTokenError, OSError, SwarmError."""
        self.status = await self._context.swarm.join(self._bot, self._token, self._link)
        self._joined = True

    async def wait_until_connected(self) -> None:
        """Wait for the server's answer. Raises SessionBrokenError."""
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                while not self.status.connected:
                    if self.status.refused:
                        self._context.records.tokens_expired[self._bot] += 1
                        raise TokenExpiredError("the game server takes the connect token for expired")
                    if self.status.broken:
                        raise SessionBrokenError("the game server did not let the player in")
                    await self.status.wait_for_change()
        except TimeoutError as error:
            raise SessionBrokenError("the game server did not answer the handshake") from error

    async def leave(self, *, silently: bool = False) -> None:
        """Say good-bye, or vanish without one, and record what the client measured.

        Does nothing after the first call.
        """
        if not self._joined:
            return
        self._joined = False
        records, bot = self._context.records, self._bot
        measured = await self._context.swarm.leave(bot, silently=silently)
        connected_s = self._context.clock() - records.connected_s[bot]
        records.rtt_ms[bot] = measured.rtt_ms
        if connected_s > 0:
            records.received_kbit_s[bot] = measured.received_bytes * 8e-3 / connected_s
            records.sent_kbit_s[bot] = measured.sent_bytes * 8e-3 / connected_s


async def play_match(context: RunContext, bot: int, assignment: Assignment, *, crashes: bool = True) -> None:
    """Connect to the assigned game server, play to the end or to the player's death, and leave.

    Args:
        context: of the run.
        bot: who plays.
        assignment: to which server, with which token.
        crashes: whether the client is killed meanwhile, where that is what happens to this kind of player.

    Raises:
        ClientCrashedError: the client was killed; the player presses Play again.
        SessionBrokenError: the game server is not heard any more, or never was; the player may queue again.
        PlayerLostError: the match cannot be played, for any other reason.
    """
    records = context.records
    records.state[bot] = PlayerState.CONNECTING
    try:
        connect_token = base64.b64decode(assignment.connect_token, validate=True)
        session = GameSession(context, bot, connect_token, context.link_to(bot, assignment.region))
        await session.connect()
    except (ConnectTokenError, binascii.Error) as error:
        raise PlayerLostError(f"connect token: {error}") from error
    except OSError as error:
        context.requests.note_shortage(error)
        raise PlayerLostError(f"no socket: {own_shortage(error) or error.strerror or error}") from error
    try:
        await session.wait_until_connected()
        records.connected_s[bot] = context.clock()
        records.state[bot] = PlayerState.PLAYING
        async with asyncio.timeout(max_match_s(context, bot)):
            await _play_until_over(context, bot, session, crashes)
        records.state[bot] = PlayerState.DONE
    except TimeoutError as error:
        raise PlayerLostError("the match never ended") from error
    finally:
        await session.leave()


def max_match_s(context: RunContext, bot: int) -> float:
    """Seconds after which the match of a player has hung."""
    return context.mode_section_of(bot).duration_s + OVERTIME_S


async def _play_until_over(context: RunContext, bot: int, session: GameSession, crashes: bool) -> None:
    """Play until the match is over, or until a player of this kind leaves it or loses their client."""
    records, kind = context.records, context.behaviour_of(bot)
    quits_s = context.clock() + context.exponential_s(kind.quits_after_s)
    drops_s = context.clock() + context.exponential_s(kind.drops_every_s)
    crashes_s = context.clock() + context.exponential_s(kind.crashes_after_s if crashes else 0.0)
    while not session.status.match_over:
        if session.status.broken:
            raise SessionBrokenError("the session broke during the match")
        if session.status.died and records.state[bot] == PlayerState.PLAYING:
            records.died_s[bot] = context.clock()
            records.state[bot] = PlayerState.WATCHING
            if kind.after_death == "leave":
                return
        playing = records.state[bot] == PlayerState.PLAYING
        next_s = min(quits_s, drops_s, crashes_s) if playing else crashes_s
        if context.clock() < next_s:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if next_s == math.inf else next_s - context.clock()):
                    await session.status.wait_for_change()
        elif next_s == crashes_s:
            await session.leave(silently=True)
            raise ClientCrashedError("the client was killed in the match")
        elif quits_s <= drops_s:
            records.quits[bot] += 1
            await session.leave(silently=True)
            return
        else:
            if not await _drop_and_reconnect(context, bot, session):
                return
            drops_s = context.clock() + context.exponential_s(kind.drops_every_s)
    context.ended_matches.add(records.match_id[bot])


async def _drop_and_reconnect(context: RunContext, bot: int, session: GameSession) -> bool:
    """Lose the connection for a while; False where the match ended meanwhile."""
    records = context.records
    records.disconnects[bot] += 1
    await session.leave(silently=True)
    await asyncio.sleep(context.behaviour_of(bot).away_s)
    try:
        await session.connect()
        await session.wait_until_connected()
    except SessionBrokenError as error:
        if records.match_id[bot] in context.ended_matches:
            return False
        raise SessionBrokenError("the player could not come back into the match") from error
    records.reconnects[bot] += 1
    return True
