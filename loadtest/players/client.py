"""A player's client: who is logged in, and how each request is made, repeated, and made again after all
connections were dropped.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from loadtest.errors import (
    BackendRefusedError,
    BackendUnavailableError,
    PlayerInMatchError,
    PlayerLostError,
)
from loadtest.players.drops import ConnectionsDroppedError
from loadtest.players.run_context import RunContext
from loadtest.target import Match, Session

T = TypeVar("T")


class GameClient:
    """What one player's client does on the target.

    Args:
        context: of the run.
        bot: the player's number.

    Attributes:
        player: as the target gets to know them.
        match: that they were last put into, or None.
    """

    def __init__(self, context: RunContext, bot: int) -> None:
        self.context, self.bot = context, bot
        self.player = context.player(bot)
        self.match: Match | None = None
        self._session: Session = None
        self._drops_seen = -1  # of the session: it has never been logged in

    async def session(self) -> Session:
        """The player's session; logs them in where there is none, or all connections were dropped since.

        Raises PlayerLostError.
        """
        drops, target = self.context.drops, self.context.target
        while self._drops_seen != drops.count:
            count = drops.count
            try:
                async with drops.connected():
                    self._session = await self.send("log in", lambda: target.log_in(self.player))
            except ConnectionsDroppedError:
                continue
            self._drops_seen = count
        return self._session

    async def call(self, request: Callable[[Session], Awaitable[T]]) -> T:
        """Do something with the player's session; again, and with a new one, after dropped connections."""
        while True:
            session = await self.session()
            try:
                async with self.context.drops.connected():
                    return await request(session)
            except ConnectionsDroppedError:
                continue

    async def ask(self, kind: str, request: Callable[[Session], Awaitable[T]], *, timed: bool = True) -> T:
        """Make a request with the player's session, and repeat it where the backend could not answer.

        Args:
            kind: under which it is counted.
            request: makes one try with a session.
            timed: whether the time until the answer measures the backend.

        Raises PlayerLostError; PlayerInMatchError where a player may not queue because they are in a match;
        NoMatchError.
        """
        return await self.call(lambda session: self.send(kind, lambda: request(session), timed=timed))

    async def send(self, kind: str, request: Callable[[], Awaitable[T]], *, timed: bool = True) -> T:
        """Make a request as :meth:`ask` does, without the session; dropped connections end it."""
        context = self.context
        try:
            return await context.requests.send(
                kind,
                request,
                context.scenario.behaviours.retries,
                context.clock,
                context.uniform,
                timed=timed,
            )
        except PlayerInMatchError:
            raise
        except (BackendRefusedError, BackendUnavailableError) as error:
            raise PlayerLostError(str(error)) from error
