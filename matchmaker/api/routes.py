"""The routes of tickets: create, read, cancel, accept, reject, and wait by long poll or event stream."""

from __future__ import annotations

import asyncio
from typing import Annotated
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse

from launchday.identity import OPERATOR, SERVICE, Identity
from launchday.service import ServiceCaller, require
from matchmaker.api.revocations import LivePlayer, RevokedTokens, ensure_live
from matchmaker.api.schema import MEDIA_TYPE, answer, answers, answers_by_name, body_of, encode, read_body
from matchmaker.api.service import TicketService
from matchmaker.api.why import why_it_waits
from matchmaker.messages import (
    ASSIGNED,
    Assignment,
    MatchmakerCounters,
    QueueDepth,
    TicketBatch,
    TicketBatchRequest,
    TicketCreated,
    TicketRequest,
    TicketView,
    TicketWhy,
)
from matchmaker.queue.counters import read_counters
from matchmaker.queue.ticket_store import live_view

MAX_WAIT_S = 30.0  # below the idle time-outs of common load balancers

MESSAGES = (
    Assignment,
    MatchmakerCounters,
    QueueDepth,
    TicketBatch,
    TicketBatchRequest,
    TicketCreated,
    TicketRequest,
    TicketView,
    TicketWhy,
)

Watcher = Annotated[Identity, Depends(require(SERVICE, OPERATOR))]

router = APIRouter(prefix="/v1", tags=["tickets"], default_response_class=Response)

_ticket_request = msgspec.json.Decoder(TicketRequest)
_batch_request = msgspec.json.Decoder(TicketBatchRequest)


@router.post(
    "/tickets",
    status_code=201,
    openapi_extra=body_of(TicketRequest),
    responses=answers(TicketCreated, 201, 200),
)
async def create_ticket(caller: LivePlayer, request: Request) -> Response:
    """Queue for a match. 201: a new ticket; 200: the one that the same client key made for the same wish.
    409: the player has another ticket (``ticket-exists``), or asks for something else with the client key of
    a ticket that lives (``client-key-in-use``), and the answer names the ticket; their party is complete or
    asks for something else (``party-mismatch``); or they are in a match (``in-match``), and the answer names
    it and has an ``assignment`` to come back with. 401 ``session-revoked``: the player has logged out;
    ``session-superseded``: they have logged in elsewhere. 403 ``banned``: with ``reason`` and ``ends_at``.

    A party's ticket carries the claim with which it queues: 422 ``party-claim-needed``,
    ``party-claim-invalid``; 403 ``not-a-member``; 409 ``party-mode``, ``party-claim-expired``,
    ``party-claim-used``, ``party-changed``; without it while the party queues: 409 ``party-queued``.
    """
    asked = await read_body(request, _ticket_request)
    status, created = await _service(request).create(caller.player_id, asked)
    return answer(created, status)


@router.post(
    "/internal/tickets",
    tags=["internal"],
    openapi_extra=body_of(TicketBatchRequest),
    responses=answers(TicketBatch, 200),
)
async def create_tickets(_: ServiceCaller, request: Request) -> Response:
    """Queue many players for matches, each with a ticket of their own: a lobby, a tournament, a party."""
    service = _service(request)
    batch = await read_body(request, _batch_request)
    now = service.clock.now()
    return answer(
        TicketBatch(list(await asyncio.gather(*[service.create_for(each, now) for each in batch.tickets])))
    )


@router.post("/tickets/{ticket_id}/accept", responses=answers(TicketView, 200))
async def accept_match(ticket_id: UUID, caller: LivePlayer, request: Request) -> Response:
    """Accept the match that was found, where the mode asks for it; accepting it again answers the same. 409
    (``nothing-to-accept``): no match waits for an answer.
    """
    ticket = await _service(request).accept(str(ticket_id), caller.player_id)
    return Response(ticket.json, media_type=MEDIA_TYPE)


@router.post("/tickets/{ticket_id}/reject", responses=answers(TicketView, 200))
async def reject_match(ticket_id: UUID, caller: LivePlayer, request: Request) -> Response:
    """Decline the match that was found, where the mode asks for it: the ticket is cancelled, and those of the
    party; the other players search on at once, with their age. Rejecting it again answers the same. 409
    (``nothing-to-reject``): no match waits for an answer, or all have accepted it.
    """
    ticket = await _service(request).reject(str(ticket_id), caller.player_id)
    return Response(ticket.json, media_type=MEDIA_TYPE)


