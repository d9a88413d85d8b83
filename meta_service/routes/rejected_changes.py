"""Changes that the store could not take, for operators and services: list them, and send them again."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from launchday.identity import OPERATOR, SERVICE, VIEWER, Identity
from launchday.service import require
from meta_service.context import Context, InContext
from meta_service.domain.rejected_changes import RejectedChanges as Rejected
from meta_service.messages.rejected_changes import (
    RejectedChanges,
    RejectedEntry,
    ResendRequest,
    ResendResponse,
)
from meta_service.routes.message_route import FromBody, MessageRoute

MAX_LISTED = 200

router = APIRouter(prefix="/v1/internal/rejected-changes", tags=["operators"], route_class=MessageRoute)


@router.get("", dependencies=[Depends(require(SERVICE, OPERATOR, VIEWER))])
async def rejected_changes(
    context: InContext, limit: Annotated[int, Query(ge=1, le=MAX_LISTED)] = 20
) -> RejectedChanges:
    """List the newest changes that the store could not take."""
    found = await _rejected(context).newest(limit)
    return RejectedChanges(
        [
            RejectedEntry(one.entry, one.rejected_at, one.accepted_at, one.reason, one.is_newer, one.changes)
            for one in found
        ]
    )


@router.post("/resend")
async def resend(
    request: FromBody[ResendRequest],
    caller: Annotated[Identity, Depends(require(SERVICE, OPERATOR))],
    context: InContext,
) -> ResendResponse:
    """Send changes to the store again. An operator's request is noted; 503 while the store is away.

    One that the store still cannot take is set aside again, under another id.
    """
    if OPERATOR in caller.roles:
        await context.audit.note(
            caller.subject,
            "resend-changes",
            None,
            "sent again",
            {"entries": request.entries},
            context.clock.now(),
        )
    return ResendResponse(await _rejected(context).resend(request.entries))


def _rejected(context: Context) -> Rejected:
    return Rejected(context.players.cache.redis, context.players.cache.keys)
