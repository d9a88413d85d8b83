"""A look at one player for operators: who has him checked out, with which fence, and whether what he changed is stored."""

from __future__ import annotations

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from launchday.identity import OPERATOR, SERVICE, VIEWER
from launchday.problems import ProblemError
from launchday.service import require
from meta_service.cache import keys
from meta_service.context import InContext
from meta_service.messages.base import MAX_PLAYER_ID

router = APIRouter(
    prefix="/v1/internal", tags=["operators"], dependencies=[Depends(require(SERVICE, OPERATOR, VIEWER))]
)


class Lease(BaseModel):
    """The player's newest check-out, held or not."""

    state: str = Field(description="held, committed, released, or empty where there was none.")
    server: str
    match_id: str
    fence: int
    until: float = Field(description="Unix seconds at which it ends by itself.")


class PlayerLookup(BaseModel):
    """What an operator sees of a player."""

    player_id: str
    display_name: str
    level: int
    skin: str
    version: int
    pending: bool = Field(description="Whether an accepted change waits to be written to the store.")
    lease: Lease


@router.get("/players/{player_id}/lease")
async def player_lease(player_id: int, context: InContext) -> PlayerLookup:
    """Tell a player's check-out and the state of his changes, as the cache has them."""
    player = await context.players.cache.player(player_id) if 0 < player_id <= MAX_PLAYER_ID else None
    if player is None:
        raise ProblemError(404, "unknown-player", f"there is no player {player_id} in this region's cache")
    fields = ("lease_state", "lease_server", "lease_match", "fence", "lease_until")
    state, server, match_id, fence, until = await context.players.cache.redis.hmget(
        keys.player(player_id), list(fields)
    )
    return PlayerLookup(
        player_id=str(player_id),
        display_name=player.display_name,
        level=player.level,
        skin=player.skin,
        version=player.version,
        pending=player.pending,
        lease=Lease(
            state=state or "",
            server=server or "",
            match_id=match_id or "",
            fence=int(fence or 0),
            until=int(until or 0) / 1000,
        ),
    )
