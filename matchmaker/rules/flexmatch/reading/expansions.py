"""Reads the expansions of a rule set: what widens while tickets wait.

A target may name several teams or rules, ``teams[Red, Yellow].minPlayers``: each becomes an expansion of its
own, with the same steps.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from matchmaker.rules.flexmatch.document import Value
from matchmaker.rules.flexmatch.expressions import ExpressionError, named_teams
from matchmaker.rules.flexmatch.rule_set import MAX_PLAYERS, Expansion, Rule, Team

EXPANDABLE = {
    "distance": ("maxDistance", "minDistance", "referenceValue"),
    "comparison": ("referenceValue",),
    "collection": ("minCount", "maxCount"),
    "latency": ("maxLatency", "maxDistance"),
    "batchDistance": ("maxDistance",),
}
TEAM_FIELDS = ("minPlayers", "maxPlayers")
WHOLE = (*TEAM_FIELDS, "minCount", "maxCount")  # fields that hold counts

_TARGET = re.compile(r"\s*(rules|teams)\s*\[(.*)\]\s*\.\s*(\w+)\s*", re.DOTALL)

Kind = Literal["rules", "teams"]


def read_expansions(
    array: Value | None, teams: Sequence[Team], rules: Sequence[Rule]
) -> tuple[Expansion, ...]:
    """Read all expansions, noting mistakes."""
    found: list[Expansion] = []
    copies = {team.name: team.copies for team in teams}
    expanded: set[tuple[str, str, str]] = set()
    for item in array.items() if array else ():
        if not item.as_object(("target", "steps"), ("target", "steps")):
            continue
        target = item.child("target")
        text = target.as_text()
        place = _TARGET.fullmatch(text) if text else None
        if text and place is None:
            target.add_mistake("must be like rules[NAME].maxDistance or teams[NAME].minPlayers")
        field = place[3] if place else ""
        steps = _steps(item.child("steps"), field in WHOLE, MAX_PLAYERS if field in TEAM_FIELDS else None)
        if place is None:
            continue
        kind: Kind = "teams" if place[1] == "teams" else "rules"
        for name in _named(target, kind, place[2], field, teams, rules):
            # Of a copy's own expansion and that of its team it would be a guess which counts.
            places = {
                (kind, copy, field) for copy in (copies.get(name) if kind == "teams" else None) or (name,)
            }
            if places & expanded:
                target.add_mistake("is expanded twice")
            expanded |= places
            found.append(Expansion(kind, name, field, steps))
    return tuple(found)


def _named(
    target: Value, kind: Kind, text: str, field: str, teams: Sequence[Team], rules: Sequence[Rule]
) -> tuple[str, ...]:
    """The teams or rules that a target names; none, and a mistake, where one of them cannot expand so."""
    if kind == "teams":
        if field not in TEAM_FIELDS:
            target.add_mistake(f"{field} of a team cannot expand")
            return ()
        try:
            return named_teams(text, {team.name: team.quantity for team in teams})
        except ExpressionError as error:
            target.add_mistake(str(error))
            return ()
    named = {rule.name: rule for rule in rules}
    names = [text] if text in named else [part if part in named else part.strip() for part in text.split(",")]
    for name in names:
        reason = _unexpandable(named.get(name), name, field)
        if reason is not None:
            target.add_mistake(reason)
            return ()
    return tuple(dict.fromkeys(names))


def _unexpandable(rule: Rule | None, name: str, field: str) -> str | None:
    if rule is None:
        return f"there is no rule {name}"
    if field not in EXPANDABLE.get(rule.type, ()):
        return f"{field} of a {rule.type} rule cannot expand"
    if rule.limit(field) is None:
        return f"the rule {name} has no number {field} to expand from"
    return None


def _steps(array: Value, whole: bool, at_most: int | None) -> tuple[tuple[float, float], ...]:
    steps: list[tuple[float, float]] = []
    if array.raw == []:
        array.add_mistake("needs a step")
    for item in array.items():
        if not item.as_object(("waitTimeSeconds", "value"), ("waitTimeSeconds", "value")):
            continue
        wait = item.child("waitTimeSeconds").as_number(0)
        value = item.child("value")
        number = value.as_count(0, at_most) if whole else value.as_number()
        if wait is None or number is None:
            continue
        if steps and wait <= steps[-1][0]:
            item.child("waitTimeSeconds").add_mistake("must be more than that of the step before")
        steps.append((wait, float(number)))
    return tuple(steps)