@router.get("/tickets/{ticket_id}", responses=answers(TicketView, 200))
async def read_ticket(
    ticket_id: UUID,
    caller: LivePlayer,
    request: Request,
    wait_s: Annotated[
        float,
        Query(ge=0, le=MAX_WAIT_S, description="Wait so many seconds for its end, or for a match to accept."),
    ] = 0.0,
    lost: Annotated[
        bool,
        Query(
            description="Of an assigned ticket: wait until its match is known to be lost. "
            "For players whose game server fell silent."
        ),
    ] = False,
) -> Response:
    """Read a ticket. With ``wait_s`` (long poll), answer when it has its end, when its player is asked to
    accept a match, or when the time is over.
    """
    known = encode(live_view(str(ticket_id)))
    ticket = await _service(request).read_when_changed(str(ticket_id), caller.player_id, wait_s, known, lost)
    if ticket.view.state == ASSIGNED:
        ensure_live(request, caller)  # it may have waited for long
    return Response(ticket.json, media_type=MEDIA_TYPE)


@router.delete("/tickets/{ticket_id}", responses=answers(TicketView, 200, 202))
async def cancel_ticket(ticket_id: UUID, caller: LivePlayer, request: Request) -> Response:
    """Cancel a ticket; cancelling again answers the same. Where a match waits for its players to accept it,
    that declines it. 202: the match is getting a server, and the ticket ends if that comes to nothing;
    where the match begins all the same, the ticket says so. 409: it has another end (``ticket-ended``), or
    another of its party is on the way into a match (``match-found``): try again.
    """
    status, ticket = await _service(request).cancel(str(ticket_id), caller.player_id)
    return Response(ticket.json, status_code=status, media_type=MEDIA_TYPE)


@router.post("/tickets/{ticket_id}/token", responses=answers(Assignment, 200))
async def renew_token(ticket_id: UUID, caller: LivePlayer, request: Request) -> Response:
    """Come back to the match of an assigned ticket, with a newer connect token for the same seat: for a
    client that was started again. The game server lets the newest token of a player in. 409 (``no-match``):
    the ticket has no match, or its match was lost.
    """
    return answer(await _service(request).renew_token(str(ticket_id), caller.player_id))


@router.get(
    "/tickets/{ticket_id}/events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}}},
)
async def ticket_events(ticket_id: UUID, caller: LivePlayer, request: Request) -> StreamingResponse:
    """Follow a ticket (server-sent events): its state now, that a match is to be accepted or was given up,
    and its end, after which the stream closes. Where the player's session has ended meanwhile, it closes
    instead of naming a match.
    """
    service = _service(request)
    await service.read(
        str(ticket_id), caller.player_id
    )  # a stranger's ticket is refused before the answer begins
    revoked: RevokedTokens = request.app.state.revoked
    return StreamingResponse(
        service.follow(
            str(ticket_id),
            caller.player_id,
            may_play=lambda: revoked.refusal(caller.session_id, caller.player_id) is None,
        ),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


@router.get("/tickets/{ticket_id}/why", tags=["internal"], responses=answers(TicketWhy, 200))
async def why_no_match(ticket_id: UUID, _: Watcher, request: Request) -> Response:
    """Say why a ticket has no match: the rules that turned others away, what is short, and the smallest
    changes that would have matched it, by the director that leads the queue; of one that has ended, how. For
    services and operators. 503: no director leads the queue, or too many ask. 504: it gives no answer in
    time.
    """
    service = _service(request)
    return answer(await why_it_waits(service.scripts, service.clock, str(ticket_id)))


@router.get("/internal/counters", tags=["internal"], responses=answers(MatchmakerCounters, 200))
async def read_ticket_counters(_: ServiceCaller, request: Request) -> Response:
    """Read what became of all tickets, at one instant."""
    service = _service(request)
    return answer(await read_counters(service.scripts, list(service.modes)))


@router.get("/internal/queues", tags=["internal"], responses=answers_by_name(QueueDepth))
async def read_queue_depths(_: ServiceCaller, request: Request) -> Response:
    """Read what waits in each queue: players by their nearest region, matches without a server, the oldest
    ticket's age.
    """
    return Response(encode(await _service(request).store.depths()), media_type=MEDIA_TYPE)


def _service(request: Request) -> TicketService:
    service: TicketService = request.app.state.matchmaker
    return service
