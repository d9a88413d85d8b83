"""Routes about friends, blocked players, leaderboards and past matches."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query

from launchday.identity import SERVICE
from launchday.service import require
from meta_service.context import InContext, LivePlayer
from meta_service.domain.history import MAX_FENCE
from meta_service.messages.base import PlayerId
from meta_service.messages.social import (
    BlockList,
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
    """Ask a player to be friends. If they had asked, you are friends from now on. The answer is the same
    whether or not they hear of it: not from somebody whom they block, or whose request they declined within a
    day.
    """
    await context.friends.request(caller.player_id, choice.player_id, context.clock.wall())
    return ChangeResponse(done=True)


@router.post("/friends/{player_id}/accept")
async def accept(player_id: OtherPlayer, caller: LivePlayer, context: InContext) -> ChangeResponse:
    """Become friends with a player who asked."""
    await context.friends.accept(caller.player_id, player_id, context.clock.wall())
    return ChangeResponse(done=True)


@router.delete("/friends/{player_id}")
async def end(player_id: OtherPlayer, caller: LivePlayer, context: InContext) -> ChangeResponse:
    """End a friendship, take a request back, or turn one down: that player does not ask again for a day."""
    now = context.clock.wall()
    return ChangeResponse(done=await context.friends.remove(caller.player_id, player_id, now))


@router.get("/blocks")
async def blocks(caller: LivePlayer, context: InContext) -> BlockList:
    """List the players whom the caller blocks, the newest first."""
    found = await context.blocks.list_of(caller.player_id)
    return BlockList([PlayerId(id_) for id_ in found])


@router.put("/blocks/{player_id}")
async def block(player_id: OtherPlayer, caller: LivePlayer, context: InContext) -> ChangeResponse:
    """Block a player: a friendship with them ends, the caller hears of no request or invitation of theirs,
    and is not matched with them where the mode's rules say so. They are not told.
    """
    await context.friends.block(caller.player_id, player_id, context.clock.wall())
    return ChangeResponse(done=True)


@router.delete("/blocks/{player_id}")
async def unblock(player_id: OtherPlayer, caller: LivePlayer, context: InContext) -> ChangeResponse:
    """Block a player no longer; a friendship that it ended does not come back."""
    return ChangeResponse(done=await context.blocks.remove(caller.player_id, player_id))


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
