"""Routes for our own services: skills for the matchmaker, check-outs, commits, closed matches, counters."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

from fastapi import APIRouter, Depends

from launchday.identity import SERVICE
from launchday.service import require
from meta_service.context import InContext
from meta_service.domain.followed import BEGINNING
from meta_service.messages.base import PlayerId
from meta_service.messages.leases import (
    BannedPlayer,
    CheckedOut,
    CheckoutRefusal,
    CheckoutRequest,
    CheckoutResponse,
    CloseRequest,
    CloseResponse,
    CommitRefusal,
    CommitRequest,
    CommitResponse,
    Held,
    MetaCounters,
    Skills,
    SkillsRequest,
)
from meta_service.messages.operators import Kicks
from meta_service.messages.players import Skill
from meta_service.routes.message_route import Cursor, FromBody, MessageRoute

router = APIRouter(
    prefix="/v1/internal",
    tags=["services"],
    dependencies=[Depends(require(SERVICE))],
    route_class=MessageRoute,
)


@router.post("/skills")
async def skills(query: FromBody[SkillsRequest], context: InContext) -> Skills:
    """Read players' skill in a mode, the prior without one, where those are who are checked out, who is
    logged out or banned, and whose party queues; on request, whom they block.
    """
    facts = await context.players.ticket_facts(query.mode, query.player_ids, context.clock.now())
    found = list(zip(query.player_ids, facts, strict=True))
    blocked = await context.blocks.of(query.player_ids) if query.blocks else {}
    return Skills(
        {id_: Skill(*each.rating) for id_, each in found},
        {
            id_: Held(each.holder.match_id, each.holder.server, each.holder.until_ms)
            for id_, each in found
            if each.holder is not None
        },
        [PlayerId(id_) for id_, each in found if each.logged_out],
        {id_: BannedPlayer(each.ban.reason, each.ban.ends_at) for id_, each in found if each.ban is not None},
        {id_: each.queued for id_, each in found if each.queued is not None},
        {id_: each.void_claim for id_, each in found if each.void_claim is not None},
        {id_: [PlayerId(other) for other in blocked[id_]] for id_ in blocked if blocked[id_]},
    )


@router.post("/checkouts")
async def check_out(request: FromBody[CheckoutRequest], context: InContext) -> CheckoutResponse:
    """Lease a match's players to its server. A repeat for the same match and server gets the same fences.

    409 ``match-closed`` for a match that was given up: the server should end itself.
    """
    answers = await context.players.check_out(
        request.match_id,
        request.server,
        request.region,
        context.clock.now(),
        request.ttl_s,
        request.player_ids,
    )
    leased = [answer for answer in answers if answer.fence]
    names = await context.names.of([answer.player_id for answer in leased])
    return CheckoutResponse(
        checked_out=[
            CheckedOut(PlayerId(answer.player_id), answer.fence, answer.skin, answer.level, name)
            for answer, name in zip(leased, names, strict=True)
        ],
        refused=[
            CheckoutRefusal(
                PlayerId(answer.player_id),
                cast(Any, "unknown-player" if answer.reason == "banned" else answer.reason),
                answer.held_by,
                banned=answer.reason == "banned",
            )
            for answer in answers
            if not answer.fence
        ],
    )


@router.post("/commits")
async def commit(request: FromBody[CommitRequest], context: InContext) -> CommitResponse:
    """Take players' results and release their leases. Repeating it changes nothing and answers the same."""
    clock = context.clock
    answers = await context.players.commit(request.match_id, clock.now(), request.players, clock.wall())
    return CommitResponse(
        committed=[PlayerId(player_id) for player_id, reason in answers if not reason],
        refused=[
            CommitRefusal(PlayerId(player_id), cast(Any, reason)) for player_id, reason in answers if reason
        ],
    )


@router.get("/matches/{match_id}/kicks")
async def kicks(match_id: UUID, context: InContext, after: Cursor = BEGINNING) -> Kicks:
    """List players who are to leave a match, such as banned ones. Its server asks every few seconds."""
    return await context.revoked_tokens.kicks(match_id, after)


@router.post("/matches/{match_id}/close")
async def close(match_id: UUID, request: FromBody[CloseRequest], context: InContext) -> CloseResponse:
    """Give a match up, unless it has come: later check-outs are refused, later commits are stale.

    Ask until it is answered: only then is no player held by the match. Repeating it says the same.
    """
    closed = await context.players.close_match(
        match_id, request.player_ids, context.clock.now(), force=request.force
    )
    return CloseResponse("closed" if closed else "has-come")


@router.get("/counters")
async def counters(context: InContext) -> MetaCounters:
    """Count check-outs, commits and stored changes, after ending the leases whose time is over."""
    await context.players.leases.expire(context.clock.now())
    return await context.players.cache.counters(context.clock.now())
