"""Routes about parties: for players, and what the matchmaker needs to queue one as a single ticket."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Path

from launchday.identity import SERVICE
from launchday.service import require
from meta_service.context import InContext, LivePlayer
from meta_service.domain.parties import Party
from meta_service.errors import PartyError
from meta_service.messages.base import PlayerId
from meta_service.messages.social import (
    ChangeResponse,
    Invitation,
    Invitations,
    LeaveResponse,
    PartyMember,
    PartyOptions,
    PartyTicket,
    PartyTicketEnd,
    PartyView,
    PlayerChoice,
    Readiness,
)

router = APIRouter(prefix="/v1/party", tags=["parties"])
services = APIRouter(prefix="/v1/internal", tags=["services"], dependencies=[Depends(require(SERVICE))])

OtherPlayer = Annotated[PlayerId, Path(description="The other player's id.")]


@router.post("")
async def create(options: PartyOptions, caller: LivePlayer, context: InContext) -> PartyView:
    """Open a party. Who leads one already gets that."""
    return _view(await context.parties.create(caller.player_id, options.size_limit, context.clock.now()))


@router.get("")
async def read(caller: LivePlayer, context: InContext) -> PartyView:
    """Read the party one is in."""
    party = await context.parties.party_of(caller.player_id, context.clock.now())
    if party is None:
        raise PartyError(404, "no-party", "you are in no party")
    return _view(party)


@router.post("/leave")
async def leave(caller: LivePlayer, context: InContext) -> LeaveResponse:
    """Leave one's party; a party that was queued is no longer, and its ticket is to be cancelled."""
    ticket = await context.parties.leave(caller.player_id, context.clock.now())
    return LeaveResponse(left=ticket is not None, ticket_id=UUID(ticket) if ticket else None)


@router.put("/ready")
async def set_ready(readiness: Readiness, caller: LivePlayer, context: InContext) -> PartyView:
    """Say whether one is ready to play."""
    return _view(await context.parties.set_ready(caller.player_id, readiness.ready, context.clock.now()))


@router.post("/members/{player_id}/promote")
async def promote(player_id: OtherPlayer, caller: LivePlayer, context: InContext) -> PartyView:
    """Make another member the leader."""
    return _view(await context.parties.promote(caller.player_id, player_id, context.clock.now()))


@router.delete("/members/{player_id}")
async def kick(player_id: OtherPlayer, caller: LivePlayer, context: InContext) -> PartyView:
    """Remove a member; any member may take an open invitation back."""
    return _view(await context.parties.kick(caller.player_id, player_id, context.clock.now()))


@router.get("/invitations")
async def invitations(caller: LivePlayer, context: InContext) -> Invitations:
    """List the parties that one may join."""
    found = await context.parties.invitations(caller.player_id, context.clock.now())
    return Invitations(
        invitations=[Invitation(party=_view(party), expires_at=until) for party, until in found]
    )


@router.post("/invitations")
async def invite(choice: PlayerChoice, caller: LivePlayer, context: InContext) -> PartyView:
    """Invite a player to one's party, for five minutes."""
    return _view(await context.parties.invite(caller.player_id, choice.player_id, context.clock.now()))


@router.post("/invitations/{party_id}/accept")
async def accept(party_id: UUID, caller: LivePlayer, context: InContext) -> PartyView:
    """Join a party that one is invited to."""
    return _view(await context.parties.accept(caller.player_id, party_id, context.clock.now()))


@router.delete("/invitations/{party_id}")
async def decline(party_id: UUID, caller: LivePlayer, context: InContext) -> ChangeResponse:
    """Turn an invitation down."""
    await context.parties.decline(caller.player_id, party_id, context.clock.now())
    return ChangeResponse(done=True)


@services.post("/parties/queue")
async def queue(ticket: PartyTicket, context: InContext) -> PartyView:
    """Take a leader's party into the queue under one ticket. It stays as it is until the ticket's end is told, or one leaves."""
    return _view(await context.parties.queue(ticket.leader, ticket.ticket_id, context.clock.now()))


@services.get("/parties/{party_id}")
async def read_any(party_id: UUID, context: InContext) -> PartyView:
    """Read a party: whether it still has the ticket, and who is in it."""
    return _view(await context.parties.read(party_id, context.clock.now()))


@services.post("/parties/{party_id}/unqueue")
async def unqueue(party_id: UUID, end: PartyTicketEnd, context: InContext) -> PartyView:
    """Tell that a party's ticket has ended. Another ticket's end changes nothing."""
    return _view(await context.parties.unqueue(party_id, end.ticket_id, context.clock.now()))


def _view(party: Party) -> PartyView:
    return PartyView(
        party_id=party.party_id,
        leader=str(party.leader),
        version=party.version,
        size_limit=party.size_limit,
        ticket_id=UUID(party.ticket_id) if party.ticket_id else None,
        members=[
            PartyMember(
                player_id=str(member.player_id),
                display_name=member.display_name,
                ready=member.ready,
                joined_at=member.joined_at,
            )
            for member in party.members
        ],
        invited=[str(player_id) for player_id in party.invited],
    )
