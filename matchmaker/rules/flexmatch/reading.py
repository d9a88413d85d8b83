"""Reads a rule set and finds every mistake in it at once."""

from __future__ import annotations

import re
from typing import Any, cast

from matchmaker.rules.flexmatch.document import DocumentError, Value, parse
from matchmaker.rules.flexmatch.reading_rules import read_rules
from matchmaker.rules.flexmatch.rule_set import (
    MAX_EXHAUSTIVE_PLAYERS,
    MAX_PLAYERS,
    Algorithm,
    Attribute,
    Default,
    Expansion,
    Rule,
    RuleSet,
    Team,
)

ATTRIBUTE_TYPES = ("string", "number", "string_list", "string_number_map")
EXPANDABLE = {
    "distance": ("maxDistance", "minDistance", "referenceValue"),
    "comparison": ("referenceValue",),
    "collection": ("minCount", "maxCount"),
    "latency": ("maxLatency", "maxDistance"),
    "batchDistance": ("maxDistance",),
}
LARGE_TYPES = ("latency", "batchDistance")

_TARGET = re.compile(r"(rules|teams)\[([^\]]+)\]\.(\w+)")


def read_rule_set(text: str) -> RuleSet:
    """Read a rule set. Raises DocumentRefused with every mistake in it."""
    document = parse(text, "rule set")
    rule_set = _rule_set(document)
    if document.mistakes or rule_set is None:
        raise DocumentError("rule set", document.mistakes)
    return rule_set


def _rule_set(document: Value) -> RuleSet | None:
    known = ("name", "ruleLanguageVersion", "playerAttributes", "algorithm", "teams", "rules", "expansions")
    if not isinstance(document.raw, dict):
        document.add_mistake("must be an object")
        return None
    document.as_object(known, ("ruleLanguageVersion", "teams"))
    if (version := document.get("ruleLanguageVersion")) and version.raw != "1.0":
        version.add_mistake('must be "1.0", the only version there is')
    name = document.get("name")
    attributes = _attributes(document.get("playerAttributes"))
    teams = _teams(document.get("teams"))
    types = {attribute.name: attribute.type for attribute in attributes}
    quantities = {team.name: team.quantity for team in teams}
    algorithm = _algorithm(document.get("algorithm"), types)
    rules = read_rules(document.get("rules"), types, quantities)
    _sizes(document, teams, algorithm, rules)
    expansions = _expansions(document.get("expansions"), teams, rules)
    return RuleSet((name.as_text() if name else None) or "", attributes, teams, algorithm, rules, expansions)


def _attributes(array: Value | None) -> tuple[Attribute, ...]:
    found: dict[str, Attribute] = {}
    for item in array.items() if array else ():
        if not item.as_object(("name", "type", "default"), ("name", "type")):
            continue
        name, kind = item.child("name").as_text(), item.child("type").as_choice(ATTRIBUTE_TYPES)
        if name is None or kind is None:
            continue
        if name in found:
            item.child("name").add_mistake(f"{name} is declared twice")
        default = item.get("default")
        found[name] = Attribute(name, kind, _default(default, kind) if default else None)
    return tuple(found.values())


def _default(value: Value, kind: str) -> Default:
    if kind == "number":
        return value.as_number()
    if kind == "string":
        return value.as_text()
    if kind == "string_list":
        return value.as_texts()
    if not value.as_object():
        return None
    numbers = {key: value.child(key).as_number() for key in value.raw}
    return None if None in numbers.values() else cast("dict[str, float]", numbers)


def _teams(array: Value | None) -> tuple[Team, ...]:
    teams: dict[str, Team] = {}
    for item in array.items() if array else ():
        if not item.as_object(
            ("name", "minPlayers", "maxPlayers", "quantity"), ("name", "minPlayers", "maxPlayers")
        ):
            continue
        name = item.child("name").as_text()
        fewest, most = item.child("minPlayers").as_count(0), item.child("maxPlayers").as_count(1, MAX_PLAYERS)
        quantity = item.get("quantity")
        copies = quantity.as_count(1, MAX_PLAYERS) if quantity else 1
        if name is None or fewest is None or most is None or copies is None:
            continue
        if fewest > most:
            item.child("minPlayers").add_mistake("must not be more than maxPlayers")
        if name in teams:
            item.child("name").add_mistake(f"{name} is declared twice")
        if not re.fullmatch(r"[^\s,*\[\]]+", name):
            item.child("name").add_mistake(
                "must not have spaces, commas, stars or brackets: expressions name it"
            )
        teams[name] = Team(name, fewest, most, copies)
    if array and array.raw == []:
        array.add_mistake("needs a team")
    copied = [copy for team in teams.values() for copy in team.copies]
    if array and len(set(copied)) < len(copied):
        array.add_mistake("a copy of one team has the name of another")
    return tuple(teams.values())


