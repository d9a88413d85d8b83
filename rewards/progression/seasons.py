"""Season passes: a data file, validated. A season's points are those of events that happened while it lasted."""

from __future__ import annotations

import datetime
from itertools import pairwise
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

MAX_POINTS = 1_000_000_000


class Tier(BaseModel):
    """One step of a pass."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    xp: int = Field(ge=1, le=MAX_POINTS, description="Points of the season at which it is reached.")
    reward: str = Field(pattern=r"^[a-z0-9-]{1,64}$", description="What it gives.")


class Season(BaseModel):
    """One season and its pass."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9-]{1,64}$", description="Progress is stored under it.")
    title: str = Field(min_length=1, description="What players read.")
    starts: datetime.date
    ends: datetime.date = Field(description="The first day after it.")
    tiers: tuple[Tier, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _ascends(self) -> Self:
        if self.ends <= self.starts:
            raise ValueError("a season must end after it starts")
        if any(later.xp <= earlier.xp for earlier, later in pairwise(self.tiers)):
            raise ValueError("each tier must need more points than the one before")
        return self

    @property
    def window_s(self) -> tuple[float, float]:
        """Unix seconds of its start, and of its end, which no longer counts."""
        return _midnight_s(self.starts), _midnight_s(self.ends)

    @property
    def thresholds(self) -> list[int]:
        """Points at which each tier is reached."""
        return [tier.xp for tier in self.tiers]


def _midnight_s(day: datetime.date) -> float:
    return datetime.datetime.combine(day, datetime.time(), datetime.UTC).timestamp()
