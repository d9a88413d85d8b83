"""One match of one player: connect, play until it ends or the player leaves, come back where the connection
was lost, leave.
"""

from __future__ import annotations

import asyncio
import contextlib
import math

from loadtest.errors import (
    BackendError,
    ClientCrashedError,
    NoMatchError,
    PlayerLostError,
    SessionBrokenError,
)
from loadtest.players.client import GameClient
from loadtest.players.drops import ConnectionsDroppedError
from loadtest.players.player_records import PlayerState
from loadtest.target import Connection, Match, PlayEnd, Roams, Ticket

LEAVE_TIMEOUT_S = 3.0  # for saying good-bye when the run is stopped


class Seat:
    """A player's place in a match. It can be left and connected again.

    Args:
        client: of the player.
        ticket: with which they queued.
        match: that they were put into.
    """

    def __init__(self, client: GameClient, ticket: Ticket, match: Match) -> None:
        self._client, self._ticket, self._match = client, ticket, match
        self._connection: Connection = None
        self._connected = self._death_told = False

    async def connect(self) -> None:
        """Connect to the game server, for the first time or again.

        Raises SessionBrokenError, PlayerLostError, SwarmError.
        """
        context, client = self._client.context, self._client
        target, match = context.target, self._match
        if context.connects_by_request:
            found = await client.ask("connect", lambda session: target.connect(session, match))
        else:
            found = await client.call(lambda session: target.connect(session, match))
        self._connection, self._connected, self._death_told = found, True, False

    async def play_until(self, until_s: float) -> PlayEnd | None:
        """Play until the player has died or the match is over; None where it is ``until_s`` before that.

        Args:
            until_s: in seconds of the run; infinite for no such time.

        Raises:
            SessionBrokenError: the game server is not heard any more.
            ConnectionsDroppedError: all connections were dropped.
        """
        context, session = self._client.context, await self._client.session()
        left_s = None if until_s == math.inf else max(0.0, until_s - context.clock())
        try:
            async with context.drops.connected(), asyncio.timeout(left_s) as limit:
                end = await context.target.play(session, self._connection) or PlayEnd.OVER
        except TimeoutError:
            if not limit.expired():
                raise
            return None
        if end is PlayEnd.DIED and self._death_told:
            return PlayEnd.OVER  # a target that says it twice has nothing more to play
        self._death_told |= end is PlayEnd.DIED
        return end

    async def roam(self) -> float | None:
        """Get another address, on a target that has them; seconds until the game server was heard there.

        None where the match ended first. Raises SessionBrokenError, PlayerLostError, SwarmError.
        """
        target = self._client.context.target
        assert isinstance(target, Roams)
        self._client.context.records.roams[self._client.bot] += 1
        return await target.roam(await self._client.session(), self._connection)

    async def leave(self, *, silently: bool = False) -> None:
        """Leave the match, with or without a word. Does nothing where the player is not connected.

        Raises PlayerLostError, SwarmError.
        """
        if not self._connected:
            return
        self._connected = False
        client, ticket, connection = self._client, self._ticket, self._connection
        target = client.context.target
        if silently or not client.context.connects_by_request:
            with contextlib.suppress(BackendError, NoMatchError):
                await target.leave(await client.session(), ticket, connection, silently=silently)
        else:
            await client.ask("leave", lambda session: target.leave(session, ticket, connection))


async def play_match(client: GameClient, ticket: Ticket, match: Match, *, crashes: bool = True) -> None:
    """Connect to the match's game server, play to the end or to the player's death, and leave.

    Args:
        client: of the player.
        ticket: with which they queued.
        match: that they were put into.
        crashes: whether the client is killed meanwhile, where that is what happens to this kind of player.

    Raises:
        ClientCrashedError: the client was killed; the player presses Play again.
        SessionBrokenError: the game server is not heard any more, or never was; the player may queue again.
        PlayerLostError: the match cannot be played, for any other reason.
    """
    context, bot = client.context, client.bot
    records = context.records
    records.state[bot] = PlayerState.CONNECTING
    seat = Seat(client, ticket, match)
    try:
        async with asyncio.timeout(None) as limit:
            await seat.connect()
            records.connected_s[bot] = context.clock()
            records.state[bot] = PlayerState.PLAYING
            limit.reschedule(asyncio.get_running_loop().time() + context.max_match_s(bot))
            await _play_until_over(client, seat, match, crashes)
    except TimeoutError as error:
        await _leave_whatever_comes(seat)
        raise PlayerLostError("the match never ended") from error
    except BaseException:
        await _leave_whatever_comes(seat)
        raise
    await seat.leave()
    records.state[bot] = PlayerState.DONE


async def _leave_whatever_comes(seat: Seat) -> None:
    """Leave a match that has gone wrong. What that raises is less than what went wrong."""
    with contextlib.suppress(PlayerLostError, TimeoutError):
        async with asyncio.timeout(LEAVE_TIMEOUT_S):
            await seat.leave()


async def _play_until_over(client: GameClient, seat: Seat, match: Match, crashes: bool) -> None:
    """Play until the match is over, or until a player of this kind leaves it or loses their client."""
    context, bot = client.context, client.bot
    records, kind = context.records, context.behaviour_of(bot)
    quits_s = context.clock() + context.exponential_s(kind.quits_after_s)
    drops_s = context.clock() + context.exponential_s(kind.drops_every_s)
    crashes_s = context.clock() + context.exponential_s(kind.crashes_after_s if crashes else 0.0)
    roams = isinstance(context.target, Roams)
    roams_s = context.clock() + context.exponential_s(kind.roams_every_s if roams else 0.0)
    while True:
        playing = records.state[bot] == PlayerState.PLAYING
        next_s = min(quits_s, drops_s, crashes_s, roams_s) if playing else crashes_s
        try:
            end = await seat.play_until(next_s)
        except ConnectionsDroppedError:
            if not await _drop_and_reconnect(client, seat, match, away_s=0.0):
                return
            continue
        if end is PlayEnd.OVER:
            context.ended_matches.add(match.id)
            return
        if end is PlayEnd.DIED:
            if playing:
                records.died_s[bot] = context.clock()
                records.state[bot] = PlayerState.WATCHING
                if kind.after_death == "leave":
                    return
        elif next_s == crashes_s:
            await seat.leave(silently=True)
            raise ClientCrashedError("the client was killed in the match")
        elif next_s == roams_s:
            if (back_s := await seat.roam()) is not None:
                records.roam_back_s.append(back_s)
            roams_s = context.clock() + context.exponential_s(kind.roams_every_s)
        elif quits_s <= drops_s:
            records.quits[bot] += 1
            await seat.leave(silently=True)
            return
        else:
            if not await _drop_and_reconnect(client, seat, match, kind.away_s):
                return
            drops_s = context.clock() + context.exponential_s(kind.drops_every_s)


async def _drop_and_reconnect(client: GameClient, seat: Seat, match: Match, away_s: float) -> bool:
    """Lose the connection for a while; False where the match ended meanwhile."""
    context, bot = client.context, client.bot
    context.records.disconnects[bot] += 1
    await seat.leave(silently=True)
    await asyncio.sleep(away_s)
    began_s = context.clock()
    try:
        await seat.connect()
    except SessionBrokenError as error:
        if match.id in context.ended_matches:
            return False
        raise SessionBrokenError("the player could not come back into the match") from error
    context.records.reconnects[bot] += 1
    context.records.return_s.append(context.clock() - began_s)
    return True
