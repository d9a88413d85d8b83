"""Routes about the caller's account: the display name, and the ways to log in."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from meta_service.context import Context, InContext, LivePlayer
from meta_service.domain.logins import SHOWN_DIGITS, Login
from meta_service.messages.accounts import (
    DeviceLinkRequest,
    DisplayName,
    LinkedLogin,
    LinkedLogins,
    NameChange,
    PlatformLinkRequest,
)
from meta_service.routes.message_route import FromBody, MessageRoute

router = APIRouter(prefix="/v1", tags=["accounts"], route_class=MessageRoute)

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


async def _listed(context: Context, player_id: int) -> LinkedLogins:
    rows, name = await context.logins.of_player(player_id), await context.credentials.name_of(player_id)
    return LinkedLogins(
        [
            LinkedLogin(row["login"], row["kind"], row["issuer"], row["subject"], row["linked_at"])
            for row in rows
        ],
        name,
    )
