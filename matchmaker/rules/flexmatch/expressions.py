"""Property expressions: ``avg(flatten(teams[red,blue].players.attributes[skill]))``.

A value is a number, a string, or lists of them in up to three levels: teams, players, and the strings of a
string list. ``flatten`` joins the two outer levels; every other function works on the innermost lists, so on
grouped players it gives one result a group.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

NUMBER, STRING, PLAYER = "number", "string", "player"
NUMERIC = ("min", "max", "avg", "median", "sum", "stddev")
FUNCTIONS = (*NUMERIC, "count", "flatten", "set_intersection")
MAX_CALLS = 8

_CALL = re.compile(r"\s*([a-z_]+)\s*\(\s*(.*?)\s*\)\s*", re.DOTALL)
_PATH = re.compile(
    r"\s*(?:teams?\[\s*(?P<teams>[^\]]+?)\s*\]\s*\.\s*)?players"
    r"(?:\s*\.\s*(?:(?P<id>playerId)|attributes\[\s*(?P<attribute>[^\]]+?)\s*\]))?\s*"
)


class ExpressionError(ValueError):
    """Raised when text is no property expression of this rule set; says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A property expression.

    Attributes:
        text: as written.
        teams: names of the teams (before copies are counted) whose players it reads.
        grouped: whether players come grouped by team.
        attribute: the attribute read; None: the players themselves; ``playerId``: their ids.
        calls: functions, in the order in which they are applied.
        depth: levels of lists of the result; 0: a single value.
        element: what the innermost values are: ``number``, ``string`` or ``player``.
    """

    text: str
    teams: tuple[str, ...]
    grouped: bool
    attribute: str | None
    player_id: bool
    calls: tuple[str, ...]
    depth: int
    element: Literal["number", "string", "player"]

    @property
    def plain(self) -> bool:
        """Whether it only lists values, so that a larger match lists the same and more."""
        return set(self.calls) <= {"flatten"}


def parse_expression(text: str, teams: Mapping[str, int], attributes: Mapping[str, str]) -> Expression:
    """Read an expression.

    Args:
        text: as FlexMatch writes it.
        teams: quantity by name.
        attributes: type by name.

    Raises:
        ExpressionError: it is none.
    """
    calls: list[str] = []
    inner = text
    while call := _CALL.fullmatch(inner):
        if call[1] not in FUNCTIONS:
            raise ExpressionError(f"there is no function {call[1]}; functions: {', '.join(FUNCTIONS)}")
        calls.append(call[1])
        inner = call[2]
    if len(calls) > MAX_CALLS:
        raise ExpressionError(f"has more than {MAX_CALLS} functions")
    path = _PATH.fullmatch(inner)
    if path is None:
        raise ExpressionError(
            f"cannot read {inner!r}: expected teams[NAMES or *].players, then .attributes[NAME] or .playerId"
        )
    names, grouped = _teams(path["teams"], teams)
    depth, element = 1 + grouped, PLAYER
    if path["id"]:
        element = STRING
    elif name := path["attribute"]:
        kind = attributes.get(name)
        if kind is None:
            raise ExpressionError(f"there is no player attribute {name}; playerAttributes must declare it")
        if kind == "string_number_map":
            raise ExpressionError(f"{name} is a string_number_map, which only sort rules can read")
        depth += kind == "string_list"
        element = NUMBER if kind == "number" else STRING
    calls.reverse()
    for name in calls:
        depth, element = _apply(name, depth, element)
    if element == PLAYER:
        raise ExpressionError("players are no value: count them, or read their attributes[NAME] or playerId")
    return Expression(
        text,
        names,
        grouped,
        path["attribute"],
        bool(path["id"]),
        tuple(calls),
        depth,
        "number" if element == NUMBER else "string",
    )


def _teams(text: str | None, teams: Mapping[str, int]) -> tuple[tuple[str, ...], bool]:
    if text is None:
        return tuple(teams), False
    if text == "*":
        return tuple(teams), True
    names: Sequence[str] = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in teams:
            raise ExpressionError(f"there is no team {name}; teams: {', '.join(teams)}")
    return tuple(names), len(names) > 1 or teams[names[0]] > 1


def _apply(name: str, depth: int, element: str) -> tuple[int, str]:
    if name == "flatten":
        if depth < 2:
            raise ExpressionError("flatten needs lists in a list: group players by teams[*]")
        return depth - 1, element
    if name == "set_intersection":
        if depth < 2 or element != STRING:
            raise ExpressionError("set_intersection needs lists of strings in a list")
        return depth - 1, element
    if depth < 1:
        raise ExpressionError(f"{name} needs a list, and has a single value")
    if name != "count" and element != NUMBER:
        raise ExpressionError(f"{name} needs numbers")
    return depth - 1, NUMBER
