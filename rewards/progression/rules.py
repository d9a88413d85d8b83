"""The rules of progression: data files, validated, and what they mean.

``rules.yaml`` has experience and levels, ``challenges.yaml`` beside it the challenges. The seasons are those
of `launchday.seasons`, the one table that leaderboards have too. A season's points are those of events that
happened while it lasted.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from launchday import gives
from launchday import seasons as table
from launchday.escapes import escaped
from launchday.rules_in_force import Gift, RulesInForce, ShownChallenge, ShownSeason
from launchday.seasons import Season, Seasons
from rewards.errors import RulesError
from rewards.progression.challenges import Challenge
from rewards.progression.tally import Amounts
from rewards.progression.xp import MAX_XP, XpRules

DEFAULT_PATH = Path(__file__).with_name("rules.yaml")
MAX_LEVEL = 1000


class LevelBand(BaseModel):
    """A range of levels that cost the same."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    up_to: int = Field(ge=2, le=MAX_LEVEL, description="The last level of the band.")
    xp_each: int = Field(ge=1, le=MAX_XP, description="Points from one level to the next.")


class CountedChallenge(NamedTuple):
    """A challenge that a kind of event may count towards, and its number in the rules."""

    amounts: Amounts
    number: int
    challenge: Challenge


class Counting(NamedTuple):
    """What one kind of event counts for: points, and challenges."""

    awards: tuple[tuple[Amounts, int], ...]
    challenges: tuple[CountedChallenge, ...]


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

    @cached_property
    def counting(self) -> dict[str, Counting]:
        """Kind of event → what it counts for; other kinds count for nothing."""
        awards = self.xp.by_kind
        challenges: dict[str, tuple[CountedChallenge, ...]] = {}
        for number, challenge in enumerate(self.challenges):
            tally = challenge.tally
            counted = CountedChallenge(tally.compiled(), number, challenge)
            challenges[tally.kind] = (*challenges.get(tally.kind, ()), counted)
        return {
            kind: Counting(awards.get(kind, ()), challenges.get(kind, ()))
            for kind in awards.keys() | challenges.keys()
        }

    @cached_property
    def _seasons(self) -> Seasons:
        return Seasons(self.seasons)

    @cached_property
    def season_at(self) -> Callable[[float], str | None]:
        """Takes a moment (Unix seconds); returns the season in which it lies, None between two."""
        return self._seasons.at

    @cached_property
    def thresholds(self) -> tuple[int, ...]:
        """Points at which each level begins: ``n`` at ``thresholds[n - 1]``, strictly increasing from 0."""
        points = [0]
        for band in self.levels:
            points += [points[-1] + band.xp_each * step for step in range(1, band.up_to - len(points) + 1)]
        return tuple(points)

    @cached_property
    def given_at(self) -> dict[tuple[str, str], str]:
        """Each (``item`` or ``currency``, name) that is given → a place that gives it, for a message."""
        places = [
            (f"the tier at {tier.xp} points of the season {season.name}", tier.gives)
            for season in self.seasons
            for tier in season.tiers
        ]
        places += [(f"the challenge {challenge.name}", challenge.gives) for challenge in self.challenges]
        found: dict[tuple[str, str], str] = {}
        for place, things in places:
            for kind, names in (("item", gives.items(things)), ("currency", gives.currencies(things))):
                for name in sorted(names):
                    found.setdefault((kind, name), place)
        return found

    def in_force(self) -> RulesInForce:
        """What others are shown of them."""
        return RulesInForce(
            thresholds=self.thresholds,
            seasons=tuple(map(ShownSeason.of, self._seasons.all)),
            challenges=tuple(
                ShownChallenge(
                    each.name,
                    each.title,
                    each.count,
                    each.per,
                    each.season,
                    each.zone or "UTC",
                    each.xp,
                    tuple(map(Gift.of, each.gives)),
                )
                for each in self.challenges
            ),
        )

    def level(self, xp: int) -> int:
        """Return the level of a player with ``xp`` points; the store's ``width_bucket`` gives the same."""
        return max(1, bisect_right(self.thresholds, xp))


