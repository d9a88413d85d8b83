"""Routes about an account: the display name, the ways to log in, its export and its deletion."""

from __future__ import annotations

from typing import Annotated

import structlog
from fastapi import APIRouter, Path
from redis.exceptions import RedisError

from launchday.service import OperatorCaller
from meta_service.context import Context, InContext, LivePlayer
from meta_service.domain.logins import SHOWN_DIGITS, Login
from meta_service.errors import StoreUnavailableError
from meta_service.messages.accounts import (
    AccountExport,
    Deletion,
    DeviceLinkRequest,
    DisplayName,
    LinkedLogin,
    LinkedLogins,
    NameChange,
    PlatformLinkRequest,
)
from meta_service.routes.message_route import FromBody, MessageRoute, OtherPlayer, WhyQuery

router = APIRouter(prefix="/v1", tags=["accounts"], route_class=MessageRoute)
operators = APIRouter(prefix="/v1/operator/players", tags=["operators"], route_class=MessageRoute)

log = structlog.get_logger()

LoginDigits = Annotated[
    str,
    Path(pattern=f"^[0-9a-f]{{{SHOWN_DIGITS}}}$", description="As the list of logins names it."),
]


@router.put("/profile/name")
async def take_name(change: FromBody[NameChange], caller: LivePlayer, context: InContext) -> DisplayName:
    """Choose the caller's display name: once a month, and none that another player has or looks like.

    422 ``bad-name`` says what of it is wrong; 409 ``name-taken``, or ``name-changed-lately`` with the day of
    the next change.
    """
    taken = await context.names.take(caller.player_id, change.display_name, context.clock.wall())
    return DisplayName(taken.display_name, taken.changeable_at)


@router.get("/account/logins")
async def logins(caller: LivePlayer, context: InContext) -> LinkedLogins:
    """List the ways to log in to the caller's account."""
    return await _listed(context, caller.player_id)


@router.post("/account/logins/devices")
async def link_device(
    link: FromBody[DeviceLinkRequest], caller: LivePlayer, context: InContext
) -> LinkedLogins:
    """Let another device log in to the caller's account.

    409 ``login-taken`` where it opens another account: with ``take`` it is moved, and opens that one no more.
    """
    login = Login.of_device(link.device_id)
    await context.logins.link(caller.player_id, login, take=link.take, now=context.clock.now())
    return await _listed(context, caller.player_id)


@router.post("/account/logins/platforms")
async def link_platform(
    link: FromBody[PlatformLinkRequest], caller: LivePlayer, context: InContext
) -> LinkedLogins:
    """Let a platform's identity log in to the caller's account, as ``link_device`` does for a device."""
    identity = await context.platforms.verify(link.issuer, link.token, link.nonce, context.clock.wall())
    login = Login.of_platform(identity)
    await context.logins.link(caller.player_id, login, take=link.take, now=context.clock.now())
    return await _listed(context, caller.player_id)


@router.delete("/account/logins/{login}")
async def unlink(login: LoginDigits, caller: LivePlayer, context: InContext) -> LinkedLogins:
    """End a way to log in to the caller's account; 409 ``last-login`` for the only one."""
    await context.logins.unlink(caller.player_id, login, context.clock.now())
    return await _listed(context, caller.player_id)


@router.get("/account/export")
async def export(caller: LivePlayer, context: InContext) -> AccountExport:
    """Read everything that is held about the caller. 503 while the store, which holds most, is away."""
    return await context.exports.of(caller.player_id, context.clock.now(), context.clock.wall())


@router.delete("/account")
async def delete(caller: LivePlayer, context: InContext) -> Deletion:
    """Delete the caller's account, for good: tokens and logins open nothing from this moment on.

    What stays, without the player in it, is the books of money and items. 503: nothing was deleted.
    """
    return await _deleted(context, caller.player_id, "player", "")


@operators.get("/{player_id}/export")
async def export_for_operator(
    player_id: OtherPlayer, operator: OperatorCaller, context: InContext
) -> AccountExport:
    """Read everything that is held about a player, for them; it is noted who did."""
    now = context.clock.now()
    found = await context.exports.of(player_id, now, context.clock.wall())
    await context.audit.note(operator.subject, "export", player_id, "asked for", {}, now)
    return found


@operators.delete("/{player_id}")
async def delete_for_operator(
    player_id: OtherPlayer,
    operator: OperatorCaller,
    context: InContext,
    reason: WhyQuery,
) -> Deletion:
    """Delete a player's account, for good, as the player could. Repeating it changes nothing."""
    if not await context.erasures.is_begun(player_id):
        await context.players.profile(player_id, context.clock.now())  # 404 where there is no such player
    return await _deleted(context, player_id, f"operator:{operator.subject}", reason)


async def _deleted(context: Context, player_id: int, who: str, why: str) -> Deletion:
    now = context.clock.now()
    begun = await context.erasures.begin(player_id, who, why, now)
    try:
        finished = await context.erasures.go_on(player_id, now)
    except (StoreUnavailableError, RedisError) as error:  # a worker goes on with it
        log.warning("deletion is not finished yet", reason=repr(error))
        finished = False
    return Deletion(begun, finished)


async def _listed(context: Context, player_id: int) -> LinkedLogins:
    rows, name = await context.logins.of_player(player_id), await context.credentials.name_of(player_id)
    return LinkedLogins(
        [
            LinkedLogin(row["login"], row["kind"], row["issuer"], row["subject"], row["linked_at"])
            for row in rows
        ],
        name,
    )
