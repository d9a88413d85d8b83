"""Routes about friends, leaderboards and past matches."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query

from launchday.identity import SERVICE
from launchday.service import require
from meta_service.context import InContext, LivePlayer
from meta_service.domain.history import MAX_FENCE
from meta_service.messages.social import (
    BoardName,
    ChangeResponse,
    FriendList,
    Leaderboard,
    MatchReport,
    PastMatches,
    PlayerChoice,
    PresenceUpdate,
)
from meta_service.routes.message_route import FromBody, MessageRoute, OtherPlayer

router = APIRouter(prefix="/v1", tags=["social"], route_class=MessageRoute)
services = APIRouter(
    prefix="/v1/internal",
    tags=["services"],
    dependencies=[Depends(require(SERVICE))],
    route_class=MessageRoute,
)

Season = Annotated[
    str | None,
    Query(
        pattern=r"^[a-z0-9-]{1,64}$",
        description="By its name; default: the present one or, between two, the one that was over last.",
        examples=["launch"],
    ),
]


@router.get("/friends")
async def friends(caller: LivePlayer, context: InContext) -> FriendList:
    """List friends and requests, with the friends' presence; as last seen while the store does not answer."""
    return FriendList(await context.friends.list_friends(caller.player_id, context.clock.now()))


@router.post("/friends")
async def ask(choice: FromBody[PlayerChoice], caller: LivePlayer, context: InContext) -> ChangeResponse:
    """Ask a player to be friends. If they had asked, you are friends from now on."""
    await context.friends.request(caller.player_id, choice.player_id, context.clock.wall())
    return ChangeResponse(done=True)


@router.post("/friends/{player_id}/accept")
async def accept(player_id: OtherPlayer, caller: LivePlayer, context: InContext) -> ChangeResponse:
    """Become friends with a player who asked."""
    await context.friends.accept(caller.player_id, player_id, context.clock.wall())
    return ChangeResponse(done=True)


@router.delete("/friends/{player_id}")
async def end(player_id: OtherPlayer, caller: LivePlayer, context: InContext) -> ChangeResponse:
    """End a friendship, take a request back, or turn one down."""
    return ChangeResponse(done=await context.friends.remove(caller.player_id, player_id))


@router.put("/presence")
async def announce(
    announcement: FromBody[PresenceUpdate], caller: LivePlayer, context: InContext
) -> PresenceUpdate:
    """Set the caller's presence, for the next minute."""
    await context.friends.set_presence(caller.player_id, announcement.presence)
    return announcement


@router.get("/leaderboards/{board}")
async def top(
    board: BoardName,
    _: LivePlayer,
    context: InContext,
    season: Season = None,
    offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> Leaderboard:
    """Read a season's leaderboard from the best down."""
    chosen = await context.leaderboards.season(season, context.clock.wall())
    return await context.leaderboards.top(chosen, board, offset, limit)


@router.get("/leaderboards/{board}/me")
async def around_me(
    board: BoardName,
    caller: LivePlayer,
    context: InContext,
    season: Season = None,
    neighbours: Annotated[int, Query(ge=0, le=50, description="On each side.")] = 5,
) -> Leaderboard:
    """Read the caller's place in a season's leaderboard and the neighbours; empty if they are not on it."""
    chosen = await context.leaderboards.season(season, context.clock.wall())
    return await context.leaderboards.around(chosen, board, caller.player_id, neighbours)


@router.get("/matches")
async def matches(
    caller: LivePlayer,
    context: InContext,
    before: Annotated[
        int, Query(ge=1, le=MAX_FENCE, description="Only matches older than this fence.")
    ] = MAX_FENCE,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> PastMatches:
    """Read the caller's matches, newest first."""
    return PastMatches(await context.history.matches_of_player(caller.player_id, before, limit))


@services.get("/matches/{match_id}")
async def match(match_id: UUID, context: InContext) -> MatchReport:
    """Read how a match ended for every player checked out for it; without results if its server crashed."""
    return MatchReport(match_id, await context.history.players_of_match(match_id))
