"""Messages about profiles and loadouts, and what an operator sees of a player."""

from __future__ import annotations

import json
from typing import Annotated, Literal

from msgspec import Meta

from meta_service.messages.base import END, Message, PlayerId, Slug, invalid

MAX_PREFERENCES_BYTES = 2048  # of a player's own settings: they are in every read of the profile

Sync = Literal["pending", "synced"]
Emotes = Annotated[list[Slug], Meta(max_length=8, examples=[["wave-hello"]])]
Preferences = Annotated[
    dict[
        Annotated[str, Meta(pattern=rf"^[a-z][a-z0-9_]{{0,31}}{END}")],
        bool
        | Annotated[int, Meta(ge=-(2**31), le=2**31)]
        | Annotated[float, Meta(ge=-1e9, le=1e9)]
        | Annotated[str, Meta(pattern=rf"^[ -~]{{0,64}}{END}")],
    ],
    Meta(max_length=32, examples=[{"invert_y": True, "sensitivity": 0.8}]),
]


class Skill(Message, frozen=True):
    """OpenSkill's estimate of a player's skill: its mean and standard deviation."""

    mu: float
    sigma: float


class Profile(Message, frozen=True):
    """A player as the player sees it."""

    player_id: PlayerId
    display_name: str
    skin: str
    level: int
    xp: int
    version: Annotated[int, Meta(description="Version of the loadout; only grows. 0: never changed.")]
    sync: Annotated[Sync, Meta(description="Whether the newest loadout has reached the global store.")]
    ratings: dict[str, Skill]
    balances: Annotated[
        dict[str, int],
        Meta(description="Newest balances that were shown, for display; GET /v1/wallet asks the store."),
    ]
    emotes: list[str]
    settings: dict[str, bool | int | float | str]
    home_region: Annotated[
        str, Meta(description="The region of the last login; empty where there is only one.")
    ]


class LoadoutChange(Message, frozen=True, omit_defaults=True):
    """What the player wants to wear and use; what is left out stays as it is."""

    skin: Slug | None = None
    emotes: Annotated[Emotes | None, Meta(description="On the wheel, in order.")] = None
    settings: Annotated[
        Preferences | None, Meta(description="The client's own preferences, all of them.")
    ] = None

    def __post_init__(self) -> None:
        if self.skin is None and self.emotes is None and self.settings is None:
            raise ValueError("give a skin, emotes or settings")
        if self.settings is not None and len(json.dumps(self.settings)) > MAX_PREFERENCES_BYTES:
            raise invalid("settings", f"takes more than {MAX_PREFERENCES_BYTES} bytes")


class Loadout(Message, frozen=True):
    """The loadout that was accepted, as a whole."""

    skin: str
    version: int
    sync: Sync
    emotes: list[str]
    settings: dict[str, bool | int | float | str]


class Lease(Message, frozen=True):
    """The player's newest check-out, held or not."""

    state: Annotated[
        str, Meta(description="held, committed, expired or refused; empty if there was no check-out.")
    ]
    server: str
    match_id: str
    fence: int
    until: Annotated[float, Meta(description="Unix seconds at which it ends by itself.")]


class PlayerLookup(Message, frozen=True):
    """What an operator sees of a player."""

    player_id: PlayerId
    display_name: str
    level: int
    skin: str
    version: int
    pending: Annotated[bool, Meta(description="Whether an accepted change waits to be written to the store.")]
    lease: Lease
