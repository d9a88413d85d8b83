"""Challenges: a data file, validated, and which events count towards them.

Progress is one count for each player, challenge and period, and it only adds up. So neither the order of
events nor how they fall into batches matters, and reading the log again gives the same.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from launchday import local_time
from launchday.gives import Gives, with_reward
from rewards.events import Envelope

MAX_COUNT = 1_000_000_000
MAX_XP = 1_000_000

ChallengeEvent = Literal["kill", "match", "damage"]
_FILTERS: dict[ChallengeEvent, set[str]] = {
    "kill": {"over_distance_m", "weapon"},
    "match": {"mode", "max_placement"},
    "damage": {"weapon"},
}


class Where(BaseModel):
    """The conditions under which an event counts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    over_distance_m: float | None = Field(None, ge=0, description="Kills from farther away than this.")
    weapon: str | None = Field(None, min_length=1, description="With this weapon.")
    mode: str | None = Field(None, min_length=1, description="Matches of this mode.")
    max_placement: int | None = Field(None, ge=1, description="Matches that ended at this place or better.")


class Challenge(BaseModel):
    """One challenge."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9-]{1,64}$", description="Progress is stored under it.")
    title: str = Field(min_length=1, description="What players read.")
    event: ChallengeEvent
    where: Where = Where()
    count: int = Field(ge=1, le=MAX_COUNT, description="The number that completes it.")
    per: Literal["match", "day", "season", "ever"] = "ever"
    season: str | None = Field(None, description="The season of `per: season`.")
    zone: str | None = Field(None, description="Whose days count, by IANA name, with `per: day`; else UTC's.")
    xp: int = Field(ge=0, le=MAX_XP, description="Points for completing it.")
    gives: Gives = Field((), description="What completing it gives, once a period.")

    _read_reward = model_validator(mode="before")(with_reward)

    @field_validator("zone")
    @classmethod
    def _is_known(cls, zone: str | None) -> str | None:
        local_time.zone(zone or "UTC")
        return zone

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        given = {name for name, value in self.where if value is not None}
        if alien := sorted(given - _FILTERS[self.event]):
            raise ValueError(
                f"a {self.event} has no {alien[0]}, only {', '.join(sorted(_FILTERS[self.event]))}"
            )
        if (self.per == "season") != (self.season is not None):
            raise ValueError("give `season` with `per: season`, and only with it")
        if self.zone is not None and self.per != "day":
            raise ValueError("give `zone` only with `per: day`")
        return self


CountKey = tuple[int, int, str]
"""Player id, the challenge's index in the rules, and its period: the key of progress."""


def contributions(
    challenges: tuple[tuple[int, Challenge], ...], envelope: Envelope, kind: str, season: str | None
) -> Iterator[tuple[CountKey, int]]:
    """Yield what an event adds to which counts.

    Args:
        challenges: those that this kind of event may count towards, each with its index.
        envelope: the event.
        kind: its kind: kill, match_ended or damage_summary.
        season: the season in which it happened, if any.
    """
    for index, challenge in challenges:
        if challenge.per == "season" and challenge.season != season:
            continue
        where = challenge.where
        period = ""
        if kind == "kill":
            kill = envelope.kill
            if where.over_distance_m is not None and kill.distance_m <= where.over_distance_m:
                continue
            if where.weapon is None or kill.weapon == where.weapon:
                period = _period(challenge, envelope)
                yield (kill.killer_id, index, period), 1
        elif kind == "match_ended":
            if where.mode is not None and envelope.match_ended.mode != where.mode:
                continue
            period = _period(challenge, envelope)
            for entry in envelope.match_ended.placements:
                if where.max_placement is None or entry.placement <= where.max_placement:
                    yield (entry.player_id, index, period), 1
        else:
            summary = envelope.damage_summary
            dealt = (
                summary.dealt
                if where.weapon is None
                else sum(entry.dealt for entry in summary.weapons if entry.weapon == where.weapon)
            )
            # Whole points of each match: sums of floats would depend on their order.
            if (points := int(dealt)) > 0:
                yield (summary.player_id, index, _period(challenge, envelope)), points


def _period(challenge: Challenge, envelope: Envelope) -> str:
    if challenge.per == "match":
        return envelope.match_id.hex()
    if challenge.per == "day":
        zone = local_time.zone(challenge.zone or "UTC")
        return datetime.datetime.fromtimestamp(envelope.occurred_at, zone).strftime("%Y-%m-%d")
    return challenge.season or ""
