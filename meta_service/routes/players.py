"""Routes for players: read the profile, change the loadout."""

from __future__ import annotations

import json

from fastapi import APIRouter

from meta_service.cache.cache import LoadoutFields, LoadoutResult
from meta_service.context import InContext, LimitedPlayer
from meta_service.errors import SessionEndedError
from meta_service.messages.base import PlayerId
from meta_service.messages.players import Loadout, LoadoutChange, Profile, Skill
from meta_service.routes.message_route import FromBody, MessageRoute

router = APIRouter(prefix="/v1", tags=["players"], route_class=MessageRoute)


@router.get("/profile")
async def profile(caller: LimitedPlayer, context: InContext) -> Profile:
    """Read the caller's profile: the newest accepted values, whether or not they are in the store yet."""
    now = context.clock.now()
    player = await context.players.own_profile(caller.player_id, now)
    await context.sessions.ensure_live(caller, player.session_id, player.session_state, player.ban, now)
    await context.sessions.note_use(caller, player.session_seen, now)
    return Profile(
        player_id=PlayerId(player.player_id),
        display_name=player.display_name,
        skin=player.skin,
        level=player.level,
        xp=player.xp,
        version=player.version,
        sync="pending" if player.pending else "synced",
        ratings={mode: Skill(mu, sigma) for mode, (mu, sigma) in player.ratings.items()},
        balances=player.balances,
        emotes=json.loads(player.emotes),
        settings=json.loads(player.settings),
        home_region=player.home_region,
    )


@router.put("/profile/loadout")
async def change_loadout(
    change: FromBody[LoadoutChange], caller: LimitedPlayer, context: InContext
) -> Loadout:
    """Change the caller's skin, emotes or settings: in force at once, stored within a moment."""
    fields = LoadoutFields(
        skin=change.skin or "",
        emotes="" if change.emotes is None else json.dumps(change.emotes),
        settings="" if change.settings is None else json.dumps(change.settings),
    )
    now = context.clock.now()

    async def accept() -> LoadoutResult:
        return await context.players.set_loadout(caller.player_id, fields, now, caller.session_id)

    try:
        accepted = await accept()
    except SessionEndedError as error:
        if not await context.sessions.was_opened_elsewhere(caller, error, now):
            raise
        accepted = await accept()
    await context.sessions.note_use(caller, accepted.session_seen, now)
    return Loadout(
        skin=accepted.fields.skin,
        version=accepted.version,
        sync="pending",
        emotes=json.loads(accepted.fields.emotes),
        settings=json.loads(accepted.fields.settings),
    )
