"""Challenges: a data file, validated, and which events count towards them.

Progress is one count for each player, challenge and period, and it only adds up. So neither the order of
events nor how they fall into batches matters, and reading the log again gives the same.
"""

from __future__ import annotations

import datetime
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from launchday import local_time
from launchday.gives import Gives, with_reward
from rewards.events import Envelope, event_kinds
from rewards.progression.tally import Tally, Value

MAX_COUNT = 1_000_000_000
MAX_XP = 1_000_000

# Names of before every kind of event could be counted.
_SHORT_NAMES = {"match": "match_ended", "damage": "damage_summary"}


class Challenge(BaseModel):
    """One challenge."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9-]{1,64}$", description="Progress is stored under it.")
    title: str = Field(min_length=1, description="What players read.")
    event: str = Field(description="The kind of event; `match` is match_ended, `damage` the points dealt.")
    to: str = Field(
        "", description="For which of its players it counts, where that is not whom it is keyed by."
    )
    adds: str = Field("", description="The number of it that adds up; without one each event is one.")
    where: dict[str, Value] = Field({}, description="Its fields and what they have to be, for it to count.")
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

    @field_validator("event")
    @classmethod
    def _is_a_kind(cls, event: str) -> str:
        if event not in _SHORT_NAMES and event not in event_kinds():
            raise ValueError(Tally(event).mistakes()[0])
        return event

    @property
    def tally(self) -> Tally:
        """What of which events counts, and for whom."""
        kind, adds = _SHORT_NAMES.get(self.event, self.event), self.adds
        if self.event == "damage" and not adds:
            adds = "weapons.dealt" if "weapon" in self.where else "dealt"
        return Tally(kind, self.to, adds, self.where)

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if mistakes := self.tally.mistakes(self.event):
            raise ValueError("\n".join(mistakes))
        if (self.per == "season") != (self.season is not None):
            raise ValueError("give `season` with `per: season`, and only with it")
        if self.zone is not None and self.per != "day":
            raise ValueError("give `zone` only with `per: day`")
        return self


CountKey = tuple[int, int, str]
"""Player id, the challenge's index in the rules, and its period: the key of progress."""


def period_of(challenge: Challenge, envelope: Envelope) -> str:
    """Return the period of a challenge in which an event happened: its match, its day or its season."""
    if challenge.per == "match":
        return envelope.match_id.hex()
    if challenge.per == "day":
        zone = local_time.zone(challenge.zone or "UTC")
        return datetime.datetime.fromtimestamp(envelope.occurred_at, zone).strftime("%Y-%m-%d")
    return challenge.season or ""
