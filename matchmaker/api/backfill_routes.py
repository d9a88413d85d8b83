"""The routes of running matches: their game servers request backfill, and are answered who is to come."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import msgspec
from fastapi import APIRouter, Query, Request, Response

from launchday.problems import ProblemError
from launchday.resilience.clocks.skew import HEADER as TIME_HEADER
from launchday.resilience.clocks.skew import to_shared_time
from launchday.service import ServiceCaller
from matchmaker.api.schema import answer, answers, body_of, encode, read_body
from matchmaker.api.service import TicketService
from matchmaker.messages import BackfillAnswer, BackfillPlayer, BackfillProposal, BackfillRequest
from matchmaker.queue.scripts import KEYS

MESSAGES = (BackfillAnswer, BackfillRequest)

router = APIRouter(prefix="/v1/internal/matches", tags=["internal"], default_response_class=Response)

_backfill_request = msgspec.json.Decoder(BackfillRequest)
_players = msgspec.json.Decoder(list[BackfillPlayer])


@router.put(
    "/{match_id}/backfill",
    openapi_extra=body_of(BackfillRequest),
    responses=answers(BackfillAnswer, 200),
)
async def request_backfill(match_id: UUID, _: ServiceCaller, request: Request) -> Response:
    """Request players for the free slots of a running match, and learn for whom some are reserved."""
    service: TicketService = request.app.state.matchmaker
    asked = await read_body(request, _backfill_request)
    _check_mode(service, asked.mode)
    if asked.region not in service.regions:
        raise ProblemError(
            422,
            "unknown-region",
            f"there is no region {asked.region!r}; regions: {', '.join(service.regions)}",
        )
    added_s = to_shared_time(request.headers.get(TIME_HEADER), service.clock)
    asked = msgspec.structs.replace(asked, opened_at=asked.opened_at + added_s)
    found = await service.scripts.request_backfill(
        [
            str(match_id),
            asked.mode,
            asked.revision,
            encode(asked),
            encode([slot.entity for slot in asked.slots]),
            encode(asked.admitted),
            encode(asked.rejected),
            "1" if asked.over else "",
        ],
        mode=asked.mode,
        keys=[KEYS["open_match"] + str(match_id), KEYS["seats"] + str(match_id)],
    )
    return answer(
        BackfillAnswer(
            [
                BackfillProposal(proposal_id.decode(), state.decode(), _players.decode(players))
                for proposal_id, state, players in zip(found[::3], found[1::3], found[2::3], strict=True)
            ]
        )
    )


@router.delete("/{match_id}/backfill", status_code=204)
async def close_backfill(
    match_id: UUID,
    mode: Annotated[str, Query(min_length=1, max_length=64)],
    _: ServiceCaller,
    request: Request,
) -> Response:
    """Request no players for a match any more. Those on their way search again, unless they know already
    where to go.
    """
    service: TicketService = request.app.state.matchmaker
    _check_mode(service, mode)
    await service.scripts.close_backfill(
        [str(match_id), mode], mode=mode, keys=[KEYS["open_match"] + str(match_id)]
    )
    return Response(status_code=204)


def _check_mode(service: TicketService, mode: str) -> None:
    if mode not in service.modes:
        raise ProblemError(
            422, "unknown-mode", f"there is no mode {mode!r}; modes: {', '.join(service.modes)}"
        )
