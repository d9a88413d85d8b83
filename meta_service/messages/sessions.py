"""Bodies of the requests and answers about accounts and sessions."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field, SecretStr

from meta_service.messages.base import DeviceId, Message, PlayerId, PlayerIdText


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _encodable(value: object) -> object:
    if isinstance(value, str):
        value.encode()  # a lone surrogate is a ValueError, as any other bad value
    return value


Name = Annotated[
    str,
    BeforeValidator(_lower),
    Field(pattern=r"^[a-z0-9](?:[a-z0-9_.-]{1,30}[a-z0-9])$", examples=["nina.7"]),
]
Password = Annotated[
    SecretStr,
    BeforeValidator(_encodable),
    Field(min_length=8, max_length=128, examples=["correct horse battery staple"]),
]
Token = Annotated[str, Field(pattern=r"^[!-~]{1,2048}$")]


class DeviceLogin(Message):
    """A device logs its player in."""

    device_id: DeviceId


class PasswordLogin(Message):
    """A player logs in by name, in whatever case, and password."""

    name: Name
    password: Password


class PasswordChange(Message):
    """The name and password an account shall have. The name stays once it is chosen."""

    name: Name
    password: Password
    current_password: Password | None = Field(
        None, description="The password so far; needed once there is one."
    )


class Account(Message):
    """An account that has a password."""

    player_id: PlayerIdText
    name: str


class RefreshRequest(Message):
    """A refresh token, to be exchanged."""

    refresh_token: Token


class RevocationRequest(Message):
    """Whose session shall end."""

    player_id: PlayerId


class Ended(Message):
    """Whether a live session was ended by this request."""

    ended: bool


class Session(Message):
    """A logged-in player."""

    player_id: PlayerIdText
    session_token: str = Field(description="Opens the player's routes; short-lived.")
    expires_at: float
    refresh_token: str = Field(description="Exchanged, once, for the next pair at /v1/session/refresh.")
    refresh_expires_at: float
    created: bool = Field(description="Whether this login opened the account.")
