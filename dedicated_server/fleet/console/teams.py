"""How teams are told apart: a colour, a shape and a letter each, so that nobody has to see the colour."""

from __future__ import annotations

import math
from typing import Final

from dedicated_server.fleet.console.text import shown

COLOURS: Final = 8  # .ld-team-0 … of console.css
LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
SHAPE_UNITS: Final = 9.0  # from the middle of a mark to its corners, of most marks


def _polygon(corners: int, turn: float, outer: float = SHAPE_UNITS, inner: float | None = None) -> str:
    """Return the path of a regular polygon of so many units; with ``inner`` units of a star."""
    radii = [outer] if inner is None else [outer, inner]
    count = corners * len(radii)
    points = []
    for at in range(count):
        angle, radius = turn + at * 2 * math.pi / count, radii[at % len(radii)]
        points.append(f"{radius * math.cos(angle):.1f} {radius * math.sin(angle):.1f}")
    return "M" + "L".join(points) + "Z"


def _circle() -> str:
    radius = SHAPE_UNITS - 1
    return f"M{-radius} 0a{radius} {radius} 0 1 0 {2 * radius} 0a{radius} {radius} 0 1 0 {-2 * radius} 0Z"


UP: Final = -math.pi / 2
SHAPES: Final = (
    _circle(),
    _polygon(4, math.pi / 4, 10.4),  # a square
    _polygon(3, UP, 10.0),
    _polygon(4, UP),  # a diamond
    _polygon(5, UP, 10.4, 4.4),  # a star
    _polygon(6, UP),
    _polygon(4, math.pi / 4, 10.4, 3.4),  # a saltire
    _polygon(3, -UP, 10.0),  # a triangle on its tip
)


def team_letters(team: int) -> str:
    """Return A, B, … Z, AA, AB, … for teams 0, 1, …"""
    letters = ""
    team += 1
    while team > 0:
        team, digit = divmod(team - 1, len(LETTERS))
        letters = LETTERS[digit] + letters
    return letters


def team_class(team: int) -> str:
    """Return the style of a team's colour."""
    return f"ld-team-{max(team, 0) % COLOURS}"


def team_shape(team: int, each_alone: bool = False) -> str:
    """Return the path of a team's mark around 0, 0.

    With as many teams as players all have the same: no mark would say who is with whom.
    """
    team = max(team, 0)
    # The second eight teams have the colours of the first with other shapes, and so on.
    return SHAPES[0 if each_alone else (team + team // COLOURS) % len(SHAPES)]


def team_mark(team: int, each_alone: bool = False) -> str:
    """Return a team's mark as a small drawing for a line of text."""
    return (
        f'<svg class="ld-mark {team_class(team)}" viewBox="-11 -11 22 22" aria-hidden="true">'
        f'<path d="{team_shape(team, each_alone)}"/></svg>'
    )


def team_tag(team: int, each_alone: bool = False) -> str:
    """Return a team's mark and letter for a line of text; with as many teams as players the mark alone."""
    if each_alone:
        return team_mark(team, each_alone=True)
    return f'{team_mark(team)}<b class="ld-letter">{shown(team_letters(team))}</b>'
