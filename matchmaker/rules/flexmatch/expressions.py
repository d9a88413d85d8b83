"""Property expressions: ``avg(flatten(teams[red,blue].players.attributes[skill]))``.

A value is a number, a string, or lists of them in up to three levels: teams, players, and the strings of a
string list. ``flatten`` joins the two outer levels; every other function works on the innermost lists, so on
grouped players it gives one result a group.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

NUMBER, STRING, PLAYER = "number", "string", "player"
NUMERIC = ("min", "max", "avg", "median", "sum", "stddev")
FUNCTIONS = (*NUMERIC, "count", "flatten", "set_intersection")
MAX_CALLS = 8
MAX_CHARS = 2_000

_CALL = re.compile(r"\s*([A-Za-z_]\w*)\s*\(")
_PATH = re.compile(
    r"\s*(?:teams?\s*\[(?P<teams>.*?)\]\s*\.\s*)?players"
    r"(?:\s*\.\s*(?P<dotted>(?i:playerid))"
    r"|\s*\[\s*(?P<bracketed>(?i:playerid))\s*\]"
    r"|\s*\.\s*attributes\s*\[(?P<attribute>.*)\])?\s*",
    re.DOTALL,
)
# What a text has that was meant as an expression. "4 players" and "for 4 players. Good luck" are none.
_MEANT = re.compile(
    r"\bteams?\s*\[|\bplayers?\s*\[|\bplayers?\s*\.(?:\w|\s*\w+\s*\[)|\battributes\s*\["
    rf"|^\s*(?:{'|'.join(FUNCTIONS)})\s*\(.*\b(?:players?|teams?|attributes)\b",
    re.DOTALL | re.IGNORECASE,
)


class ExpressionError(ValueError):
    """Raised when text is no property expression of this rule set; says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A property expression.

    Attributes:
        text: as written.
        teams: names of the teams whose players it reads: of a team, which stands for all of its copies, or of
            one copy.
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
    if len(text) > MAX_CHARS:
        raise ExpressionError(f"has more than {MAX_CHARS} characters")
    calls: list[str] = []
    inner = text
    while call := _CALL.match(inner):
        name, end = call[1], inner.rstrip()
        if name not in FUNCTIONS:
            raise ExpressionError(f"there is no function {name}; functions: {', '.join(FUNCTIONS)}")
        if not end.endswith(")"):
            raise ExpressionError(f"the parenthesis after {name} is not closed at the end")
        calls.append(name)
        if len(calls) > MAX_CALLS:
            raise ExpressionError(f"has more than {MAX_CALLS} functions")
        inner = end[call.end() : -1]
    path = _PATH.fullmatch(inner)
    if path is None:
        raise ExpressionError(
            f"cannot read {_short(inner)}: expected teams[NAMES or *].players, then .attributes[NAME] or "
            "[playerId]"
        )
    names, grouped = _teams(path["teams"], teams)
    depth, element = 1 + grouped, PLAYER
    attribute = path["attribute"]
    player_id = bool(path["dotted"] or path["bracketed"])
    if player_id:
        element = STRING
    elif attribute is not None:
        name = attribute if attribute in attributes else attribute.strip()
        attribute, kind = name, attributes.get(name)
        if kind is None:
            raise ExpressionError(
                f"there is no player attribute {_short(name)}; playerAttributes must declare it"
            )
        if kind == "string_number_map":
            raise ExpressionError(f"{_short(name)} is a string_number_map, which only sort rules can read")
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
        attribute,
        player_id,
        tuple(calls),
        depth,
        "number" if element == NUMBER else "string",
    )


def meant_as_expression(text: str) -> bool:
    """Whether a text is an expression, or was meant to be one: if it cannot be read it is a mistake, and no
    literal.
    """
    return _MEANT.search(text) is not None


def named_teams(text: str, quantities: Mapping[str, int]) -> tuple[str, ...]:
    """The teams that stand between brackets: ``red``, ``red, blue``, ``red_2`` (one copy of a team) or ``*``.

    Names may have any characters, commas included: what is a name as a whole is one name. Blanks around a
    name count only where the name has them.

    Args:
        text: what stands between the brackets.
        quantities: quantity by name of team.

    Raises:
        ExpressionError: there is no such team.
    """
    if text.strip() == "*":
        return tuple(quantities)
    whole = _known_team(text, quantities)
    if whole is not None:
        return (whole,)
    names = []
    for part in text.split(","):
        name = _known_team(part, quantities)
        if name is None:
            raise ExpressionError(
                f"there is no team {_short(part.strip())}; teams: {', '.join(map(_short, quantities))}"
            )
        names.append(name)
    return tuple(dict.fromkeys(names))


def copy_name(team: str, number: int) -> str:
    """The name of a copy of a team, counted from 0."""
    return f"{team}_{number + 1}"


def _known_team(text: str, quantities: Mapping[str, int]) -> str | None:
    for name in (text, text.strip()):
        if name in quantities:
            return name
        team, _, number = name.rpartition("_")
        if number.isdecimal() and number.isascii() and quantities.get(team, 1) > 1:
            at = int(number[:4]) - 1
            if 0 <= at < quantities[team] and copy_name(team, at) == name:
                return name
    return next((name for name in quantities if name.strip() == text.strip()), None)


def _teams(text: str | None, teams: Mapping[str, int]) -> tuple[tuple[str, ...], bool]:
    if text is None:
        return tuple(teams), False
    names = named_teams(text, teams)
    return names, text.strip() == "*" or len(names) > 1 or teams.get(names[0], 1) > 1


def _short(text: str) -> str:
    """A piece of the author's text as a message shows it: in quotes, unless it is one plain word."""
    if re.fullmatch(r"[\w.-]{1,60}", text):
        return text
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


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
