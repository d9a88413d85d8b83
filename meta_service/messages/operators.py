"""Messages about what operators see of a player, do to them, and did."""

from __future__ import annotations

import unicodedata
from typing import Annotated, Any

from msgspec import Meta

from meta_service.messages.base import END, Message, PlayerId, check_encodable, invalid
from meta_service.messages.players import Lease, Skill
from meta_service.messages.progress import Progress

LATEST_END = 253_402_300_800.0  # the year 10000: whoever means later means for good

# Separators of lines and paragraphs; embeddings, overrides and isolates of a direction.
_TURNS = frozenset("\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

Reason = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=200,
        pattern=rf"^[^\x00-\x1f\x7f-\x9f]*{END}",
        description="Why, in a line; a ban's is read by the player.",
        examples=["speed hack, replay 4711"],
    ),
]


def check_reason(reason: str) -> None:
    """Raise ValueError, which points at ``reason``, for one that says nothing or is not read as it stands."""
    check_encodable("reason", reason)
    kinds = {unicodedata.category(one)[0] for one in reason}
    if not kinds - {"C", "Z"}:  # blanks, and what has no shape
        raise invalid("reason", "says nothing")
    if set(reason) & _TURNS:
        raise invalid("reason", "must not begin a line or turn the direction of the text")


class BanRequest(Message, frozen=True):
    """Why and until when a player is kept out."""

    reason: Reason
    ends_at: Annotated[
        Annotated[float, Meta(gt=0, lt=LATEST_END)] | None,
        Meta(description="Unix seconds; not given: for good.", examples=[1_797_000_000.0]),
    ] = None

    def __post_init__(self) -> None:
        check_reason(self.reason)


class Ban(Message, frozen=True):
    """A ban on record. Times are Unix seconds."""

    ban_no: int
    player_id: PlayerId
    reason: str
    banned_by: Annotated[str, Meta(description="The operator.")]
    banned_at: float
    ends_at: Annotated[float | None, Meta(description="null: for good.")]
    lifted_at: float | None
    lifted_by: str
    lift_reason: str
    holds: Annotated[bool, Meta(description="Whether it keeps the player out now.")]


class KickRequest(Message, frozen=True):
    """Why a player is put out of their match."""

    reason: Reason

    def __post_init__(self) -> None:
        check_reason(self.reason)


class Kicked(Message, frozen=True):
    """Which match a player was put out of. Its server hears of it within seconds."""

    match_id: str
    server: str


class Lifted(Message, frozen=True):
    """Whether a ban held until now."""

    lifted: bool


class SessionState(Message, frozen=True):
    """A player's newest session."""

    state: Annotated[str, Meta(description="live or revoked; empty: the player never logged in.")]
    opened_at: Annotated[float, Meta(description="Unix seconds; 0: not known.")]
    region: str


class PlayerStatus(Message, frozen=True):
    """A player as operators see them: the cache's newest values, and what only the store has."""

    player_id: PlayerId
    display_name: str
    level: int
    xp: int
    skin: str
    pending: Annotated[bool, Meta(description="Whether an accepted change waits to be written to the store.")]
    ratings: dict[str, Skill]
    session: SessionState
    lease: Lease
    party_id: str | None
    bans: Annotated[list[Ban], Meta(description="The newest first.")]
    balances: dict[str, int]
    items: Annotated[dict[str, int], Meta(description="Pieces owned, by item.")]
    progress: Progress | None = None


class OperatorAction(Message, frozen=True):
    """One act of an operator, as the audit has it."""

    action_no: int
    operator: str
    action: str
    player_id: PlayerId | None
    reason: str
    detail: dict[str, Any]
    done_at: Annotated[float, Meta(description="Unix seconds.")]
    request_id: str


class OperatorActions(Message, frozen=True):
    """Acts of operators, the newest first."""

    actions: list[OperatorAction]


class Kick(Message, frozen=True):
    """A player who is to leave the match they are in."""

    player_id: PlayerId
    why: Annotated[str, Meta(description="In a word: banned, kicked or revoked. Others may come.")]


class Kicks(Message, frozen=True):
    """Players who are to leave a match, the oldest kick first."""

    kicks: list[Kick]
    cursor: Annotated[str, Meta(description="Ask for what comes after it.")]


class Revocation(Message, frozen=True):
    """Tokens that open nothing any more although they have not expired: a session's, or all of a player's.

    Times are Unix seconds.
    """

    player_id: PlayerId
    session_id: Annotated[str, Meta(description="Empty where it is about the player.")]
    why: Annotated[
        str,
        Meta(
            description="Of a session: superseded, logged-out, revoked or reused. Of a player: banned, or "
            "unbanned, which takes that back. Others may come."
        ),
    ]
    at: float
    until: Annotated[
        float, Meta(description="After it there is no such token, or the ban is over; 0: for good.")
    ]
    reason: Annotated[str, Meta(description="Of a ban.")]


class Revocations(Message, frozen=True):
    """Revocations, the oldest first."""

    revocations: list[Revocation]
    cursor: Annotated[str, Meta(description="Ask for what comes after it.")]
