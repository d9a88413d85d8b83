"""Routes for operators: see a player, ban them and lift a ban, read what operators did."""

from __future__ import annotations

from typing import Annotated, Any, cast

from fastapi import APIRouter, Query

from launchday.problems import ProblemError
from launchday.service import OperatorCaller, ViewerCaller
from meta_service.context import InContext
from meta_service.messages.base import MAX_PLAYER_ID, PlayerId
from meta_service.messages.operators import (
    Ban,
    BanRequest,
    Kicked,
    KickRequest,
    Lifted,
    OperatorActions,
    PlayerStatus,
    SessionState,
)
from meta_service.messages.players import Lease, Skill
from meta_service.routes.message_route import FromBody, MessageRoute, OtherPlayer, WhyQuery

router = APIRouter(prefix="/v1/operator", tags=["operators"], route_class=MessageRoute)


@router.get("/players/{player_id}")
async def show(player_id: OtherPlayer, _: ViewerCaller, context: InContext) -> PlayerStatus:
    """Show a player: account, session, check-out, party, bans, what they have. It asks the store."""
    now = context.clock.now()
    player = await context.players.profile(player_id, now)
    bans = await context.bans.history(player_id, now)
    balances = await context.shop.wallet(player_id)
    items = await context.shop.inventory(player_id)
    party = await context.parties.party_of(player_id, now)
    opened, lease = await _session_and_lease(player_id, context)
    return PlayerStatus(
        player_id=PlayerId(player_id),
        display_name=player.display_name,
        level=player.level,
        xp=player.xp,
        skin=player.skin,
        pending=player.pending,
        ratings={mode: Skill(mu, sigma) for mode, (mu, sigma) in player.ratings.items()},
        session=SessionState(player.session_state, opened, player.home_region),
        lease=lease,
        party_id=None if party is None else str(party.party_id),
        bans=bans,
        balances=balances,
        items={item["item_id"]: item["quantity"] for item in items},
        progress=await context.progress.of(player_id, context.clock.wall()),
    )


@router.put("/players/{player_id}/ban")
async def ban(
    player_id: OtherPlayer, order: FromBody[BanRequest], operator: OperatorCaller, context: InContext
) -> Ban:
    """Ban a player, until a time or for good; it holds everywhere within seconds, also in a match.

    A ban that holds already is replaced. Repeating it changes nothing. 422 ``ban-over``: its end has passed.
    503: the store is away, and nobody was banned.
    """
    now = context.clock.now()
    if order.ends_at is not None and order.ends_at <= now:
        raise ProblemError(422, "ban-over", "the ban's end has passed: give a later one, or none for good")
    made = await context.bans.ban(player_id, order.reason, order.ends_at, operator.subject, now)
    await context.parties.log_out(player_id, now)
    return made


@router.post("/players/{player_id}/kick")
async def kick(
    player_id: OtherPlayer, order: FromBody[KickRequest], operator: OperatorCaller, context: InContext
) -> Kicked:
    """Put a player out of the match that they are in, for good: within seconds they are told that an operator
    did, and no connect token lets them in again. Their result counts, and they may queue for another match.
    Repeating it changes nothing. 409 ``not-in-match``: they are in none. 503: the store is away, and nobody
    was kicked.
    """
    return await context.match_kicks.kick(player_id, order.reason, operator.subject, context.clock.now())


@router.delete("/players/{player_id}/ban")
async def lift(
    player_id: OtherPlayer,
    operator: OperatorCaller,
    context: InContext,
    reason: WhyQuery,
) -> Lifted:
    """End a player's ban before its time. 503: the store is away, and nothing has changed."""
    return Lifted(await context.bans.lift(player_id, reason, operator.subject, context.clock.now()))


@router.get("/audit")
async def audit(
    _: ViewerCaller,
    context: InContext,
    player_id: Annotated[
        int | None, Query(ge=1, le=MAX_PLAYER_ID, description="Only what touched this player.")
    ] = None,
    operator: Annotated[
        str | None,
        Query(pattern=r"^[^\x00-\x1f\x7f-\x9f]{1,200}$", description="Only what this operator did."),
    ] = None,
    before: Annotated[
        int, Query(ge=1, le=MAX_PLAYER_ID, description="Only acts older than this one.")
    ] = MAX_PLAYER_ID,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
) -> OperatorActions:
    """Read what operators did, the newest first; the last ``action_no`` is the next page's ``before``."""
    return OperatorActions(await context.audit.actions(player_id, operator, before, limit))


async def _session_and_lease(player_id: int, context: InContext) -> tuple[float, Lease]:
    fields = ["session_opened", "lease_state", "lease_server", "lease_match", "fence", "lease_until"]
    opened, state, server, match_id, fence, until = await cast(
        Any, context.players.cache.redis.hmget(context.players.cache.keys.player(player_id), fields)
    )
    lease = Lease(
        state=state or "",
        server=server or "",
        match_id=match_id or "",
        fence=int(fence or 0),
        until=int(until or 0) / 1000,
    )
    return int(opened or 0) / 1000, lease
