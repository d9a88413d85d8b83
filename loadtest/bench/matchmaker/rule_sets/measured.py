"""What a property expression measures in a match, as lists of lists, the way the guide's tables write it."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

from matchmaker.rules.flexmatch.expressions import Expression
from matchmaker.rules.flexmatch.ticket_file import FlexMatchTicket

TOLERANCE = 1e-9  # of a limit, and of 1: sums of other orders differ by 1e-12


def at_most(value: float, limit: float) -> bool:
    """Whether a number keeps a limit."""
    return value <= limit + TOLERANCE * (1.0 + abs(limit))


def same(value: float, other: float) -> bool:
    """Whether two numbers count as equal."""
    return at_most(value, other) and at_most(other, value)


@dataclass(slots=True)
class Seated:
    """Tickets by team: [K] of each copy, the copies' team names, and the region."""

    teams: list[list[FlexMatchTicket]]
    names: list[str]
    region: str | None


@dataclass(slots=True)
class Measure:
    """An expression over a seated match, read with one way of counting parties."""

    expression: Expression
    party: str
    seated: Seated

    def groups(self) -> list[list[FlexMatchTicket]]:
        """The tickets of each team copy that it names, in order."""
        seated = self.seated
        return [
            tickets
            for tickets, name in zip(seated.teams, seated.names, strict=True)
            if name in self.expression.teams
        ]

    def owned(self) -> Iterator[tuple[str | None, Any]]:
        """Its innermost values, each with the ticket that it belongs to; None where functions joined
        several.
        """
        if set(self.expression.calls) - {"flatten"}:
            for value in numbers_of(self):
                yield None, value
            return
        for ticket in chain.from_iterable(self.groups()):
            for value in self.of(ticket):
                for each in value if isinstance(value, tuple) else (value,):
                    yield ticket.ticket_id, each

    def of(self, ticket: FlexMatchTicket) -> list[Any]:
        """One value a player of a ticket: the party's aggregate of a number, else the player's own."""
        expression = self.expression
        if expression.player_id:
            return [player.player_id for player in ticket.players]
        if expression.attribute is None:
            return [True] * len(ticket.players)
        values = [player.attributes[expression.attribute] for player in ticket.players]
        if not isinstance(values[0], (int, float)) or len(values) == 1:
            return values
        numbers = [float(str(value)) for value in values]
        if self.party == "min":
            one = min(numbers)
        elif self.party == "max":
            one = max(numbers)
        else:
            one = sum(numbers) / len(numbers)
        return [one] * len(numbers)

    def together(self, ticket: FlexMatchTicket) -> list[Any]:
        """The strings of a ticket's players as the one list of a party; whatever else as it is."""
        values = self.of(ticket)
        if len(values) == 1 or not isinstance(values[0], tuple):
            return values
        sets = (set(value) for value in values)
        return [tuple(sorted((set.intersection if self.party == "intersection" else set.union)(*sets)))]

    def value(self) -> Any:
        """The result, nested as the expression nests it; numbers of empty lists are left out."""
        common = "set_intersection" in self.expression.calls
        of = self.together if common else self.of
        teams = [[value for ticket in group for value in of(ticket)] for group in self.groups()]
        grouped: Any = teams if self.expression.grouped else list(chain.from_iterable(teams))
        depth = self.expression.depth + len(self.expression.calls)  # each takes one level away
        for call in self.expression.calls:
            grouped = _call(call, grouped, depth)
            depth -= 1
        return grouped


def value_of(measure: Measure) -> Any:
    """The one value of an expression of depth 0, or None."""
    return measure.value()


def numbers_of(measure: Measure) -> list[Any]:
    """All innermost values."""
    return list(_leaves(measure.value()))


def groups_by_ticket(measure: Measure) -> list[list[set[str]]]:
    """The collections that an expression lists, in the groups in which it lists them: one a ticket where it
    lists players' values, else one a list of its result.
    """
    if set(measure.expression.calls) - {"flatten"}:
        return [[set(each)] for each in _lists(measure.value())]
    flat = not measure.expression.grouped or "flatten" in measure.expression.calls
    together = set.intersection if measure.party == "intersection" else set.union
    groups = [
        [
            together(*(set(v) if isinstance(v, (tuple, list)) else {v} for v in measure.of(ticket)))
            for ticket in tickets
        ]
        for tickets in measure.groups()
    ]
    return [list(chain.from_iterable(groups))] if flat else groups


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, (list, tuple)):
        for each in value:
            yield from _leaves(each)
    elif value is not None:
        yield value


def _lists(value: Any) -> Iterator[Any]:
    if isinstance(value, (set, frozenset)) or all(isinstance(each, str) for each in value):
        yield value
    else:
        for each in value:
            yield from _lists(each)


def _call(name: str, value: Any, depth: int) -> Any:
    """Apply a function to a value of so many levels of lists: flatten to the outermost two, all others to the
    innermost.
    """
    if name == "flatten":
        return list(chain.from_iterable(value))
    if depth > (2 if name == "set_intersection" else 1):
        return [_call(name, each, depth - 1) for each in value]
    if name == "set_intersection":
        return tuple(sorted(set.intersection(*map(set, value)))) if value else ()
    present = [each for each in value if each is not None]
    if name == "count":
        return float(len(present))
    if name == "sum":
        return float(sum(present))
    if not present:
        return None
    if name == "avg":
        return sum(present) / len(present)
    functions: dict[str, Callable[[list[float]], float]] = {
        "min": min,
        "max": max,
        "median": statistics.median,
        "stddev": statistics.pstdev,
    }
    return functions[name](present)
