"""Routes about progress: the player's own, and reading the table of seasons again."""

from __future__ import annotations

from fastapi import APIRouter, Request

from launchday.service import OperatorCaller, read_again
from meta_service.context import InContext, LivePlayer
from meta_service.messages.progress import Progress, RulesInForce
from meta_service.routes.message_route import MessageRoute

router = APIRouter(prefix="/v1", tags=["players"], route_class=MessageRoute)
operators = APIRouter(prefix="/v1/operator", tags=["operators"], route_class=MessageRoute)


@router.get("/progress")
async def progress(caller: LivePlayer, context: InContext) -> Progress:
    """Read the caller's level, season pass and challenges, what they give, and whether it was given.

    It needs the store: 503 while that does not answer.
    """
    return await context.progress.of(caller.player_id, context.clock.wall())


@operators.post("/rules/reload")
async def reload_rules(operator: OperatorCaller, request: Request, context: InContext) -> RulesInForce:
    """Read this process' table of seasons again, for its leaderboards; refused whole where anything is wrong.

    Passes, levels and challenges are read again by rewards, which has a route of this name too.
    """
    await read_again(request.app, "rules")
    found = [season.name for season in context.leaderboards.seasons.all]
    now = context.clock.wall()
    await context.audit.note(operator.subject, "reload rules", None, "", {"seasons": found}, now)
    return RulesInForce(found)
