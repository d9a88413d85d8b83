"""Tokens that have not expired and open nothing any more: of sessions that ended, and of banned players.

A token says for up to a quarter of an hour that its session is live. Each API process follows in the meta
service which sessions have ended since, also by a login elsewhere, and who was banned, twice a second; it
keeps what it has read until no token of the session is good any more, or the ban is over. So a request is
judged by two look-ups in memory, and asks nobody. While the meta service does not answer, what was read
before goes on to hold.

Whoever waits for a ticket when the session ends goes on waiting, and reads how the ticket ends; but a seat in
a match is given to nobody whose token opens nothing by then.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Protocol

import structlog
from fastapi import Depends, Request

from launchday.clock import Clock
from launchday.identity import Identity
from launchday.problems import ProblemError
from launchday.service import PlayerCaller
from matchmaker.api.following import BEGINNING, follow_on
from meta_service.client import Revocation, Revocations

MAX_SESSIONS = 500_000  # kept at once, about 100 MB; beyond, the oldest are forgotten: their tokens end first
MAX_BANS = 500_000
SWEEP_S = 30.0  # between two looks for what need not be kept any more

_ENDINGS = {
    "superseded": ("session-superseded", "the account has logged in elsewhere since"),
}
_REVOKED = ("session-revoked", "the player's session was ended: log in again")

log = structlog.get_logger()


class RevocationSource(Protocol):
    """The meta service, as a follower needs it."""

    async def revocations(self, after: str = BEGINNING) -> Revocations:
        """Return what was revoked after a cursor. Raises MetaClientError."""


class RevokedTokens:
    """What one API process knows of revoked tokens.

    Args:
        clock: when entries end.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sessions: dict[str, tuple[float, str]] = {}  # id → Unix seconds until which it is kept, why
        self._bans: dict[int, tuple[float, str]] = {}  # player → Unix seconds of its end, 0: none; reason
        self._sweep_at = float("-inf")

    def refuses(self, session_id: str, player_id: int) -> bool:
        """Whether a token may be refused; `refusal` says whether it is, and how. For each request."""
        return session_id in self._sessions or player_id in self._bans

    def refusal(self, session_id: str, player_id: int) -> ProblemError | None:
        """The problem of a token that opens nothing any more; None where it is as good as it says."""
        now = self._clock.now()
        if (ban := self._bans.get(player_id)) is not None and (ban[0] == 0 or ban[0] > now):
            return banned_problem(ban[1], ban[0] or None)
        if (ended := self._sessions.get(session_id)) is not None and ended[0] > now:
            slug, detail = _ENDINGS.get(ended[1], _REVOKED)
            return ProblemError(401, slug, detail, headers={"WWW-Authenticate": "Bearer"})
        return None

    def is_banned(self, player_id: int) -> bool:
        """Whether a player is known to be banned now."""
        ban = self._bans.get(player_id)
        return ban is not None and (ban[0] == 0 or ban[0] > self._clock.now())

    def take(self, revocation: Revocation) -> None:
        """Take a revocation in; taking one again changes nothing."""
        if revocation.session_id:
            self._sessions.pop(revocation.session_id, None)
            self._sessions[revocation.session_id] = (revocation.until, revocation.why)
            if len(self._sessions) > MAX_SESSIONS:
                del self._sessions[next(iter(self._sessions))]
        elif revocation.why == "banned":
            self._bans.pop(revocation.player_id, None)
            self._bans[revocation.player_id] = (revocation.until, revocation.reason)
            if len(self._bans) > MAX_BANS:
                del self._bans[next(iter(self._bans))]
        elif revocation.why == "unbanned":
            self._bans.pop(revocation.player_id, None)

    def sweep(self) -> None:
        """Forget what is over, now and then."""
        monotonic = self._clock.monotonic()
        if monotonic >= self._sweep_at:
            self._sweep_at = monotonic + SWEEP_S
            now = self._clock.now()
            self._sessions = {id_: kept for id_, kept in self._sessions.items() if kept[0] > now}
            self._bans = {id_: kept for id_, kept in self._bans.items() if kept[0] == 0 or kept[0] > now}


class RevocationFollower:
    """Follows the meta service for one API process.

    Args:
        revoked: takes what was read.
        source: whom to follow.
        clock: paces the questions.
    """

    def __init__(self, revoked: RevokedTokens, source: RevocationSource, clock: Clock) -> None:
        self.revoked = revoked
        self._source = source
        self._clock = clock
        self._cursor = BEGINNING
        self._reading = asyncio.Lock()

    async def run(self) -> None:
        """Follow, until cancelled."""
        await follow_on(self.follow, "revocations", self._clock)

    async def follow(self) -> None:
        """Take in what was revoked since the last time. Raises MetaClientError."""
        async with self._reading:
            while (page := await self._source.revocations(self._cursor)).revocations:
                for revocation in page.revocations:
                    self.revoked.take(revocation)
                self._cursor = page.cursor
        self.revoked.sweep()


def ensure_live(request: Request, caller: Identity) -> None:
    """Raise ProblemError where a player's token opens nothing any more."""
    revoked: RevokedTokens = request.app.state.revoked
    player_id = caller.player_id
    if revoked.refuses(caller.session_id, player_id):
        refusal = revoked.refusal(caller.session_id, player_id)
        if refusal is not None:
            raise refusal


async def _live_player(caller: PlayerCaller, request: Request) -> Identity:
    ensure_live(request, caller)
    return caller


LivePlayer = Annotated[Identity, Depends(_live_player)]
"""A player whose token opens something."""


def banned_problem(reason: str, ends_at: float | None) -> ProblemError:
    """The refusal of a banned player; ``ends_at``: Unix seconds, None: for good."""
    until = "for good" if ends_at is None else "for a time"
    return ProblemError(
        403, "banned", f"the player is banned {until}: {reason}", reason=reason, ends_at=ends_at
    )
