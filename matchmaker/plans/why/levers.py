"""The numbers of a rule set that may be changed, and what it would have taken."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matchmaker.rules.flexmatch.program import NONE, Program
from matchmaker.rules.flexmatch.rule_set import Rule, RuleSet

MOST_DECIMALS = 6


@dataclass(frozen=True, slots=True)
class Lever:
    """A number of a rule set that may be changed.

    Attributes:
        kind, name, field: ``rules``, the rule's name and ``maxDistance``; or ``teams``, … and ``minPlayers``.
        number: the Program's; of a team that of its first copy, ``numbers`` of all of them.
        directions: +1 where more is laxer, -1 where less.
        whole: whether it counts something.
    """

    kind: str
    name: str
    field: str
    numbers: tuple[int, ...]
    directions: tuple[float, ...]
    whole: bool

    @property
    def number(self) -> int:
        """The first of its numbers."""
        return self.numbers[0]

    @property
    def target(self) -> str:
        """As an expansion names it: ``rules[NAME].maxDistance``."""
        return f"{self.kind}[{self.name}].{self.field}"


@dataclass(frozen=True, slots=True)
class Lack:
    """What a rule would have needed to hold.

    Attributes:
        lever: the number; value: what it would have had to be; allowed: what it is.
        apart: how far that is, relative.
    """

    lever: Lever
    value: float
    allowed: float
    apart: float


def levers_of(rules: RuleSet, program: Program) -> list[Lever]:
    """Every number of a rule set that could be laxer; rules in the order of the program's."""
    ordered = [rule for rule in rules.rules if not rule.type.endswith("Sort")]
    levers = []
    for index, rule in enumerate(ordered):
        row = program.rules[index]
        first = {"latency": "maxLatency", "collection": "maxCount"}.get(rule.type, "maxDistance")
        second = {"latency": "maxDistance", "distance": "minDistance", "collection": "minCount"}
        whole = rule.type == "collection"
        for field, number in ((first, row["first"]), (second.get(rule.type, ""), row["second"])):
            if number != NONE:
                direction = -1.0 if field.startswith("min") else 1.0
                levers.append(Lever("rules", rule.name, field, (int(number),), (direction,), whole))
        if rule.limit("referenceValue") is not None:
            directions: tuple[float, ...] = {"<": (1.0,), "<=": (1.0,), ">": (-1.0,), ">=": (-1.0,)}.get(
                rule.operation, ()
            )
            if rule.type == "distance":
                directions = (1.0, -1.0)
            if directions:
                number = int(row["reference"])
                levers.append(Lever("rules", rule.name, "referenceValue", (number,), directions, False))
    copy = 0
    for team in rules.teams:
        rows = program.teams[copy : copy + team.quantity]
        copy += team.quantity
        for field, column, direction in (("minPlayers", "fewest", -1.0), ("maxPlayers", "most", 1.0)):
            numbers = tuple(int(row[column]) for row in rows)
            levers.append(Lever("teams", team.name, field, numbers, (direction,), True))
    return levers


def by_rule(ordered: Sequence[Rule], levers: Sequence[Lever]) -> list[list[tuple[Lever, float]]]:
    """Levers of each rule; of a compound those of the rules in it, either way where it may deny them."""
    by_name: dict[str, list[tuple[Lever, float]]] = {}
    for lever in levers:
        if lever.kind == "rules":
            by_name.setdefault(lever.name, []).extend((lever, way) for way in lever.directions)
    found = []
    for rule in ordered:
        inside = [item for item in rule.statement if isinstance(item, str)]
        denies = any(item[0] in ("not", "xor") for item in rule.statement if not isinstance(item, str))
        own = [pair for name in inside or [rule.name] for pair in by_name.get(name, [])]
        found.append(own + [(lever, -way) for lever, way in own] if denies else own)
    return found


def neat(value: float, direction: float, whole: bool) -> float:
    """A limit as an author writes it: whole, or of six decimals, on its laxer side."""
    if not math.isfinite(value):
        return math.nan
    digits = 0 if whole else max(0, MOST_DECIMALS - max(0, math.floor(math.log10(max(1.0, abs(value))))))
    scaled = value * 10**digits * direction
    # 0.02 of the last digit: far above the noise of the search, far below what is shown.
    return float(direction * math.ceil(scaled - 0.02) / 10**digits + 0.0)
