"""One player as operators see them: the server that holds them, the fence, and whether all is stored."""

from __future__ import annotations

from typing import Any, cast

from fastapi import APIRouter, Depends

from launchday.identity import OPERATOR, SERVICE, VIEWER
from launchday.problems import ProblemError
from launchday.service import require
from meta_service.context import InContext
from meta_service.messages.base import MAX_PLAYER_ID, PlayerId
from meta_service.messages.players import Lease, PlayerLookup
from meta_service.routes.message_route import MessageRoute

router = APIRouter(
    prefix="/v1/internal",
    tags=["operators"],
    dependencies=[Depends(require(SERVICE, OPERATOR, VIEWER))],
    route_class=MessageRoute,
)


@router.get("/players/{player_id}/lease")
async def player_lease(player_id: int, context: InContext) -> PlayerLookup:
    """Read a player's check-out, and whether their changes are stored, as the cache knows it."""
    player = await context.players.cache.player(player_id) if 0 < player_id <= MAX_PLAYER_ID else None
    if player is None:
        raise ProblemError(404, "unknown-player", f"there is no player {player_id} in this region's cache")
    fields = ["lease_state", "lease_server", "lease_match", "fence", "lease_until"]
    state, server, match_id, fence, until = await cast(
        Any, context.players.cache.redis.hmget(context.players.cache.keys.player(player_id), fields)
    )
    return PlayerLookup(
        player_id=PlayerId(player_id),
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
