"""Routes about accounts and sessions: log in by device or password, renew, log out; revoke, for services."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request

from launchday.identity import SERVICE, InvalidTokenError
from launchday.problems import ProblemError
from launchday.service import require
from meta_service.context import Context, InContext, LivePlayer
from meta_service.domain.followed import BEGINNING
from meta_service.domain.logins import Login
from meta_service.domain.sessions import TokenPair
from meta_service.messages.accounts import PlatformLogin
from meta_service.messages.base import PlayerId
from meta_service.messages.operators import Revocations
from meta_service.messages.sessions import (
    Account,
    DeviceLogin,
    Ended,
    PasswordChange,
    PasswordLogin,
    RefreshRequest,
    RevocationRequest,
    Session,
    SessionEnds,
)
from meta_service.rate_limit import source_of
from meta_service.routes.message_route import Cursor, FromBody, MessageRoute

router = APIRouter(prefix="/v1", tags=["sessions"], route_class=MessageRoute)
services = APIRouter(
    prefix="/v1/internal",
    tags=["services"],
    dependencies=[Depends(require(SERVICE))],
    route_class=MessageRoute,
)


@router.post("/login/device")
async def login_device(login: FromBody[DeviceLogin], context: InContext) -> Session:
    """Log a device's player in; the first login opens the account. The account's session elsewhere ends."""
    login_of_device = Login.of_device(login.device_id)
    player_id, created = await context.logins.log_in(login_of_device, context.clock.now())
    return await _opened(context, player_id, created=created)


@router.post("/login/platform")
async def login_platform(login: FromBody[PlatformLogin], context: InContext) -> Session:
    """Log in by a platform's ID token; the first login opens the account. A session elsewhere ends.

    401 ``platform-token-invalid`` says what of the token is wrong; 503 ``issuer-unavailable`` where only the
    platform could tell the key that it names.
    """
    identity = await context.platforms.verify(login.issuer, login.token, login.nonce, context.clock.wall())
    player_id, created = await context.logins.log_in(Login.of_platform(identity), context.clock.now())
    return await _opened(context, player_id, created=created)


@router.post("/login/password")
async def login_password(login: FromBody[PasswordLogin], context: InContext, request: Request) -> Session:
    """Log in by name and password. A session that the account had elsewhere ends."""
    player_id = await context.credentials.check(login.name.lower(), login.password, source_of(request))
    await context.players.profile(player_id, context.clock.now())  # it is in the cache after this
    return await _opened(context, player_id, created=False)


@router.post("/session/refresh")
async def refresh(exchange: FromBody[RefreshRequest], context: InContext) -> Session:
    """Exchange a refresh token for a new pair.

    An exchange whose answer was lost may be repeated until a token of the new pair was used, within ten
    minutes by default; a copy that comes later ends the session.
    """
    try:
        player_id, tokens = await context.sessions.refresh(exchange.refresh_token, context.clock.now())
    except InvalidTokenError as error:
        headers = {"WWW-Authenticate": "Bearer"}
        raise ProblemError(401, "invalid-token", str(error), headers=headers) from error
    return _session(player_id, tokens, created=False)


@router.delete("/session")
async def log_out(caller: LivePlayer, context: InContext) -> Ended:
    """End the caller's session; its tokens open nothing of this service from now on."""
    now = context.clock.now()
    ended = await context.sessions.revoke(caller.player_id, now, caller.session_id)
    if ended:
        await context.parties.log_out(caller.player_id, now)
    return Ended(ended=ended)


@router.put("/account/password")
async def set_password(
    change: FromBody[PasswordChange], caller: LivePlayer, context: InContext, request: Request
) -> Account:
    """Give the caller's account a name and a password to log in with, or change the password."""
    name = change.name.lower()
    source = source_of(request)
    await context.credentials.set(caller.player_id, name, change.password, change.current_password, source)
    return Account(PlayerId(caller.player_id), name)


@services.post("/revocations")
async def revoke(revocation: FromBody[RevocationRequest], context: InContext) -> Ended:
    """End a player's live session: for support."""
    now = context.clock.now()
    ended = await context.sessions.revoke(revocation.player_id, now)
    await context.parties.log_out(revocation.player_id, now)
    return Ended(ended=ended)


@services.get("/sessions/ends")
async def ends(context: InContext, after: Cursor = BEGINNING) -> SessionEnds:
    """List sessions of the last hour whose end left their players logged out: log-outs, revocations, bans,
    copied tokens.
    """
    return await context.ended_sessions.after(after, context.clock.now())


@services.get("/revocations")
async def revocations(context: InContext, after: Cursor = BEGINNING) -> Revocations:
    """List tokens that open nothing any more before they expire: of sessions that ended, and of players who
    were banned.
    """
    return await context.revoked_tokens.after(after)


async def _opened(context: Context, player_id: int, *, created: bool) -> Session:
    return _session(player_id, await context.sessions.open(player_id, context.clock.now()), created=created)


def _session(player_id: int, tokens: TokenPair, *, created: bool) -> Session:
    return Session(
        player_id=PlayerId(player_id),
        session_token=tokens.access,
        expires_at=tokens.access_expires_at,
        refresh_token=tokens.refresh,
        refresh_expires_at=tokens.refresh_expires_at,
        created=created,
    )
