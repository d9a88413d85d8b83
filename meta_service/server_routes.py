"""Routes for our own services: skills for the matchmaker, check-outs and commits for game servers, the books."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from launchday.identity import SERVICE
from launchday.service import require
from meta_service.cache import CommitRow
from meta_service.context import InContext
from meta_service.messages import (
    Books,
    CheckedOut,
    Checkout,
    CheckoutAnswers,
    CheckoutRefusal,
    Commit,
    CommitAnswers,
    CommitRefusal,
    Skill,
    Skills,
    SkillsQuery,
)

router = APIRouter(prefix="/v1/internal", tags=["services"], dependencies=[Depends(require(SERVICE))])


@router.post("/skills")
async def skills(query: SkillsQuery, here: InContext) -> Skills:
    """Tell players' skill in a mode; the prior for those who have not played it."""
    found = await here.players.skills(query.mode, query.player_ids)
    return Skills(skills={str(id_): Skill(mu=mu, sigma=sigma) for id_, (mu, sigma) in found.items()})


@router.post("/checkouts")
async def check_out(request: Checkout, here: InContext) -> CheckoutAnswers:
    """Lease a match's players to its server. Asking again, for the same match and server, gives the same fences."""
    answers = await here.players.check_out(
        request.match_id, request.server, request.region, here.clock(), request.ttl_s, request.player_ids
    )
    return CheckoutAnswers(
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
async def commit(request: Commit, here: InContext) -> CommitAnswers:
    """Take players' results and release their leases. Asking again changes nothing and answers the same."""
    rows = [
        CommitRow(result.player_id, result.fence, result.placement, result.kills, result.played_s)
        for result in request.players
    ]
    answers = await here.players.commit(request.match_id, here.clock(), rows)
    return CommitAnswers(
        committed=[str(player_id) for player_id, reason in answers if not reason],
        refused=[
            CommitRefusal.model_validate({"player_id": str(player_id), "reason": reason})
            for player_id, reason in answers
            if reason
        ],
    )


@router.get("/books")
async def books(here: InContext) -> Books:
    """Count what was checked out, committed, and written behind, after ending the leases whose time is over."""
    await here.players.cache.expire(here.clock())
    return Books(**await here.players.cache.books(here.clock()))
