"""A target of somebody else's, guarded: what it raises becomes one of the errors that the journeys know, and
no call lasts forever.
"""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from loadtest.errors import (
    BackendRefusedError,
    BackendUnavailableError,
    NoMatchError,
    PlayerInMatchError,
    PlayerLostError,
    SessionBrokenError,
)
from loadtest.players.requests import RequestLog
from loadtest.target import (
    ANSWER_S,
    Ask,
    Connection,
    CountsTickets,
    GathersParties,
    KeepsTickets,
    Match,
    Party,
    PlayEnd,
    Player,
    QueueRequest,
    RenewsMatches,
    Roams,
    SavesProgress,
    Session,
    Shop,
    Target,
    Ticket,
)

T = TypeVar("T")

UNUSABLE = "is no target"
MAX_REASON = 200  # characters of an error that a player is lost with
KNOWN_ERRORS = (BackendUnavailableError, BackendRefusedError, NoMatchError, PlayerLostError)


class GuardedTarget:
    """A target whose every call ends in an answer or in an error of the journeys.

    It has of the optional abilities those that the target has.

    Args:
        target: of somebody else's.
        requests: gets the shortages of this process.
        patience_s: the longest that a player waits before trying again, whatever the target says.
    """

    def __init__(self, target: Target, requests: RequestLog, patience_s: float = math.inf) -> None:
        self._target, self._requests, self._patience_s = target, requests, patience_s
        self._says_silently = _takes(target.leave, "silently")
        if isinstance(target, Shop):
            self.shop = self._shop
        if isinstance(target, GathersParties):
            self.gather = self._gather
        if isinstance(target, KeepsTickets):
            self.requeued = self._requeued
        if isinstance(target, RenewsMatches):
            self.renew = self._renew
        if isinstance(target, Roams):
            self.roam = self._roam
        if isinstance(target, SavesProgress):
            self.saved = self._saved
        if isinstance(target, CountsTickets):
            self.counters = self._counters

    async def log_in(self, player: Player) -> Session:
        """Log a player in."""
        return await self._answer("log_in", lambda: self._target.log_in(player))

    async def queue(self, session: Session, request: QueueRequest) -> Ticket:
        """Queue a player for a match."""
        return await self._answer("queue", lambda: self._target.queue(session, request))

    async def wait(self, session: Session, ticket: Ticket) -> Match:
        """Wait for the ticket's match, as long as the player's patience lasts."""
        match = await self._guard("wait", lambda: self._target.wait(session, ticket))
        if match is None:
            raise NoMatchError
        return _checked("wait", match)

    async def connect(self, session: Session, match: Match) -> Connection:
        """Connect to a match; the match itself stands for a connection where the target has none."""
        try:
            found = await self._answer("connect", lambda: self._target.connect(session, match))
        except BackendRefusedError as error:
            raise PlayerLostError(str(error)) from error
        return match if found is None else found

    async def play(self, session: Session, connection: Connection) -> PlayEnd:
        """Play, as long as the match's time lasts."""
        try:
            end = await self._guard("play", lambda: self._target.play(session, connection))
        except BackendUnavailableError as error:
            raise SessionBrokenError(str(error)) from error
        except (BackendRefusedError, NoMatchError) as error:
            raise PlayerLostError(str(error)) from error
        return PlayEnd.DIED if end == PlayEnd.DIED else PlayEnd.OVER

    async def leave(
        self,
        session: Session,
        ticket: Ticket,
        connection: Connection | None = None,
        *,
        silently: bool = False,
    ) -> Match | None:
        """Leave the queue, or the match."""
        how = {"silently": silently} if self._says_silently else {}
        match = await self._answer("leave", lambda: self._target.leave(session, ticket, connection, **how))
        return None if match is None or connection is not None else _checked("leave", match)

    async def _shop(self, session: Session, key: str, ask: Ask[Any]) -> None:
        assert isinstance(self._target, Shop)
        shop: Shop = self._target

        async def bounded(kind: str, request: Callable[[], Awaitable[T]]) -> T:
            found: T = await ask(kind, lambda: self._answer(kind, request))
            return found

        try:
            await self._guard("shop", lambda: shop.shop(session, key, bounded))
        except (BackendRefusedError, BackendUnavailableError, NoMatchError) as error:
            raise PlayerLostError(str(error)) from error

    async def _gather(self, session: Session, party: Party, mode: str, ask: Ask[Any]) -> Any:
        assert isinstance(self._target, GathersParties)
        gatherer: GathersParties = self._target

        async def bounded(kind: str, request: Callable[[], Awaitable[T]]) -> T:
            found: T = await ask(kind, lambda: self._answer(kind, request))
            return found

        try:
            return await self._guard("gather", lambda: gatherer.gather(session, party, mode, bounded))
        except (BackendRefusedError, BackendUnavailableError, NoMatchError) as error:
            raise PlayerLostError(str(error)) from error

    async def _requeued(self, session: Session, ticket: Ticket) -> Ticket | None:
        assert isinstance(self._target, KeepsTickets)
        keeper: KeepsTickets = self._target
        return await self._answer("requeued", lambda: keeper.requeued(session, ticket))

    async def _renew(self, session: Session, ticket: Ticket) -> Match | None:
        assert isinstance(self._target, RenewsMatches)
        renewer: RenewsMatches = self._target
        match = await self._answer("renew", lambda: renewer.renew(session, ticket))
        return None if match is None else _checked("renew", match)

    async def _roam(self, session: Session, connection: Connection) -> float | None:
        assert isinstance(self._target, Roams)
        roaming: Roams = self._target
        try:
            return await self._guard("roam", lambda: roaming.roam(session, connection))
        except BackendUnavailableError as error:
            raise SessionBrokenError(str(error)) from error
        except (BackendRefusedError, NoMatchError) as error:
            raise PlayerLostError(str(error)) from error

    async def _saved(self, session: Session, match: Match, longest_s: float) -> None:
        assert isinstance(self._target, SavesProgress)
        saver: SavesProgress = self._target
        try:
            await self._guard("saved", lambda: saver.saved(session, match, longest_s), longest_s + ANSWER_S)
        except (BackendRefusedError, BackendUnavailableError, NoMatchError) as error:
            raise PlayerLostError(str(error)) from error

    async def _counters(self) -> Mapping[str, int]:
        """The target's counters by their names. Raises BackendUnavailableError, whatever goes wrong."""
        assert isinstance(self._target, CountsTickets)
        counting: CountsTickets = self._target
        try:
            found = await self._answer("counters", counting.counters)
        except (BackendRefusedError, NoMatchError, PlayerLostError) as error:
            raise BackendUnavailableError(str(error)) from error
        if not isinstance(found, Mapping):
            raise BackendUnavailableError(f"counters: returned a {type(found).__name__}, not a mapping")
        wrong = [name for name, count in found.items() if isinstance(count, bool) or not _whole(count)]
        if wrong:
            raise BackendUnavailableError(f"counters: {wrong[0]} is {found[wrong[0]]!r}, not a whole number")
        return {str(name): int(count) for name, count in found.items()}

    async def _answer(self, what: str, call: Callable[[], Awaitable[T]]) -> T:
        """Call something that has ANSWER_S to answer."""
        return await self._guard(what, call, ANSWER_S)

    async def _guard(self, what: str, call: Callable[[], Awaitable[T]], longest_s: float | None = None) -> T:
        """Call something; what it raises is one of KNOWN_ERRORS then."""
        try:
            async with asyncio.timeout(longest_s) as limit:
                found = call()
                if not inspect.isawaitable(found):
                    raise PlayerLostError(f"{what}: is no coroutine; write async def {what}")
                return await found
        except BackendUnavailableError as error:
            if error.retry_after_s is not None:
                error.retry_after_s = self._capped(error.retry_after_s)
            raise
        except PlayerInMatchError as error:
            if not isinstance(error.match, Match):
                error.match = None
            raise
        except KNOWN_ERRORS:
            raise
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise PlayerLostError(f"{what}: the target has cancelled it") from error
        except TimeoutError as error:
            why = (
                f"no answer within {longest_s:g} s" if limit.expired() else str(error) or "no answer in time"
            )
            raise BackendUnavailableError(f"{what}: {why}") from error
        except OSError as error:
            self._requests.note_shortage(error)
            raise BackendUnavailableError(f"{what}: {_told(error)}") from error
        except (Exception, SystemExit) as error:
            raise PlayerLostError(f"{what}: {_told(error)}") from error

    def _capped(self, retry_after_s: Any) -> float:
        """When a player comes again: no later than their patience lasts, whatever the target says."""
        if not isinstance(retry_after_s, int | float) or math.isnan(retry_after_s):
            return 0.0
        return min(max(0.0, float(retry_after_s)), self._patience_s)


def _checked(what: str, match: Any) -> Match:
    if not isinstance(match, Match):
        raise PlayerLostError(
            f"{what}: returned a {type(match).__name__}, not a loadtest.target.Match; "
            "where there is none, raise NoMatchError"
        )
    if match.id is None or match.id == "":
        raise PlayerLostError(f"{what}: the match has no id")
    return replace(match, id=str(match.id), region=str(match.region or ""))


def _takes(method: Callable[..., Any], keyword: str) -> bool:
    """Whether a method can be called with a keyword; those of a target may leave some out."""
    try:
        parameters = inspect.signature(method).parameters.values()
    except (TypeError, ValueError):
        return True
    return any(each.name == keyword or each.kind is each.VAR_KEYWORD for each in parameters)


def _whole(count: Any) -> bool:
    return isinstance(count, int) or (isinstance(count, float) and count.is_integer())


def _told(error: BaseException) -> str:
    """An error as the reason that a player is lost with: in one line, and not endless."""
    text = " ".join(str(error).split())[:MAX_REASON]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
