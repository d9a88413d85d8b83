"""Routes about parties: for players, and what the matchmaker follows of those that queue."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Depends

from dedicated_server.cards import cards_in_force
from launchday.identity import SERVICE
from launchday.service import require
from launchday.settings import Settings
from meta_service.context import InContext, LivePlayer
from meta_service.domain.followed import BEGINNING
from meta_service.errors import PartyError
from meta_service.messages.social import (
    ChangeResponse,
    Invitations,
    LeaveResponse,
    Party,
    PartyChanges,
    PartyOptions,
    PlayerChoice,
    QueueRequest,
    Readiness,
)
from meta_service.routes.message_route import Cursor, FromBody, MessageRoute, OtherPlayer


def most_members(settings: Settings, mode: str) -> int | None:
    """The most members of a party that queues for a mode: as the settings say, else as its card does; None
    where neither does, or everybody plays for themselves.
    """
    card = cards_in_force(settings.modes).get(mode)
    seats = None if card is None or card.each_alone else card.team_size_max
    return settings.party_size_of(mode) or seats


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
    """Read the caller's party; while it queues, with the claim for the caller's ticket."""
    party = await context.parties.party_of(caller.player_id, context.clock.now())
    if party is None:
        raise PartyError(404, "no-party", "you are in no party")
    return party


@router.post("/leave")
async def leave(caller: LivePlayer, context: InContext) -> LeaveResponse:
    """Leave the caller's party; where it queued, the members' tickets are taken back."""
    return await context.parties.leave(caller.player_id, context.clock.now())


@router.put("/ready")
async def set_ready(readiness: FromBody[Readiness], caller: LivePlayer, context: InContext) -> Party:
    """Set whether the caller is ready to play; a party that queues does not any more without them."""
    return await context.parties.set_ready(caller.player_id, readiness.ready, context.clock.now())


@router.post("/queue")
async def queue(request: FromBody[QueueRequest], caller: LivePlayer, context: InContext) -> Party:
    """Queue the caller's party for a mode. Every member makes a ticket with the claim that the answer, and
    ``GET /v1/party``, has for a minute. Queueing again makes a new claim, and takes tickets of the one before
    back.

    Only the leader may (403 ``not-the-leader``), and once all are ready (409 ``not-all-ready``,
    ``member-logged-out``); 409 ``party-too-large`` where the mode's teams seat fewer.
    """
    return await context.parties.queue(
        caller.player_id, request.mode, context.clock.now(), most_members(context.settings, request.mode)
    )


@router.delete("/queue")
async def unqueue(caller: LivePlayer, context: InContext) -> Party:
    """Take the caller's party out of the queue: any member may."""
    return await context.parties.unqueue(caller.player_id, context.clock.now())


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
    """List the parties that the caller may join, the oldest invitation first: at most 32."""
    return Invitations(await context.parties.invitations(caller.player_id, context.clock.now()))


@router.post("/invitations")
async def invite(choice: FromBody[PlayerChoice], caller: LivePlayer, context: InContext) -> Party:
    """Invite a player to the caller's party, for five minutes. The answer is the same whether or not the
    player hears of it: not from somebody whom they block, or whose invitation they declined within a day.
    """
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


@services.get("/parties/changes")
async def changes(context: InContext, after: Cursor = BEGINNING) -> PartyChanges:
    """List parties of the last hour that changed after they had queued: their tickets are taken back."""
    return await context.party_changes.after(after)


@services.get("/parties/{party_id}")
async def read_any(party_id: UUID, context: InContext) -> Party:
    """Read a party and its members."""
    return await context.parties.read(party_id, context.clock.now())
