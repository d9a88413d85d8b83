"""The rules of experience and levels: a data file, validated, and what it means."""

from __future__ import annotations

from bisect import bisect_right
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from rewards.errors import RulesError

DEFAULT_PATH = Path(__file__).with_name("rules.yaml")
MAX_LEVEL = 1000
MAX_XP = 1_000_000  # of one rule; keeps any sum of a batch far inside a bigint


class XpRules(BaseModel):
    """Experience points for what happens in a match."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kill: int = Field(ge=0, le=MAX_XP, description="For each kill.")
    match_played: int = Field(ge=0, le=MAX_XP, description="For a match played to its end or to one's own.")
    win: int = Field(ge=0, le=MAX_XP, description="For placement 1, on top of match_played.")


class LevelBand(BaseModel):
    """A stretch of levels that cost the same."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    up_to: int = Field(ge=2, le=MAX_LEVEL, description="The last level of the band.")
    xp_each: int = Field(ge=1, le=MAX_XP, description="Points from one level to the next.")


class Rules(BaseModel):
    """All rules."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    xp: XpRules
    levels: tuple[LevelBand, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _bands_go_up(self) -> Self:
        ends = [band.up_to for band in self.levels]
        if any(later <= earlier for earlier, later in pairwise(ends)):
            raise ValueError("each band of levels must reach further than the one before")
        return self

    @cached_property
    def thresholds(self) -> tuple[int, ...]:
        """Points at which each level begins: level ``n`` at ``thresholds[n - 1]``, strictly increasing from 0."""
        points = [0]
        for band in self.levels:
            points += [points[-1] + band.xp_each * step for step in range(1, band.up_to - len(points) + 1)]
        return tuple(points)

    def level(self, xp: int) -> int:
        """The level that this many points make; the store computes the same with ``width_bucket``."""
        return max(1, bisect_right(self.thresholds, xp))


def load(path: Path = DEFAULT_PATH) -> Rules:
    """Read and check a file of rules. Raises RulesError, whose message says what to mend."""
    try:
        return Rules.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise RulesError(f"cannot read {path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise RulesError(f"{path} is not YAML: {error}") from error
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in item['loc']) or 'file'}: {item['msg']}"
            for item in error.errors()
        )
        raise RulesError(f"{path}: {problems}") from error