def load(path: Path = DEFAULT_PATH, seasons: str | Path = "") -> Rules:
    """Read and check a file of rules, the challenges beside it, and the seasons.

    Args:
        path: the rules.
        seasons: the table of seasons; empty: ``seasons.yaml`` beside the rules, else the shipped one. Of the
            shipped challenges those of seasons that it does not have are left out.

    Raises RulesError, whose message has a line for each mistake, with its file and place.
    """
    content = _read(path)
    told: list[str] = []
    if not isinstance(content, dict):
        raise RulesError(f"{path}: the file must hold `xp` and `levels`")
    file = path.with_name("challenges.yaml")
    if file.exists():
        more = _read(file)
        if isinstance(more, dict) and set(more) == {"challenges"}:
            content["challenges"] = more["challenges"] or ()
        else:
            told.append(f"{file}: it must hold `challenges:` and nothing else")
    if "seasons" in content:
        told.append(f"{path}: seasons: they have a file of their own, seasons.yaml")
    beside = path.with_name("seasons.yaml")
    seasons_file = Path(seasons or (beside if beside.exists() else table.SHIPPED))
    names: set[str] = set()
    try:
        entries = table.read(seasons_file)
    except table.SeasonsError as error:
        told.append(str(error))
    else:
        found, mistakes = table.check(entries)
        content["seasons"], names = tuple(found), _names(entries)
        if seasons and path == DEFAULT_PATH:
            content["challenges"] = _of_known_seasons(content.get("challenges", ()), names)
        told += [f"{seasons_file}: {table.placed(mistake)}" for mistake in mistakes]
        told += [f"{file}: {escaped(problem)}" for problem in _problems(content.get("challenges", ()), names)]
    if "xp" in content:
        content["xp"], wrong = XpRules.read(content["xp"])
        told += [f"{path}: xp.{line}" for line in wrong]
    try:
        rules = Rules.model_validate(content)
    except ValidationError as error:
        told += [line for item in error.errors() for line in _lines_of(path, item)]
    if told:
        raise RulesError("\n".join(told))
    return rules


def configured(rules: str, seasons: str) -> Rules:
    """Read what the settings ``rules`` and ``seasons`` name; empty: the shipped ones. Raises RulesError."""
    if not rules:
        return load(seasons=seasons)
    return load(Path(rules), seasons or table.SHIPPED)  # the table that every other service goes by


def _read(path: Path) -> object:
    try:
        found: object = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RulesError(f"cannot read {path}: {error.strerror}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # no such day, nested too deep
        raise RulesError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    return found


def _names(entries: object) -> set[str]:
    """The names of a list's entries, whatever else is wrong with them."""
    found = entries if isinstance(entries, (list, tuple)) else ()
    return {str(entry.get("name")) for entry in found if isinstance(entry, dict)}


def _of_known_seasons(challenges: list[dict[str, Any]], seasons: set[str]) -> list[dict[str, Any]]:
    """The shipped challenges without those of shipped seasons that a table of one's own does not have."""
    return [each for each in challenges if each.get("season") is None or each["season"] in seasons]


def _problems(challenges: object, seasons: set[str]) -> list[str]:
    """What is wrong with challenges beside each other, and with the seasons that they name."""
    found = challenges if isinstance(challenges, (list, tuple)) else ()
    entries = [entry for entry in found if isinstance(entry, dict)]
    names = [str(entry.get("name")) for entry in entries]
    twice = sorted({name for name in names if names.count(name) > 1})
    return [f"challenges: there are two challenges called {name}" for name in twice] + [
        f"challenges: the challenge {name} belongs to no season: {entry['season']}"
        for name, entry in zip(names, entries, strict=True)
        if entry.get("season") is not None and str(entry["season"]) not in seasons
    ]


def _lines_of(path: Path, item: Any) -> list[str]:
    place = [str(part) for part in item["loc"]]
    file = path.with_name("challenges.yaml") if place[:1] == ["challenges"] else path
    mistakes = item["msg"].removeprefix("Value error, ").splitlines()
    return [f"{file}: {escaped('.'.join(place)) or 'file'}: {escaped(mistake)}" for mistake in mistakes]
