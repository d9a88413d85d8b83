"""Routes for players: read the profile, change the loadout."""

from __future__ import annotations

from fastapi import APIRouter

from meta_service.context import InContext, LimitedPlayer
from meta_service.messages import Loadout, LoadoutChange, Profile, Skill
from meta_service.players import ensure_live

router = APIRouter(prefix="/v1", tags=["players"])


@router.get("/profile")
async def profile(caller: LimitedPlayer, here: InContext) -> Profile:
    """Read one's own profile: the newest accepted values, whether or not they are in the store yet."""
    player = await here.players.profile(caller.player_id, here.clock())
    ensure_live(caller.session_id, player.session_id, player.session_state)
    return Profile(
        player_id=str(player.player_id),
        display_name=player.display_name,
        skin=player.skin,
        level=player.level,
        xp=player.xp,
        version=player.version,
        sync="pending" if player.pending else "synced",
        ratings={mode: Skill(mu=mu, sigma=sigma) for mode, (mu, sigma) in player.ratings.items()},
        balances=player.balances,
    )


@router.put("/profile/loadout")
async def change_loadout(change: LoadoutChange, caller: LimitedPlayer, here: InContext) -> Loadout:
    """Change one's skin: in force at once, stored within a moment."""
    version = await here.players.set_skin(caller.player_id, change.skin, here.clock(), caller.session_id)
    return Loadout(skin=change.skin, version=version, sync="pending")
