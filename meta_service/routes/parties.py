"""Routes about parties: for players, and what the matchmaker needs to queue one as a single ticket."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Depends

from launchday.identity import SERVICE
from launchday.service import require
from meta_service.context import InContext, LivePlayer
from meta_service.errors import PartyError
from meta_service.messages.social import (
    ChangeResponse,
    Invitations,
    LeaveResponse,
    Party,
    PartyOptions,
    PartyTicket,
    PartyTicketEnd,
    PlayerChoice,
    Readiness,
)
from meta_service.routes.message_route import FromBody, MessageRoute, OtherPlayer

router = APIRouter(prefix="/v1/party", tags=["parties"], route_class=MessageRoute)
services = APIRouter(
    prefix="/v1/internal",
    tags=["services"],
    dependencies=[Depends(require(SERVICE))],
    route_class=MessageRoute,
)


@router.post("")
async def create(options: FromBody[PartyOptions], caller: LivePlayer, context: InContext) -> Party:
    """Open a party. A caller who leads one already gets that one."""
    return await context.parties.create(caller.player_id, options.size_limit, context.clock.now())


@router.get("")
async def read(caller: LivePlayer, context: InContext) -> Party:
    """Read the caller's party."""
    party = await context.parties.party_of(caller.player_id, context.clock.now())
    if party is None:
        raise PartyError(404, "no-party", "you are in no party")
    return party


@router.post("/leave")
async def leave(caller: LivePlayer, context: InContext) -> LeaveResponse:
    """Leave the caller's party; a party that was queued is no longer, and its ticket is to be cancelled."""
    return await context.parties.leave(caller.player_id, context.clock.now())


@router.put("/ready")
async def set_ready(readiness: FromBody[Readiness], caller: LivePlayer, context: InContext) -> Party:
    """Set whether the caller is ready to play."""
    return await context.parties.set_ready(caller.player_id, readiness.ready, context.clock.now())


@router.post("/members/{player_id}/promote")
async def promote(player_id: OtherPlayer, caller: LivePlayer, context: InContext) -> Party:
    """Make another member the leader."""
    return await context.parties.promote(caller.player_id, player_id, context.clock.now())


@router.delete("/members/{player_id}")
async def kick(player_id: OtherPlayer, caller: LivePlayer, context: InContext) -> Party:
    """Remove a member; any member may take an open invitation back."""
    return await context.parties.kick(caller.player_id, player_id, context.clock.now())


@router.get("/invitations")
async def invitations(caller: LivePlayer, context: InContext) -> Invitations:
    """List the parties that the caller may join."""
    return Invitations(await context.parties.invitations(caller.player_id, context.clock.now()))


@router.post("/invitations")
async def invite(choice: FromBody[PlayerChoice], caller: LivePlayer, context: InContext) -> Party:
    """Invite a player to the caller's party, for five minutes."""
    return await context.parties.invite(caller.player_id, choice.player_id, context.clock.now())


@router.post("/invitations/{party_id}/accept")
async def accept(party_id: UUID, caller: LivePlayer, context: InContext) -> Party:
    """Join a party to which the caller is invited."""
    return await context.parties.accept(caller.player_id, party_id, context.clock.now())


@router.delete("/invitations/{party_id}")
async def decline(party_id: UUID, caller: LivePlayer, context: InContext) -> ChangeResponse:
    """Turn an invitation down."""
    await context.parties.decline(caller.player_id, party_id, context.clock.now())
    return ChangeResponse(done=True)


@services.post("/parties/queue")
async def queue(ticket: FromBody[PartyTicket], context: InContext) -> Party:
    """Queue a leader's party under one ticket. It stays as it is until the ticket ends or a member leaves."""
    return await context.parties.queue(ticket.leader, ticket.ticket_id, context.clock.now())


@services.get("/parties/{party_id}")
async def read_any(party_id: UUID, context: InContext) -> Party:
    """Read a party: whether it still has the ticket, and its members."""
    return await context.parties.read(party_id, context.clock.now())


@services.post("/parties/{party_id}/unqueue")
async def unqueue(party_id: UUID, end: FromBody[PartyTicketEnd], context: InContext) -> Party:
    """Report that a party's ticket has ended. Another ticket's end changes nothing."""
    return await context.parties.unqueue(party_id, end.ticket_id, context.clock.now())
