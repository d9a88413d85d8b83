"""The table of seasons: one file for passes, challenges and leaderboards, so that all agree on every moment.

A season is what lies between two moments, to the millisecond. The file names them by dates or times, with an
offset or in a time zone; ``seasons.yaml`` beside this says how.
"""

from __future__ import annotations

import datetime
import functools
import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from launchday import local_time
from launchday.errors import LaunchdayError
from launchday.gives import Gives, with_reward

SHIPPED = Path(__file__).with_name("seasons.yaml")
MAX_SEASON_XP = 1_000_000_000
WHEN = "must be a date or a time, such as 2026-11-01 or 2026-11-01T10:00:00-08:00"

_TIME = re.compile(
    r"(\d{4})-(\d\d?)-(\d\d?)"
    r"(?:(?:[Tt]|\s+)(\d\d?)(?::(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?)?\s*([Zz]|[+-]\d\d?(?::?\d\d)?)?)?"
)
_OFFSET = re.compile(r"([+-])(\d\d?)(?::?(\d\d))?")


class SeasonsError(LaunchdayError):
    """Raised when the table of seasons cannot be used. The text has a line for each mistake, with place."""


class Mistake(NamedTuple):
    """What is wrong, and where: such as ``("seasons", 0, "ends")``."""

    place: tuple[str | int, ...]
    what: str


class Tier(BaseModel):
    """One step of a season pass."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    xp: int = Field(ge=1, le=MAX_SEASON_XP, description="Points of the season at which it is reached.")
    gives: Gives = Field(min_length=1, description="What it gives, once; `reward: ITEM` is the older form.")
    name: str = Field("", pattern=r"^[a-z0-9-]{0,64}$", description="What was given is remembered under it.")

    _read_reward = model_validator(mode="before")(with_reward)

    @property
    def key(self) -> str:
        """The name under which it is remembered that it was given: its own or, without one, its points."""
        return self.name or str(self.xp)


class Season(BaseModel):
    """One season and its pass."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9-]{1,64}$", description="Progress is stored under it.")
    title: str = Field(min_length=1, description="What players read.")
    zone: str = Field("UTC", description="IANA name; of dates and times without an offset.")
    starts: datetime.datetime = Field(description="A date, or a time, with an offset or of the zone.")
    ends: datetime.datetime = Field(description="The first moment after it.")
    tiers: tuple[Tier, ...] = Field(min_length=1)

    @field_validator("zone")
    @classmethod
    def _is_known(cls, zone: str) -> str:
        local_time.zone(zone)
        return zone

    @field_validator("starts", "ends", mode="before")
    @classmethod
    def _is_a_moment(cls, value: object, info: ValidationInfo) -> datetime.datetime:
        return moment(value, local_time.zone(info.data.get("zone", "UTC")))

    @field_validator("ends")
    @classmethod
    def _is_after_the_start(cls, ends: datetime.datetime, info: ValidationInfo) -> datetime.datetime:
        if ends <= info.data.get("starts", datetime.datetime.min.replace(tzinfo=datetime.UTC)):
            raise ValueError("a season must end after it starts")
        return ends

    @field_validator("tiers")
    @classmethod
    def _ascend(cls, tiers: tuple[Tier, ...]) -> tuple[Tier, ...]:
        if any(later.xp <= earlier.xp for earlier, later in pairwise(tiers)):
            raise ValueError("each tier must need more points than the one before")
        if len({tier.key for tier in tiers}) < len(tiers):
            raise ValueError("no two tiers may have one name; a tier without one is called by its points")
        return tiers

    @property
    def window_s(self) -> tuple[float, float]:
        """Unix seconds of its start, and of its end, which no longer counts."""
        return self.starts.timestamp(), self.ends.timestamp()

    @property
    def thresholds(self) -> list[int]:
        """Points at which each tier is reached."""
        return [tier.xp for tier in self.tiers]


class Seasons:
    """A table that makes sense.

    Args:
        seasons: none overlaps another.
    """

    def __init__(self, seasons: Iterable[Season]) -> None:
        self.all: Sequence[Season] = sorted(seasons, key=lambda season: season.starts)
        self._windows = [(*season.window_s, season.name) for season in self.all]

    def at(self, at_s: float) -> str | None:
        """Return the season in which a moment (Unix seconds) lies, None between two."""
        for starts_s, ends_s, name in self._windows:
            if starts_s <= at_s < ends_s:
                return name
        return None

    def newest(self, at_s: float) -> str | None:
        """Return the season of a moment (Unix seconds) or, between two, the one that was over last.

        None before the first.
        """
        begun = [name for starts_s, _, name in self._windows if starts_s <= at_s]
        return begun[-1] if begun else None

    def __contains__(self, name: str) -> bool:
        return any(season.name == name for season in self.all)


