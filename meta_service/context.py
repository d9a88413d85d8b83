"""What a route works with, and how it gets it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from launchday.identity import Identity, Signer
from launchday.service import PlayerCaller
from meta_service.domain.credentials import Credentials
from meta_service.domain.friends import Friends
from meta_service.domain.history import History
from meta_service.domain.leaderboards import Leaderboards
from meta_service.domain.parties import Parties
from meta_service.domain.players import Players
from meta_service.domain.sessions import Sessions
from meta_service.domain.shop import Shop
from meta_service.rate_limit import RateLimit


@dataclass(frozen=True)
class Context:
    """One running API's parts. ``clock`` gives Unix seconds: routes are where time enters."""

    players: Players
    shop: Shop
    parties: Parties
    friends: Friends
    leaderboards: Leaderboards
    history: History
    sessions: Sessions
    credentials: Credentials
    player_limit: RateLimit
    signer: Signer
    clock: Callable[[], float]


def _context(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


InContext = Annotated[Context, Depends(_context)]


async def _limited_player(caller: PlayerCaller, here: InContext) -> Identity:
    here.player_limit.admit(caller.player_id, here.clock())
    return caller


LimitedPlayer = Annotated[Identity, Depends(_limited_player)]
"""A player within the rate limit, for routes that check the session in the one round trip that they make."""


async def _live_player(caller: LimitedPlayer, here: InContext) -> Identity:
    await here.sessions.check(caller, here.clock())
    return caller


LivePlayer = Annotated[Identity, Depends(_live_player)]
"""A player within the rate limit whose session is the account's live one."""
