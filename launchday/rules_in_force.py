"""The rules of progress that are in force, as rewards publishes them in the store for those who show them.

Rewards owns the rules and says what it goes by, so that nobody shows others: not another machine's file, nor
one that has been written but not read yet. A reader passes over what a newer release adds.
"""

from __future__ import annotations

import datetime
from typing import Literal

import msgspec

from launchday import local_time
from launchday.gives import Give
from launchday.seasons import Season

Per = Literal["match", "day", "season", "ever"]

NAME = "progress"  # of its row in the table rules_in_force


class Gift(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that is given: pieces of an item, or an amount of a currency."""

    item: str | None = None
    quantity: int | None = None
    currency: str | None = None
    amount: int | None = None

    @classmethod
    def of(cls, give: Give) -> Gift:
        """What a file of rules gives."""
        if give.item is not None:
            return cls(item=give.item, quantity=give.quantity)
        return cls(currency=give.currency, amount=give.amount)


class ShownTier(msgspec.Struct, frozen=True):
    """A tier of a pass; ``name`` is what it is given under."""

    name: str
    xp: int
    gives: tuple[Gift, ...]


class ShownSeason(msgspec.Struct, frozen=True):
    """A season and its pass. Times are Unix seconds; ``ends`` no longer counts."""

    name: str
    title: str
    starts: float
    ends: float
    tiers: tuple[ShownTier, ...]

    @classmethod
    def of(cls, season: Season) -> ShownSeason:
        """What a table of seasons has."""
        tiers = (ShownTier(tier.key, tier.xp, tuple(map(Gift.of, tier.gives))) for tier in season.tiers)
        return cls(season.name, season.title, *season.window_s, tuple(tiers))


class ShownChallenge(msgspec.Struct, frozen=True):
    """A challenge. ``per``: match, day, season or ever; ``zone``: whose days, by IANA name."""

    name: str
    title: str
    count: int
    per: Per
    season: str | None
    zone: str
    xp: int
    gives: tuple[Gift, ...]

    def __post_init__(self) -> None:
        local_time.zone(self.zone)  # raises ValueError: another machine may know more of them

    def period(self, now_s: float) -> str | None:
        """The period of a moment, as progress is kept under it; None: that of the player's match."""
        if self.per == "match":
            return None
        if self.per == "day":
            return self._local(now_s).strftime("%Y-%m-%d")
        return self.season or ""

    def day_ends(self, now_s: float) -> float:
        """When the day of a moment ends (Unix seconds): the next midnight of its zone."""
        tomorrow = self._local(now_s).date() + datetime.timedelta(days=1)
        midnight = datetime.datetime.combine(tomorrow, datetime.time(), local_time.zone(self.zone))
        return midnight.timestamp()

    def _local(self, now_s: float) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(now_s, local_time.zone(self.zone))


class RulesInForce(msgspec.Struct, frozen=True):
    """The rules of progress.

    Attributes:
        thresholds: points at which each level begins, the first at 0.
        seasons: in the order of time.
        challenges: in the order of the file.
    """

    thresholds: tuple[int, ...]
    seasons: tuple[ShownSeason, ...]
    challenges: tuple[ShownChallenge, ...]

    def as_text(self) -> str:
        """The rules as JSON, always the same text for the same rules."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def read(cls, text: str) -> RulesInForce:
        """Read `as_text` of this release or another. Raises msgspec.DecodeError where it is none."""
        return msgspec.json.decode(text, type=cls)

    def season_at(self, now_s: float) -> ShownSeason | None:
        """The season of a moment or, between two, the one that was over last; None before the first."""
        begun = [season for season in self.seasons if season.starts <= now_s]
        return begun[-1] if begun else None
