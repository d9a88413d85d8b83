"""Messages about progress: level, season pass and challenges, and what they give."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from meta_service.messages.base import Message


class Gift(Message, frozen=True):
    """One thing that is given: pieces of an item, or an amount of a currency."""

    item: str | None = None
    quantity: Annotated[int | None, Meta(description="Pieces of the item.")] = None
    currency: str | None = None
    amount: Annotated[int | None, Meta(description="In the currency's smallest unit.")] = None


class TierProgress(Message, frozen=True):
    """One tier of the season's pass."""

    name: Annotated[str, Meta(description="What it is given under: its own name, or its points.")]
    xp: Annotated[int, Meta(description="Points of the season at which it is reached.")]
    gives: list[Gift]
    reached: bool
    given: Annotated[
        bool, Meta(description="What it gives is the player's: with the reaching, or a moment later.")
    ]


class SeasonProgress(Message, frozen=True):
    """The season and how far the player has come in its pass."""

    name: str
    title: str
    ends_at: Annotated[float, Meta(description="The first moment that no longer counts; it may be past.")]
    xp: Annotated[int, Meta(description="Points that the player has gained in it.")]
    tiers: list[TierProgress]


class ChallengeProgress(Message, frozen=True):
    """One challenge in its present period."""

    name: str
    title: str
    per: Annotated[
        Literal["match", "day", "season", "ever"],
        Meta(description="When it starts again from zero. A match's is that of the last one."),
    ]
    count: int
    needed: int
    ends_at: Annotated[
        float | None, Meta(description="When the day or the season ends; none: at the next match, or never.")
    ]
    completed: bool
    xp: Annotated[int, Meta(description="Points for completing it.")]
    gives: list[Gift]
    given: bool


class Progress(Message, frozen=True):
    """How far a player has come."""

    level: int
    xp: int
    xp_to_next: Annotated[int | None, Meta(description="Points to the next level; none: there is none.")]
    season: Annotated[
        SeasonProgress | None,
        Meta(description="The present one or, between two, the last; none before the first."),
    ]
    challenges: list[ChallengeProgress]


class RulesInForce(Message, frozen=True):
    """The table of seasons that this process goes by from now on."""

    seasons: list[str]
