"""Messages about accounts and sessions."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from meta_service.messages.base import END, Message, PlayerId, check_encodable

DeviceId = Annotated[
    str, Meta(pattern=rf"^[!-~]{{8,128}}{END}", examples=["6f1f2c86-5d3a-4d0c-9f51-0f6d3f0d2c11"])
]
Name = Annotated[
    str, Meta(pattern=rf"^[A-Za-z0-9](?:[A-Za-z0-9_.-]{{1,30}}[A-Za-z0-9]){END}", examples=["nina.7"])
]
Password = Annotated[
    str,
    Meta(
        min_length=8,
        max_length=128,
        examples=["correct horse battery staple"],
        extra_json_schema={"format": "password", "writeOnly": True},
    ),
]
Token = Annotated[
    str, Meta(pattern=rf"^[!-~]{{1,2048}}{END}", examples=["eyJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl"])
]


class DeviceLogin(Message, frozen=True):
    """A device logs its player in."""

    device_id: DeviceId


class PasswordLogin(Message, frozen=True):
    """A player logs in by name, in whatever case, and password."""

    name: Name
    password: Password

    def __post_init__(self) -> None:
        check_encodable("password", self.password)

    def __repr__(self) -> str:
        return f"PasswordLogin(name={self.name!r})"  # no password in any log


class PasswordChange(Message, frozen=True, omit_defaults=True):
    """The name and password an account shall have. The name stays once it is chosen."""

    name: Name
    password: Password
    current_password: Annotated[
        Password | None, Meta(description="The password so far; needed once there is one.")
    ] = None

    def __post_init__(self) -> None:
        check_encodable("password", self.password)
        check_encodable("current_password", self.current_password or "")

    def __repr__(self) -> str:
        return f"PasswordChange(name={self.name!r})"


class Account(Message, frozen=True):
    """An account that has a password."""

    player_id: PlayerId
    name: str


class RefreshRequest(Message, frozen=True):
    """A refresh token, to be exchanged."""

    refresh_token: Token


class RevocationRequest(Message, frozen=True):
    """Whose session shall end."""

    player_id: PlayerId


class Ended(Message, frozen=True):
    """Whether a live session was ended by this request."""

    ended: bool


class SessionEnd(Message, frozen=True):
    """The end of a player's session that left them logged out. Times are Unix seconds."""

    player_id: PlayerId
    ended_at: float
    why: Annotated[
        Literal["logged-out", "revoked", "reused"],
        Meta(description="revoked: by a service; reused: a copy of a refresh token was found."),
    ]
    live: Annotated[bool, Meta(description="Whether the player has logged in again since.")]


class SessionEnds(Message, frozen=True):
    """Ends of sessions, the oldest first."""

    ends: list[SessionEnd]
    cursor: Annotated[str, Meta(description="Ask for what comes after it.")]


class Session(Message, frozen=True):
    """A logged-in player and the tokens of the session. Times are Unix seconds."""

    player_id: PlayerId
    session_token: Annotated[str, Meta(description="Opens the player's routes; short-lived.")]
    expires_at: float
    created: Annotated[bool, Meta(description="Whether this login opened the account.")]
    refresh_token: Annotated[
        str,
        Meta(
            description="Exchanged for the next pair at /v1/session/refresh; again, if its answer was lost."
        ),
    ]
    refresh_expires_at: float
