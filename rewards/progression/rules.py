"""The rules of progression: data files, validated, and what they mean.

``rules.yaml`` has experience and levels; ``challenges.yaml`` and ``seasons.yaml`` beside it are read with it,
where they exist. A season's points are those of events that happened while it lasted.
"""

from __future__ import annotations

import datetime
from bisect import bisect_right
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from rewards.errors import RulesError
from rewards.progression.challenges import Challenge

DEFAULT_PATH = Path(__file__).with_name("rules.yaml")
COMPANION_FILES = ("challenges", "seasons")
MAX_LEVEL = 1000
MAX_XP = 1_000_000  # of one rule; keeps the sum of any batch far inside a bigint
MAX_SEASON_XP = 1_000_000_000


class XpRules(BaseModel):
    """Experience points for what happens in a match."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kill: int = Field(ge=0, le=MAX_XP, description="For each kill.")
    match_played: int = Field(
        ge=0, le=MAX_XP, description="For a match played to its end, or to the player's own."
    )
    win: int = Field(ge=0, le=MAX_XP, description="For placement 1, on top of match_played.")


class LevelBand(BaseModel):
    """A range of levels that cost the same."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    up_to: int = Field(ge=2, le=MAX_LEVEL, description="The last level of the band.")
    xp_each: int = Field(ge=1, le=MAX_XP, description="Points from one level to the next.")


class Tier(BaseModel):
    """One step of a season pass."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    xp: int = Field(ge=1, le=MAX_SEASON_XP, description="Points of the season at which it is reached.")
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


class Rules(BaseModel):
    """All rules."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    xp: XpRules
    levels: tuple[LevelBand, ...] = Field(min_length=1)
    challenges: tuple[Challenge, ...] = ()
    seasons: tuple[Season, ...] = ()

    @model_validator(mode="after")
    def _levels_ascend(self) -> Self:
        ends = [band.up_to for band in self.levels]
        if any(later <= earlier for earlier, later in pairwise(ends)):
            raise ValueError("each band of levels must end at a higher level than the one before")
        return self

    @model_validator(mode="after")
    def _names_are_consistent(self) -> Self:
        for kind, names in (
            ("challenge", [challenge.name for challenge in self.challenges]),
            ("season", [season.name for season in self.seasons]),
        ):
            if twice := {name for name in names if names.count(name) > 1}:
                raise ValueError(f"there are two {kind}s called {min(twice)}")
        for challenge in self.challenges:
            if challenge.season is not None and challenge.season not in {s.name for s in self.seasons}:
                raise ValueError(f"the challenge {challenge.name} belongs to no season: {challenge.season}")
        in_order = sorted(self.seasons, key=lambda season: season.starts)
        for earlier, later in pairwise(in_order):
            if later.starts < earlier.ends:
                raise ValueError(f"the seasons {earlier.name} and {later.name} overlap")
        return self

    @cached_property
    def challenges_of(self) -> dict[str, tuple[tuple[int, Challenge], ...]]:
        """Kind of event → the challenges that it may count towards, with indices; other kinds have none."""
        kinds = {"kill": "kill", "match_ended": "match", "damage_summary": "damage"}
        return {
            kind: tuple(
                (index, challenge)
                for index, challenge in enumerate(self.challenges)
                if challenge.event == event
            )
            for kind, event in kinds.items()
        }

    @cached_property
    def _season_windows(self) -> tuple[tuple[float, float, str], ...]:
        return tuple((*season.window_s, season.name) for season in self.seasons)

    def season_at(self, at_s: float) -> str | None:
        """Return the season in which a moment (Unix seconds) lies."""
        for starts_s, ends_s, name in self._season_windows:
            if starts_s <= at_s < ends_s:
                return name
        return None

    @cached_property
    def thresholds(self) -> tuple[int, ...]:
        """Points at which each level begins: ``n`` at ``thresholds[n - 1]``, strictly increasing from 0."""
        points = [0]
        for band in self.levels:
            points += [points[-1] + band.xp_each * step for step in range(1, band.up_to - len(points) + 1)]
        return tuple(points)

    def level(self, xp: int) -> int:
        """Return the level of a player with ``xp`` points; the store's ``width_bucket`` gives the same."""
        return max(1, bisect_right(self.thresholds, xp))


def load(path: Path = DEFAULT_PATH) -> Rules:
    """Read and check a file of rules, and the files of challenges and seasons beside it.

    Raises RulesError, whose message says what to mend.
    """
    content = _read(path)
    for name in COMPANION_FILES:
        beside = path.with_name(f"{name}.yaml")
        if isinstance(content, dict) and beside.exists():
            more = _read(beside)
            if not isinstance(more, dict) or set(more) != {name}:
                raise RulesError(f"{beside}: it must hold `{name}:` and nothing else")
            content[name] = more[name] or ()
    try:
        return Rules.model_validate(content)
    except ValidationError as error:
        raise RulesError("; ".join(_problem(path, item) for item in error.errors())) from error


def _read(path: Path) -> object:
    try:
        found: object = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RulesError(f"cannot read {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RulesError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    return found


def _problem(path: Path, item: Any) -> str:
    place = [str(part) for part in item["loc"]]
    file = path.with_name(f"{place[0]}.yaml") if place and place[0] in COMPANION_FILES else path
    return f"{file}: {'.'.join(place) or 'file'}: {item['msg']}"


def _midnight_s(day: datetime.date) -> float:
    return datetime.datetime.combine(day, datetime.time(), datetime.UTC).timestamp()
