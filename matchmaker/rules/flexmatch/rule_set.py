"""A rule set that has been read and found right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from matchmaker.rules.flexmatch.expressions import Expression, copy_name

MAX_EXHAUSTIVE_PLAYERS = 40
MAX_PLAYERS = 200
MAX_TICKET_PLAYERS = 10

Default = float | str | tuple[str, ...] | dict[str, float] | None
PartyAggregation = Literal["min", "max", "avg", "union", "intersection"]


@dataclass(frozen=True, slots=True)
class Attribute:
    """A declared player attribute; ``default`` None: a ticket must bring it."""

    name: str
    type: str
    default: Default


@dataclass(frozen=True, slots=True)
class Team:
    """A team, or ``quantity`` copies of it."""

    name: str
    min_players: int
    max_players: int
    quantity: int

    @property
    def copies(self) -> tuple[str, ...]:
        """The names of its copies: ``name``, or ``name_1`` to ``name_N``."""
        if self.quantity == 1:
            return (self.name,)
        return tuple(copy_name(self.name, number) for number in range(self.quantity))


@dataclass(frozen=True, slots=True)
class Algorithm:
    """How matches are searched for; names as in FlexMatch."""

    strategy: str = "exhaustiveSearch"
    batching_preference: str | None = None
    sort_by_attributes: tuple[str, ...] = ()
    balanced_attribute: str | None = None
    expansion_age_selection: str = "newest"
    backfill_priority: str = "normal"


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule; each type uses some of the fields.

    Attributes:
        name: unique.
        type: FlexMatch's name of it.
        measurements: what is measured (distance, comparison, collection).
        reference: what it is compared with: an expression, or literal strings; a literal number is the
            parameter ``referenceValue``.
        operation: of a comparison or a collection.
        limits: numbers that an expansion may change, by FlexMatch's names (maxDistance, minCount, …).
        party_aggregation: how a party counts.
        attribute: of batchDistance and the sorts.
        descending, map_key: of the sorts.
        distance_reference: of latency: min or avg.
        statement: of compound, in postfix order: names of rules, and operators as (name, number of
            arguments).
    """

    name: str
    type: str
    measurements: tuple[Expression, ...] = ()
    reference: Expression | tuple[str, ...] | None = None
    operation: str = ""
    limits: tuple[tuple[str, float], ...] = ()
    party_aggregation: PartyAggregation = "avg"
    attribute: str = ""
    descending: bool = False
    map_key: str = ""
    distance_reference: str = "avg"
    statement: tuple[str | tuple[str, int], ...] = ()

    def limit(self, name: str) -> float | None:
        """One of the limits, or None."""
        return dict(self.limits).get(name)


@dataclass(frozen=True, slots=True)
class Expansion:
    """``field`` of a rule, a team or one copy of a team changes as tickets wait.

    ``steps`` are (seconds, value), ascending.
    """

    kind: Literal["rules", "teams"]
    name: str
    field: str
    steps: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class RuleSet:
    """All that makes a match."""

    name: str
    attributes: tuple[Attribute, ...]
    teams: tuple[Team, ...]
    algorithm: Algorithm
    rules: tuple[Rule, ...]
    expansions: tuple[Expansion, ...]

    @property
    def max_players(self) -> int:
        """Players of a full match, expansions apart."""
        return sum(team.max_players * team.quantity for team in self.teams)

    @property
    def largest_team(self) -> int:
        """The most players that a team can ever have: a larger party never matches."""
        grown = [
            int(value)
            for expansion in self.expansions
            if expansion.kind == "teams" and expansion.field == "maxPlayers"
            for _, value in expansion.steps
        ]
        return max([team.max_players for team in self.teams] + grown)


def most_players(teams: Sequence[Team], expansions: Sequence[Expansion]) -> int:
    """Players of the largest match that there can ever be, with every team as large as it grows."""
    grown = {
        expansion.name: int(max(value for _, value in expansion.steps))
        for expansion in expansions
        if expansion.kind == "teams" and expansion.field == "maxPlayers" and expansion.steps
    }
    return sum(
        max(team.max_players, grown.get(team.name, 0), grown.get(copy, 0))
        for team in teams
        for copy in team.copies
    )
