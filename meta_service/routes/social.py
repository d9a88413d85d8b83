"""Routes about friends, leaderboards and past matches."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query

from launchday.identity import SERVICE
from launchday.service import require
from meta_service.context import InContext, LivePlayer
from meta_service.domain.history import MAX_FENCE
from meta_service.domain.leaderboards import BoardName, Standing, season_of
from meta_service.messages.base import PlayerId
from meta_service.messages.social import (
    ChangeResponse,
    FriendList,
    FriendView,
    LeaderboardView,
    MatchPlayer,
    MatchReport,
    PastMatch,
    PastMatches,
    PlayerChoice,
    PresenceUpdate,
    Season,
    StandingView,
)

router = APIRouter(prefix="/v1", tags=["social"])
services = APIRouter(prefix="/v1/internal", tags=["services"], dependencies=[Depends(require(SERVICE))])

OtherPlayer = Annotated[PlayerId, Path(description="The other player's id.")]
WhichSeason = Annotated[Season | None, Query(description="A quarter of a year in UTC; default: this one.")]


@router.get("/friends")
async def friends(caller: LivePlayer, context: InContext) -> FriendList:
    """List friends and requests, and where the friends are; as they were last seen while the store is away."""
    found = await context.friends.list_friends(caller.player_id, context.clock.now())
    return FriendList(
        friends=[
            FriendView(
                player_id=str(friend.player_id),
                display_name=friend.display_name,
                relation=friend.relation,
                since=friend.since,
                presence=friend.presence,
                match_id=UUID(friend.match_id) if friend.match_id else None,
            )
            for friend in found
        ]
    )


@router.post("/friends")
async def ask(choice: PlayerChoice, caller: LivePlayer, context: InContext) -> ChangeResponse:
    """Ask a player to be friends. If they had asked, you are friends from now on."""
    await context.friends.request(caller.player_id, choice.player_id, context.clock.now())
    return ChangeResponse(done=True)


@router.post("/friends/{player_id}/accept")
async def accept(player_id: OtherPlayer, caller: LivePlayer, context: InContext) -> ChangeResponse:
    """Become friends with a player who asked."""
    await context.friends.accept(caller.player_id, player_id, context.clock.now())
    return ChangeResponse(done=True)


@router.delete("/friends/{player_id}")
async def end(player_id: OtherPlayer, caller: LivePlayer, context: InContext) -> ChangeResponse:
    """End a friendship, take a request back, or turn one down."""
    return ChangeResponse(done=await context.friends.remove(caller.player_id, player_id))


@router.put("/presence")
async def announce(announcement: PresenceUpdate, caller: LivePlayer, context: InContext) -> PresenceUpdate:
    """Say where one is, for the next minute."""
    await context.friends.set_presence(caller.player_id, announcement.presence)
    return announcement


@router.get("/leaderboards/{board}")
async def top(
    board: BoardName,
    _: LivePlayer,
    context: InContext,
    season: WhichSeason = None,
    offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> LeaderboardView:
    """Read a season's leaderboard from the best down."""
    chosen = season or season_of(context.clock.now())
    return _leaderboard(chosen, board, *await context.leaderboards.top(chosen, board, offset, limit))


@router.get("/leaderboards/{board}/me")
async def around_me(
    board: BoardName,
    caller: LivePlayer,
    context: InContext,
    season: WhichSeason = None,
    reach: Annotated[int, Query(ge=0, le=50, description="Neighbours on each side.")] = 5,
) -> LeaderboardView:
    """Read one's own place in a season's leaderboard, and the neighbours; nobody for who is not on it."""
    chosen = season or season_of(context.clock.now())
    found = await context.leaderboards.around(chosen, board, caller.player_id, reach)
    return _leaderboard(chosen, board, *found)


@router.get("/matches")
async def matches(
    caller: LivePlayer,
    context: InContext,
    before: Annotated[
        int, Query(ge=1, le=MAX_FENCE, description="Only matches older than this fence.")
    ] = MAX_FENCE,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> PastMatches:
    """Read one's matches, newest first."""
    rows = await context.history.matches_of_player(caller.player_id, before, limit)
    return PastMatches(matches=[PastMatch.model_validate(row) for row in rows])


@services.get("/matches/{match_id}")
async def match(match_id: UUID, context: InContext) -> MatchReport:
    """Tell how a match went for everybody who was checked out for it; what a server that crashed never said stays unsaid."""
    rows = await context.history.players_of_match(match_id)
    return MatchReport(match_id=match_id, players=[_match_player(row) for row in rows])


def _match_player(row: dict[str, Any]) -> MatchPlayer:
    return MatchPlayer.model_validate({**row, "player_id": str(row["player_id"])})


def _leaderboard(season: str, board: BoardName, total: int, standings: list[Standing]) -> LeaderboardView:
    return LeaderboardView(
        season=season,
        board=board,
        total=total,
        standings=[
            StandingView(
                rank=line.rank,
                player_id=str(line.player_id),
                display_name=line.display_name,
                score=line.score,
            )
            for line in standings
        ],
    )
