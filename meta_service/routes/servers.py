"""Routes for our own services: skills for the matchmaker, check-outs and commits for game servers, the books."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from launchday.identity import SERVICE
from launchday.service import require
from meta_service.cache.cache import CommitRow
from meta_service.context import InContext
from meta_service.messages.base import (
    CheckedOut,
    CheckoutRefusal,
    CheckoutRequest,
    CheckoutResponse,
    CommitRefusal,
    CommitRequest,
    CommitResponse,
    MetaCounters,
    Skill,
    Skills,
    SkillsRequest,
)

router = APIRouter(prefix="/v1/internal", tags=["services"], dependencies=[Depends(require(SERVICE))])


@router.post("/skills")
async def skills(query: SkillsRequest, context: InContext) -> Skills:
    """Tell players' skill in a mode; the prior for those who have not played it."""
    found = await context.players.skills(query.mode, query.player_ids)
    return Skills(skills={str(id_): Skill(mu=mu, sigma=sigma) for id_, (mu, sigma) in found.items()})


@router.post("/checkouts")
async def check_out(request: CheckoutRequest, context: InContext) -> CheckoutResponse:
    """Lease a match's players to its server. Asking again, for the same match and server, gives the same fences."""
    answers = await context.players.check_out(
        request.match_id,
        request.server,
        request.region,
        context.clock.now(),
        request.ttl_s,
        request.player_ids,
    )
    return CheckoutResponse(
        checked_out=[
            CheckedOut(
                player_id=str(answer.player_id), fence=answer.fence, skin=answer.skin, level=answer.level
            )
            for answer in answers
            if answer.fence
        ],
        refused=[
            CheckoutRefusal.model_validate(
                {"player_id": str(answer.player_id), "reason": answer.reason, "held_by": answer.held_by}
            )
            for answer in answers
            if not answer.fence
        ],
    )


@router.post("/commits")
async def commit(request: CommitRequest, context: InContext) -> CommitResponse:
    """Take players' results and release their leases. Asking again changes nothing and answers the same."""
    rows = [
        CommitRow(result.player_id, result.fence, result.placement, result.kills, result.played_s)
        for result in request.players
    ]
    answers = await context.players.commit(request.match_id, context.clock.now(), rows)
    return CommitResponse(
        committed=[str(player_id) for player_id, reason in answers if not reason],
        refused=[
            CommitRefusal.model_validate({"player_id": str(player_id), "reason": reason})
            for player_id, reason in answers
            if reason
        ],
    )


@router.get("/books")
async def books(context: InContext) -> MetaCounters:
    """Count what was checked out, committed, and written behind, after ending the leases whose time is over."""
    await context.players.cache.expire(context.clock.now())
    return MetaCounters(**await context.players.cache.counters(context.clock.now()))
