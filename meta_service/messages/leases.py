"""Messages for our other services: skills, check-outs, commits, closed matches, and the durable counters."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta, field

from meta_service.messages.base import (
    END,
    MAX_PLAYERS,
    Message,
    Mode,
    PlayerId,
    PlayerIds,
    Slug,
    check_unique,
)
from meta_service.messages.players import Skill

LONGEST_LEASE_S = 24 * 3600  # and how long a closed match is remembered: nobody comes later for its players

ServerName = Annotated[
    str, Meta(pattern=rf"^[A-Za-z0-9][A-Za-z0-9._:/-]{{0,127}}{END}", examples=["west-europe-7"])
]
Fence = Annotated[int, Meta(ge=1, le=2**53)]


class SkillsRequest(Message, frozen=True):
    """Whose skill in which mode."""

    mode: Mode
    player_ids: PlayerIds
    blocks: Annotated[bool, Meta(description="Whether to say whom the players block.")] = False

    def __post_init__(self) -> None:
        check_unique("player_ids", self.player_ids)


class Held(Message, frozen=True):
    """Where a player is who is checked out."""

    match_id: UUID
    server: Annotated[str, Meta(description="The server that holds the player.")]
    until_ms: Annotated[int, Meta(description="Unix milliseconds until which the lease holds.")]


class BannedPlayer(Message, frozen=True):
    """Why a player is kept out, and until when."""

    reason: str
    ends_at: Annotated[float | None, Meta(description="Unix seconds; null: for good.")]


class Skills(Message, frozen=True):
    """Skill by player id, where the players are who are checked out now, who has no session any more, and
    who is banned.
    """

    skills: dict[int, Skill]
    held: Annotated[
        dict[int, Held], Meta(description="Players who are in a match now; nobody else is named.")
    ] = field(default_factory=dict)
    logged_out: Annotated[
        list[PlayerId],
        Meta(description="Players whose session was ended, and who have not logged in since."),
    ] = field(default_factory=list)
    banned: Annotated[
        dict[int, BannedPlayer], Meta(description="Players who are banned; nobody else is named.")
    ] = field(default_factory=dict)
    queued: Annotated[
        dict[int, UUID],
        Meta(description="Players whose party queues, and the id of the claim that their tickets carry."),
    ] = field(default_factory=dict)
    void: Annotated[
        dict[int, UUID],
        Meta(description="Players who were in a party that queued with this claim, and changed since."),
    ] = field(default_factory=dict)
    blocked: Annotated[
        dict[int, list[PlayerId]],
        Meta(description="Where it was asked: whom players block; nobody else is named."),
    ] = field(default_factory=dict)


class CheckoutRequest(Message, frozen=True):
    """A server asks for the players of its match."""

    match_id: UUID
    server: ServerName
    region: Slug
    ttl_s: Annotated[
        float,
        Meta(gt=0, le=LONGEST_LEASE_S, description="Seconds until the leases expire.", examples=[120.0]),
    ]
    player_ids: PlayerIds

    def __post_init__(self) -> None:
        check_unique("player_ids", self.player_ids)


class CheckedOut(Message, frozen=True):
    """A player who is leased to the asking server."""

    player_id: PlayerId
    fence: Annotated[int, Meta(description="Fencing token: send it with the commit.")]
    skin: str
    level: int
    display_name: Annotated[
        str, Meta(description="What others call the player in the match; empty from an older server.")
    ] = ""


class CheckoutRefusal(Message, frozen=True):
    """A player whom the server does not get."""

    player_id: PlayerId
    reason: Literal["checked-out", "already-committed", "unknown-player"]
    held_by: Annotated[
        str, Meta(description="The server that holds, or last held, the player; empty if none.")
    ]
    banned: Annotated[
        bool,
        Meta(description="The player is banned; the reason is unknown-player then, as for an older server."),
    ] = False


class CheckoutResponse(Message, frozen=True):
    """Every player asked for, in one of the two lists."""

    checked_out: list[CheckedOut]
    refused: list[CheckoutRefusal]


class CloseRequest(Message, frozen=True):
    """A match is given up: whom its server was to check out."""

    player_ids: PlayerIds
    force: Annotated[bool, Meta(description="Close it also when its players have come.")] = False

    def __post_init__(self) -> None:
        check_unique("player_ids", self.player_ids)


class CloseResponse(Message, frozen=True):
    """Whether a match is closed now, or has come and goes on."""

    outcome: Literal["closed", "has-come"]


class PlayerCommit(Message, frozen=True):
    """One player's result of a match, to commit; ``fence`` is the one from the check-out."""

    player_id: PlayerId
    fence: Fence
    placement: Annotated[int, Meta(ge=1, le=MAX_PLAYERS)]
    kills: Annotated[int, Meta(ge=0, le=1_000_000)]
    played_s: Annotated[float, Meta(ge=0, le=1_000_000)]
    ended_at: Annotated[
        float | None,
        Meta(
            description="When the match ended by the server's clock, Unix seconds: it belongs to that "
            "season. Later than the commit, or not given: the commit's time."
        ),
    ] = None


class CommitRequest(Message, frozen=True):
    """A server hands back the players of its match."""

    match_id: UUID
    players: Annotated[list[PlayerCommit], Meta(min_length=1, max_length=MAX_PLAYERS)]

    def __post_init__(self) -> None:
        check_unique("players", (player.player_id for player in self.players))


class CommitRefusal(Message, frozen=True):
    """A result that was not taken."""

    player_id: PlayerId
    reason: Literal["stale-fence", "foreign-fence", "not-checked-out"]


class CommitResponse(Message, frozen=True):
    """Every player of the commit, in one of the two lists."""

    committed: list[PlayerId]
    refused: list[CommitRefusal]


class MetaCounters(Message, frozen=True):
    """Durable counters. Check-outs = commits + expired + open, at every moment."""

    checkouts: Annotated[int, Meta(description="Leases given, one a player.")]
    commits: Annotated[int, Meta(description="Leases that ended with a result.")]
    expired: Annotated[int, Meta(description="Leases that ended without one.")]
    closed: Annotated[int, Meta(description="Of these, leases that ended because their match was closed.")]
    open: Annotated[int, Meta(description="Leases that are held now.")]
    writebehind_depth: Annotated[int, Meta(description="Changes accepted and not yet in the store.")]
    writebehind_written: Annotated[int, Meta(description="Changes in the store.")]
    writebehind_refused: Annotated[int, Meta(description="Results that the store refused for a stale fence.")]
    writebehind_rejected: Annotated[
        int, Meta(description="Changes that the store cannot take, kept for an operator.")
    ]
    writebehind_age_ms: Annotated[int, Meta(description="How long the oldest of the changes has waited.")]
    writebehind_lag_ms: Annotated[
        int, Meta(description="How long the oldest change of the last batch had waited.")
    ]
