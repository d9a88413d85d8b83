"""What events are worth: the part ``xp:`` of a file of rules, read by the schema.

A line names a kind of event, the players who get the points and conditions. ``match_played`` and ``win`` are
names of their own: both are of match_ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

from launchday.escapes import escaped
from rewards.events import event_kinds
from rewards.progression.tally import NO_CONDITIONS, Amounts, Tally

MAX_XP = 1_000_000  # of one rule; keeps the sum of any batch far inside a bigint
PLAYED = Tally("match_ended", "placements.player_id")
ALWAYS_SAID = {
    "kill": Tally("kill", "killer_id"),
    "match_played": PLAYED,
    "win": Tally(PLAYED.kind, PLAYED.to, where={"placement": 1}),
}
"""What every file says, if only by 0, and what it means by a number."""


GRANTS = Tally("xp_granted", "player_id", "xp")  # what somebody outside the rules gives: points as they say


@dataclass(frozen=True, slots=True)
class Award:
    """Points for those whom an event counts for.

    Attributes:
        name: what the file calls it.
        tally: for whom.
        points: for each.
    """

    name: str
    tally: Tally
    points: int


@dataclass(frozen=True)
class XpRules:
    """Experience points for what happens."""

    awards: tuple[Award, ...] = ()

    @classmethod
    def of(cls, **worth: Any) -> Self:
        """Make rules of what a file would say. Raises ValueError, with a line for each mistake."""
        rules, mistakes = cls.read(worth)
        if mistakes:
            raise ValueError("\n".join(mistakes))
        return rules

    @classmethod
    def read(cls, content: object) -> tuple[Self, list[str]]:
        """Read what a file says under ``xp:``; return the rules and a line for each mistake, placed in it.

        What a file calls something may hold anything; a mistake is a line that can be printed.
        """
        if not isinstance(content, Mapping):
            return cls(), ["it must hold what events are worth, as `kill: 100`"]
        mistakes = [f"{name}: say how many points, 0 for none" for name in ALWAYS_SAID if name not in content]
        awards: list[Award] = []
        for name, said in content.items():
            entries = said if isinstance(said, list) else [said]
            for number, entry in enumerate(entries):
                award, told = _award(str(name), entry)
                place = f"{name}.{number}" if isinstance(said, list) else str(name)
                mistakes += [f"{place}{line}" for line in told]
                awards += [award] if award is not None else []
        return cls(tuple(awards)), [escaped(line) for line in mistakes]

    def points(self, name: str) -> int:
        """Return the points that a line gives to each of its players, by its name in the file."""
        return sum(award.points for award in self.awards if award.name == name)

    @cached_property
    def by_kind(self) -> dict[str, tuple[tuple[Amounts, int], ...]]:
        """Kind of event → what counts for whom, and the points for it; grants are among them."""
        found: dict[str, tuple[tuple[Amounts, int], ...]] = {GRANTS.kind: ((GRANTS.compiled(), 1),)}
        for award in self.awards:
            if award.points:
                kind = award.tally.kind
                found[kind] = (*found.get(kind, ()), (award.tally.compiled(), award.points))
        return found


def _award(name: str, entry: object) -> tuple[Award | None, list[str]]:
    """Read one line; the mistakes begin with what stands between the line's name and them."""
    usual = ALWAYS_SAID.get(name, Tally(name))
    said: Mapping[Any, Any] = entry if isinstance(entry, Mapping) else {"points": entry}
    if wrong := list(_shape_mistakes(said)):
        unknown = [] if usual.kind in event_kinds() else usual.mistakes(name)
        return None, [*wrong, *map(_placed, unknown)]
    tally = replace(usual, to=said.get("to", usual.to), where={**usual.where, **said.get("where", {})})
    return Award(name, tally, said["points"]), [_placed(line) for line in tally.mistakes(name)]


def _shape_mistakes(entry: Mapping[Any, Any]) -> Iterator[str]:
    for alien in sorted({str(key) for key in entry} - {"to", "points", "where"}):
        yield f".{alien}: there are to, points and where"
    points = entry.get("points")
    if not isinstance(points, int) or isinstance(points, bool) or not 0 <= points <= MAX_XP:
        yield f".points: say how many, a whole number from 0 to {MAX_XP}"
    if not isinstance(entry.get("to", ""), str):
        yield ".to: say which field holds the player"
    where = entry.get("where", NO_CONDITIONS)
    if not isinstance(where, Mapping) or not all(
        isinstance(key, str) and isinstance(value, bool | int | float | str) for key, value in where.items()
    ):
        yield ".where: say fields and what they have to be, as {team: 1}"


def _placed(line: str) -> str:
    return f".{line}" if line.startswith(("to: ", "where.")) else f": {line}"
