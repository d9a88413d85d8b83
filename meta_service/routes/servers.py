"""Routes for our own services: skills for the matchmaker, check-outs and commits, the counters."""

from __future__ import annotations

from typing import Any, cast

from fastapi import APIRouter, Depends

from launchday.identity import SERVICE
from launchday.service import require
from meta_service.context import InContext
from meta_service.messages.base import PlayerId
from meta_service.messages.leases import (
    CheckedOut,
    CheckoutRefusal,
    CheckoutRequest,
    CheckoutResponse,
    CommitRefusal,
    CommitRequest,
    CommitResponse,
    MetaCounters,
    Skills,
    SkillsRequest,
)
from meta_service.messages.players import Skill
from meta_service.routes.message_route import FromBody, MessageRoute

router = APIRouter(
    prefix="/v1/internal",
    tags=["services"],
    dependencies=[Depends(require(SERVICE))],
    route_class=MessageRoute,
)


@router.post("/skills")
async def skills(query: FromBody[SkillsRequest], context: InContext) -> Skills:
    """Read players' skill in a mode; the prior for players who have not played it."""
    found = await context.players.skills(query.mode, query.player_ids)
    return Skills({id_: Skill(mu, sigma) for id_, (mu, sigma) in found.items()})


@router.post("/checkouts")
async def check_out(request: FromBody[CheckoutRequest], context: InContext) -> CheckoutResponse:
    """Lease a match's players to its server. A repeat for the same match and server gets the same fences."""
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
            CheckedOut(PlayerId(answer.player_id), answer.fence, answer.skin, answer.level)
            for answer in answers
            if answer.fence
        ],
        refused=[
            CheckoutRefusal(PlayerId(answer.player_id), cast(Any, answer.reason), answer.held_by)
            for answer in answers
            if not answer.fence
        ],
    )


@router.post("/commits")
async def commit(request: FromBody[CommitRequest], context: InContext) -> CommitResponse:
    """Take players' results and release their leases. Repeating it changes nothing and answers the same."""
    answers = await context.players.commit(request.match_id, context.clock.now(), request.players)
    return CommitResponse(
        committed=[PlayerId(player_id) for player_id, reason in answers if not reason],
        refused=[
            CommitRefusal(PlayerId(player_id), cast(Any, reason)) for player_id, reason in answers if reason
        ],
    )


@router.get("/counters")
async def counters(context: InContext) -> MetaCounters:
    """Count check-outs, commits and stored changes, after ending the leases whose time is over."""
    await context.players.cache.expire(context.clock.now())
    return await context.players.cache.counters(context.clock.now())