def moment(value: object, zone: datetime.tzinfo) -> datetime.datetime:
    """Return the moment, in UTC, that a date or a time of a YAML file names. Raises ValueError.

    What has an offset is that moment; else it is of ``zone``. A date is its midnight, and 24:00 the next one.
    Of an hour that a clock shows twice it is the first; one that it skips is counted from before the gap.
    """
    if isinstance(value, str):
        value = _read_time(value)
    if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
        value = datetime.datetime.combine(value, datetime.time())
    if not isinstance(value, datetime.datetime):
        raise ValueError(WHEN)
    if value.microsecond % 1000:
        raise ValueError("must be to the millisecond at most")
    try:
        return (value if value.tzinfo else value.replace(tzinfo=zone)).astimezone(datetime.UTC)
    except OverflowError:
        raise ValueError(WHEN) from None


def _read_time(text: str) -> datetime.datetime:
    found = _TIME.fullmatch(text.strip())
    if found is None:
        raise ValueError(WHEN)
    year, month, day, hour, minute, second = (int(part or 0) for part in found.groups()[:6])
    fraction, offset = found[7] or "", found[8]
    if fraction[3:].strip("0"):
        raise ValueError("must be to the millisecond at most")
    try:
        whole = datetime.datetime.combine(datetime.date(year, month, day), datetime.time())
        if (hour, minute, second, fraction.strip("0")) == (24, 0, 0, ""):
            whole, hour = whole + datetime.timedelta(days=1), 0
        made = whole.replace(
            hour=hour, minute=minute, second=second, microsecond=int(fraction[:3].ljust(3, "0")) * 1000
        )
        return made.replace(tzinfo=_offset(offset)) if offset else made
    except (ValueError, OverflowError) as error:
        raise ValueError(f"there is no such time: {error}") from None


def _offset(text: str) -> datetime.tzinfo:
    if text in "Zz":
        return datetime.UTC
    found = _OFFSET.fullmatch(text)
    assert found is not None
    ahead = datetime.timedelta(hours=int(found[2]), minutes=int(found[3] or 0))
    if ahead >= datetime.timedelta(days=1):
        raise ValueError("an offset is less than a day")
    return datetime.timezone(-ahead if found[1] == "-" else ahead)


def check(entries: object) -> tuple[list[Season], list[Mistake]]:
    """Return the seasons that make sense, and all mistakes of a table's entries, each with its place."""
    if not isinstance(entries, (list, tuple)):
        return [], [Mistake(("seasons",), "must be a list of seasons")]
    found: list[tuple[int, Season]] = []
    mistakes: list[Mistake] = []
    for number, entry in enumerate(entries):
        try:
            found.append((number, Season.model_validate(entry)))
        except ValidationError as error:
            mistakes += [
                Mistake(("seasons", number, *item["loc"]), _worded(item["msg"])) for item in error.errors()
            ]
    names: set[str] = set()
    for number, season in found:
        if season.name in names:
            mistakes.append(Mistake(("seasons", number), f"there are two seasons called {season.name}"))
        names.add(season.name)
    in_order = sorted(found, key=lambda each: (each[1].starts, each[0]))
    for (_, earlier), (number, later) in pairwise(in_order):
        if later.starts < earlier.ends and later.name != earlier.name:
            what = f"the seasons {earlier.name} and {later.name} overlap"
            mistakes.append(Mistake(("seasons", number), what))
    return [season for _, season in found], mistakes


class _TimesAsWritten(yaml.SafeLoader):
    """YAML whose times stay text: PyYAML ends at the first that there is not, without its place."""


_TimesAsWritten.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read(file: Path) -> object:
    """Return the entries of a table's file, for `check`. Raises SeasonsError where it is no table at all."""
    try:
        content: Any = yaml.load(file.read_text(encoding="utf-8"), Loader=_TimesAsWritten)
    except OSError as error:
        raise SeasonsError(f"cannot read {file}: {error.strerror}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # no such day, nested too deep
        raise SeasonsError(f"{file} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict) or set(content) != {"seasons"}:
        raise SeasonsError(f"{file}: it must hold `seasons:` and nothing else")
    return content["seasons"] or []


def load(path: str | Path = "") -> Seasons:
    """Read a table; empty: the shipped one. Raises SeasonsError, which tells all mistakes."""
    file = Path(path or SHIPPED)
    seasons, mistakes = check(read(file))
    if mistakes:
        raise SeasonsError("\n".join(f"{file}: {placed(mistake)}" for mistake in mistakes))
    return Seasons(seasons)


@functools.cache
def shipped() -> Seasons:
    """Return the shipped table."""
    return load()


def placed(mistake: Mistake) -> str:
    """Return a mistake as text: ``seasons.0.ends: …``."""
    return f"{'.'.join(map(str, mistake.place))}: {mistake.what}"


def _worded(message: str) -> str:
    return message.removeprefix("Value error, ")
