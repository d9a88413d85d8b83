"""What a compiled plan reads of tickets: how each column, mask, bit and bucket is made of a table.

Columns are those of the Program's table, limits are indices of a plan's numbers (``Plan.number``), NONE where
there is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from matchmaker.plans.layout import NONE


@dataclass(frozen=True, slots=True)
class Value:
    """A column of a ticket's numbers.

    Attributes:
        kind: ``number``: a number column, of a party its aggregate. ``least``, ``largest``: of its players'
            strings, by number. ``holds``: 1 where its list has the string ``text``. ``players``, ``others``:
            how many of its players have the string ``text``, or another.
        column: of the table.
        text: a string that a rule names.
    """

    kind: Literal["number", "least", "largest", "holds", "players", "others"]
    column: int = NONE
    text: str = ""


@dataclass(frozen=True, slots=True)
class Strings:
    """A set of strings a ticket, by number.

    Attributes:
        kind: ``list``: a column of lists, ``shared``: what all of its players' lists have; ``text``: its
            players' strings. ``number``: the value of a number column, numbered too.
        column: of the table.
        among: only these strings; None: any.
    """

    kind: Literal["list", "shared", "text", "number"]
    column: int
    among: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """A longest round trip: how a party's are aggregated (of ``program.AGGREGATIONS``), and the limit."""

    aggregation: int
    most: int


@dataclass(frozen=True, slots=True)
class Eligibility:
    """A rule that each player keeps or breaks alone, who is in a team of ``teams`` (bits of kinds).

    Attributes:
        rule: its name.
        kind: ``number``: compares or is apart from ``reference``. ``text``: is, or is not (``operation``) one
            of ``texts``. ``list``: how many different of ``texts`` a list has.
        operation: of layout (LESS, …); NONE: distance.
        reference: the number compared with.
        first, second: largest and least distance or count.
    """

    rule: str
    teams: int
    kind: Literal["number", "text", "list"]
    column: int
    operation: int = NONE
    reference: int = NONE
    first: int = NONE
    second: int = NONE
    texts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Alike:
    """Part of a bucket: a column of numbers, or of strings, in which all players of a match are alike."""

    column: int
    text: bool
