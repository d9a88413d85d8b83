"""Messages about an account: its display name, the ways to log in to it, its export and its deletion."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from meta_service.messages.base import END, Message, PlayerId
from meta_service.messages.sessions import DeviceId

PlatformName = Annotated[
    str, Meta(pattern=rf"^[a-z0-9](?:[a-z0-9-]{{0,30}}[a-z0-9])?{END}", examples=["example"])
]
PlatformToken = Annotated[
    str,
    Meta(
        pattern=rf"^[!-~]{{1,8192}}{END}",
        description="An ID token of the platform's.",
        examples=["eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ.e30.c2lnbmF0dXJl"],
    ),
]
Nonce = Annotated[
    str,
    Meta(
        pattern=rf"^[!-~]{{1,255}}{END}",
        description="With which the client asked for the token; needed where the platform says so.",
        examples=["n-0S6_WzA2Mj"],
    ),
]


class NameChange(Message, frozen=True):
    """The name that a player wants to be shown by."""

    display_name: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=512,
            description="At most 24 characters as a reader counts them, and 128 bytes.",
            examples=["Ninjа 🦊"],
        ),
    ]


class DisplayName(Message, frozen=True):
    """The name that a player is shown by from now on."""

    display_name: str
    changeable_at: Annotated[float, Meta(description="Unix seconds from which on it may be changed again.")]


class PlatformLogin(Message, frozen=True):
    """A player logs in by a platform's token."""

    issuer: PlatformName
    token: PlatformToken
    nonce: Nonce | None = None

    def __repr__(self) -> str:
        return f"PlatformLogin(issuer={self.issuer!r})"  # no token in any log


class DeviceLinkRequest(Message, frozen=True):
    """A device that shall log in to the caller's account, too."""

    device_id: DeviceId
    take: Annotated[
        bool, Meta(description="Also where it opens another account, which it will open no more.")
    ] = False


class PlatformLinkRequest(Message, frozen=True):
    """A platform's identity that shall log in to the caller's account, too."""

    issuer: PlatformName
    token: PlatformToken
    nonce: Nonce | None = None
    take: Annotated[
        bool, Meta(description="Also where it opens another account, which it will open no more.")
    ] = False

    def __repr__(self) -> str:
        return f"PlatformLinkRequest(issuer={self.issuer!r})"


class LinkedLogin(Message, frozen=True):
    """A way to log in to an account."""

    login: Annotated[
        str,
        Meta(
            description="The first digits of its hash, by which it is named.", examples=["0f8e2d6c4a1b4c3d"]
        ),
    ]
    kind: Annotated[Literal["device", "platform"], Meta(examples=["platform"])]
    issuer: Annotated[
        str,
        Meta(
            description="Of a platform's identity; empty for a device.",
            examples=["https://accounts.example.com"],
        ),
    ]
    subject: Annotated[
        str,
        Meta(
            description="What names the player there; empty for a device.", examples=["107691503500061507151"]
        ),
    ]
    linked_at: Annotated[float, Meta(description="Unix seconds.", examples=[1_800_000_000.0])]


class LinkedLogins(Message, frozen=True):
    """All ways to log in to an account."""

    logins: Annotated[list[LinkedLogin], Meta(description="The oldest first.")]
    password_name: Annotated[
        str | None, Meta(description="The name to log in with; null without a password.")
    ]


class AccountExport(Message, frozen=True):
    """Everything that is held about a player."""

    player_id: PlayerId
    exported_at: Annotated[float, Meta(description="Unix seconds.")]
    stored: Annotated[
        dict[str, Any], Meta(description="Of each table of the store, its rows about the player.")
    ]
    cached: Annotated[
        dict[str, Any], Meta(description="What the region's cache holds: the newest values, party, presence.")
    ]
    elsewhere: Annotated[
        dict[str, str], Meta(description="What is held outside of both, for how long, and how to get it.")
    ]


class Deletion(Message, frozen=True):
    """An account is deleted: nobody can log in to it any more."""

    deleted: Annotated[bool, Meta(description="False: it had been before.")]
    finished: Annotated[
        bool,
        Meta(description="Whether everything is gone by now; else a worker goes on until it is."),
    ]