def _algorithm(value: Value | None, types: dict[str, str]) -> Algorithm:
    known = (
        "strategy", "batchingPreference", "sortByAttributes", "balancedAttribute", "expansionAgeSelection",
        "backfillPriority",
    )  # fmt: skip
    if value is None or not value.as_object(known):
        return Algorithm()

    def choice(key: str, choices: tuple[str, ...], default: str) -> str:
        member = value.get(key)
        return (member.as_choice(choices) if member else None) or default

    strategy = choice("strategy", ("exhaustiveSearch", "balanced"), "exhaustiveSearch")
    large = strategy == "balanced"
    preferences = ("largestPopulation", "fastestRegion") if large else ("random", "sorted")
    preference = choice("batchingPreference", preferences, "")
    sort_by, balanced = value.get("sortByAttributes"), value.get("balancedAttribute")
    if (preference == "sorted") != (sort_by is not None):
        (sort_by or value).add_mistake('batchingPreference "sorted" and sortByAttributes come together')
    if large and balanced is None:
        value.add_mistake("needs balancedAttribute: the strategy is balanced")
    if not large and balanced is not None:
        balanced.add_mistake('belongs to the strategy "balanced"')
    for member in [*(sort_by.items() if sort_by else ()), *([balanced] if balanced else [])]:
        if types.get(member.raw if isinstance(member.raw, str) else "") != "number":
            member.add_mistake("must name a player attribute of type number")
    return Algorithm(
        strategy,
        preference or None,
        (sort_by.as_texts() if sort_by else None) or (),
        str(balanced.raw) if balanced else None,
        choice("expansionAgeSelection", ("newest", "oldest"), "newest"),
        choice("backfillPriority", ("low", "normal", "high"), "normal"),
    )


def _sizes(document: Value, teams: tuple[Team, ...], algorithm: Algorithm, rules: tuple[Rule, ...]) -> None:
    players = sum(team.max_players * team.quantity for team in teams)
    if players > MAX_PLAYERS:
        document.child("teams").add_mistake(
            f"have {players} players in all; a match has at most {MAX_PLAYERS}"
        )
    if algorithm.strategy == "exhaustiveSearch" and players > MAX_EXHAUSTIVE_PLAYERS:
        where = document.get("algorithm") or document
        where.add_mistake(
            f"exhaustiveSearch takes at most {MAX_EXHAUSTIVE_PLAYERS} players and the teams have {players}: "
            'set strategy to "balanced"'
        )
    if algorithm.strategy != "balanced" or (array := document.get("rules")) is None:
        return
    for item in array.items():
        kind = item.raw.get("type") if isinstance(item.raw, dict) else None
        if isinstance(kind, str) and kind in EXPANDABLE | {
            "compound": (),
            "distanceSort": (),
            "absoluteSort": (),
        }:
            if kind not in LARGE_TYPES:
                item.child("type").add_mistake(
                    f"{kind} is not supported with the strategy balanced, which takes latency and "
                    "batchDistance"
                )
            elif kind == "latency" and item.get("maxDistance") is not None:
                item.child("maxDistance").add_mistake(
                    "is not supported with the strategy balanced: use maxLatency"
                )


def _expansions(
    array: Value | None, teams: tuple[Team, ...], rules: tuple[Rule, ...]
) -> tuple[Expansion, ...]:
    expansions: dict[tuple[str, str, str], Expansion] = {}
    for item in array.items() if array else ():
        if not item.as_object(("target", "steps"), ("target", "steps")):
            continue
        target = item.child("target")
        text = target.as_text()
        place = _TARGET.fullmatch(text) if text else None
        if text and place is None:
            target.add_mistake("must be like rules[NAME].maxDistance or teams[NAME].minPlayers")
        reason = _unexpandable(*place.groups(), teams=teams, rules=rules) if place else None
        if reason:
            target.add_mistake(reason)
        whole = place is not None and place[3] in ("minPlayers", "maxPlayers", "minCount", "maxCount")
        steps = _steps(item.child("steps"), whole)
        if place is None:
            continue
        key = (place[1], place[2], place[3])
        if key in expansions:
            target.add_mistake("is expanded twice")
        expansions[key] = Expansion(cast(Any, place[1]), place[2], place[3], steps)
    return tuple(expansions.values())


def _unexpandable(
    kind: str, name: str, field: str, *, teams: tuple[Team, ...], rules: tuple[Rule, ...]
) -> str | None:
    if kind == "teams":
        if name not in {team.name for team in teams}:
            return f"there is no team {name}"
        return None if field in ("minPlayers", "maxPlayers") else f"{field} of a team cannot expand"
    rule = next((rule for rule in rules if rule.name == name), None)
    if rule is None:
        return f"there is no rule {name}"
    if field not in EXPANDABLE.get(rule.type, ()):
        return f"{field} of a {rule.type} rule cannot expand"
    if rule.limit(field) is None:
        return f"the rule {name} has no number {field} to expand from"
    return None


def _steps(array: Value, whole: bool) -> tuple[tuple[float, float], ...]:
    steps: list[tuple[float, float]] = []
    if array.raw == []:
        array.add_mistake("needs a step")
    for item in array.items():
        if not item.as_object(("waitTimeSeconds", "value"), ("waitTimeSeconds", "value")):
            continue
        wait = item.child("waitTimeSeconds").as_number(0)
        value = item.child("value")
        number = value.as_count() if whole else value.as_number()
        if wait is None or number is None:
            continue
        if steps and wait <= steps[-1][0]:
            item.child("waitTimeSeconds").add_mistake("must be more than that of the step before")
        steps.append((wait, float(number)))
    return tuple(steps)
