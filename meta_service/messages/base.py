"""Bodies of the meta service's requests and answers. Ids are decimal strings, times Unix seconds."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)

MAX_PLAYERS = 1600  # the largest match
MAX_PLAYER_ID = 2**63 - 1
MAX_PREFERENCES_BYTES = 2048  # of a player's own settings: they are in every read of the profile
_PLAYER_ID = re.compile(r"[1-9][0-9]{0,18}")


def _parse_player_id(value: Any) -> int:
    if isinstance(value, str) and _PLAYER_ID.fullmatch(value) and int(value) <= MAX_PLAYER_ID:
        return int(value)
    raise ValueError("must be a player id: a positive 63-bit number as a decimal string")


def _unique(ids: list[int]) -> list[int]:
    if len(set(ids)) != len(ids):
        raise ValueError("names a player twice")
    return ids


_PLAYER_ID_SCHEMA = {"type": "string", "pattern": "^[1-9][0-9]{0,18}$", "examples": ["4611686018427387904"]}

PlayerId = Annotated[int, BeforeValidator(_parse_player_id), WithJsonSchema(_PLAYER_ID_SCHEMA)]
PlayerIdText = Annotated[str, WithJsonSchema(_PLAYER_ID_SCHEMA)]  # in answers, whose ids are ours
PlayerIds = Annotated[list[PlayerId], Field(min_length=1, max_length=MAX_PLAYERS), AfterValidator(_unique)]
Slug = Annotated[str, Field(pattern=r"^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$", examples=["west-europe"])]
Mode = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$", examples=["battle_royale"])]
ServerName = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$", examples=["west-europe-7"])
]
DeviceId = Annotated[
    str,
    Field(pattern=r"^[!-~]{8,128}$", examples=["6f1f2c86-5d3a-4d0c-9f51-0f6d3f0d2c11"]),
]
Fence = Annotated[int, Field(ge=1, le=2**53, strict=True)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Sync = Literal["pending", "synced"]


class Message(BaseModel):
    """Base of all bodies: fields that a newer caller adds are ignored."""

    model_config = ConfigDict(frozen=True)


class Skill(Message):
    """OpenSkill's estimate of a player's skill: its mean and standard deviation."""

    mu: float
    sigma: float


class Profile(Message):
    """A player as the player sees it."""

    player_id: PlayerIdText
    display_name: str
    skin: str
    emotes: list[str]
    settings: dict[str, Any]
    level: int
    xp: int
    version: int = Field(description="Version of the loadout; only grows. 0: never changed.")
    sync: Sync = Field(description="Whether the newest loadout has reached the global store.")
    home: str = Field(description="The region of the last login; empty where there is but one.")
    ratings: dict[str, Skill]
    balances: dict[str, int] = Field(
        description="Newest balances that were shown, for display; GET /v1/wallet asks the store."
    )


def _short(preferences: dict[str, Any]) -> dict[str, Any]:
    if len(json.dumps(preferences)) > MAX_PREFERENCES_BYTES:
        raise ValueError(f"takes more than {MAX_PREFERENCES_BYTES} bytes")
    return preferences


Emotes = Annotated[list[Slug], Field(max_length=8, examples=[["wave-hello"]])]
Preferences = Annotated[
    dict[
        Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")],
        Annotated[bool, Field(strict=True)]
        | Annotated[int, Field(strict=True, ge=-(2**31), le=2**31)]
        | Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-1e9, le=1e9)]
        | Annotated[str, Field(pattern=r"^[ -~]{0,64}$")],
    ],
    Field(max_length=32, examples=[{"invert_y": True, "sensitivity": 0.8}]),
    AfterValidator(_short),
]


class LoadoutChange(Message):
    """What the player wants to wear and use; what is left out stays as it is."""

    skin: Slug | None = None
    emotes: Emotes | None = Field(None, description="On the wheel, in order.")
    settings: Preferences | None = Field(None, description="The client's own preferences, all of them.")

    @model_validator(mode="after")
    def _changes_something(self) -> LoadoutChange:
        if self.skin is None and self.emotes is None and self.settings is None:
            raise ValueError("give a skin, emotes or settings")
        return self


class Loadout(Message):
    """The loadout that was accepted."""

    skin: str
    emotes: list[str]
    settings: dict[str, Any]
    version: int
    sync: Sync


class SkillsRequest(Message):
    """Whose skill in which mode."""

    mode: Mode
    player_ids: PlayerIds


class Skills(Message):
    """Skill by player id."""

    skills: dict[str, Skill]


class CheckoutRequest(Message):
    """A server asks for the players of its match."""

    match_id: UUID
    server: ServerName
    region: Slug
    ttl_s: Annotated[
        Finite,
        Field(gt=0, le=24 * 3600, description="Seconds until the leases expire.", examples=[120.0]),
    ]
    player_ids: PlayerIds


class CheckedOut(Message):
    """A player who is leased to the asking server."""

    player_id: PlayerIdText
    fence: int = Field(description="Fencing token: send it with the commit.")
    skin: str
    level: int


class CheckoutRefusal(Message):
    """A player who cannot be had."""

    player_id: PlayerIdText
    reason: Literal["checked-out", "already-committed", "unknown-player"]
    held_by: str = Field(description="The server that holds, or last held, the player; empty if none.")


class CheckoutResponse(Message):
    """Every player asked for, in one of the two lists."""

    checked_out: list[CheckedOut]
    refused: list[CheckoutRefusal]


class PlayerCommit(Message):
    """How one player fared in a match."""

    player_id: PlayerId
    fence: Fence
    placement: Annotated[int, Field(ge=1, le=MAX_PLAYERS)]
    kills: Annotated[int, Field(ge=0, le=1_000_000)]
    played_s: Annotated[Finite, Field(ge=0, le=1_000_000)]


def _unique_results(results: list[PlayerCommit]) -> list[PlayerCommit]:
    _unique([result.player_id for result in results])
    return results


class CommitRequest(Message):
    """A server hands back the players of its match."""

    match_id: UUID
    players: Annotated[
        list[PlayerCommit], Field(min_length=1, max_length=MAX_PLAYERS), AfterValidator(_unique_results)
    ]


class CommitRefusal(Message):
    """A result that was not taken."""

    player_id: PlayerIdText
    reason: Literal["stale-fence", "foreign-fence", "not-checked-out"]


class CommitResponse(Message):
    """Every player of the commit, in one of the two lists."""

    committed: list[PlayerIdText]
    refused: list[CommitRefusal]


class MetaCounters(Message):
    """Durable counters. Check-outs = commits + expired + open, at every moment."""

    checkouts: int = Field(description="Leases given, one a player.")
    commits: int = Field(description="Leases that ended with a result.")
    expired: int = Field(description="Leases that ended without one.")
    open: int = Field(description="Leases that are held now.")
    writebehind_depth: int = Field(description="Changes accepted and not yet in the store.")
    writebehind_age_ms: int = Field(description="How long the oldest of them has waited.")
    writebehind_lag_ms: int = Field(description="How long the oldest change of the last batch had waited.")
    writebehind_written: int = Field(description="Changes in the store.")
    writebehind_refused: int = Field(description="Results that the store refused for a stale fence.")
    writebehind_rejected: int = Field(description="Changes that the store cannot take, kept for an operator.")
