"""Reads a rule set and finds every mistake in it at once."""

from __future__ import annotations

from typing import cast

from matchmaker.rules.flexmatch.document import DocumentError, Value, parse
from matchmaker.rules.flexmatch.reading.expansions import read_expansions
from matchmaker.rules.flexmatch.reading.rules import FIELDS, read_rules
from matchmaker.rules.flexmatch.rule_set import (
    MAX_EXHAUSTIVE_PLAYERS,
    MAX_PLAYERS,
    Algorithm,
    Attribute,
    Default,
    Expansion,
    RuleSet,
    Team,
    most_players,
)

ATTRIBUTE_TYPES = ("string", "number", "string_list", "string_number_map")
LARGE_TYPES = ("latency", "batchDistance")


def read_rule_set(text: str) -> RuleSet:
    """Read a rule set. Raises DocumentError with every mistake in it."""
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
    expansions = read_expansions(document.get("expansions"), teams, rules)
    _sizes(document, teams, algorithm, expansions)
    label = name.as_text(empty=True) if name else None
    return RuleSet(label or "", attributes, teams, algorithm, rules, expansions)


def _attributes(array: Value | None) -> tuple[Attribute, ...]:
    found: dict[str, Attribute] = {}
    for item in array.items() if array else ():
        if not item.as_object(("name", "type", "default"), ("name", "type")):
            continue
        name, kind = item.child("name").as_text(empty=True), item.child("type").as_choice(ATTRIBUTE_TYPES)
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
        return value.as_text(empty=True)
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
        name = item.child("name").as_text(empty=True)
        fewest, most = item.child("minPlayers").as_count(0), item.child("maxPlayers").as_count(1, MAX_PLAYERS)
        quantity = item.get("quantity")
        copies = quantity.as_count(1, MAX_PLAYERS) if quantity else 1
        if name is None or fewest is None or most is None or copies is None:
            continue
        if fewest > most:
            item.child("minPlayers").add_mistake("must not be more than maxPlayers")
        if name in teams:
            item.child("name").add_mistake(f"{name} is declared twice")
        if name.strip() == "*":
            item.child("name").add_mistake("must not be a star, which stands for all teams")
        teams[name] = Team(name, fewest, most, copies)
    if array and array.raw == []:
        array.add_mistake("needs a team")
    copied = [copy for team in teams.values() for copy in team.copies]
    if len(set(copied)) < len(copied) and array:
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
    for member in sort_by.items() if sort_by else ():
        if not isinstance(member.raw, str) or member.raw not in types:
            member.add_mistake("must name a player attribute that playerAttributes declare")
    if sort_by is not None and sort_by.raw == []:
        sort_by.add_mistake("needs an attribute")
    if balanced and (not isinstance(balanced.raw, str) or types.get(balanced.raw) != "number"):
        balanced.add_mistake("must name a player attribute of type number")
    return Algorithm(
        strategy,
        preference or None,
        (sort_by.as_texts() if sort_by else None) or (),
        str(balanced.raw) if balanced else None,
        choice("expansionAgeSelection", ("newest", "oldest"), "newest"),
        choice("backfillPriority", ("low", "normal", "high"), "normal"),
    )


def _sizes(
    document: Value, teams: tuple[Team, ...], algorithm: Algorithm, expansions: tuple[Expansion, ...]
) -> None:
    """Check the players of the largest match that can ever be, and what its strategy allows."""
    players = most_players(teams, expansions)
    if players > MAX_PLAYERS:
        document.child("teams").add_mistake(
            f"have {players} players in all; a match has at most {MAX_PLAYERS}"
        )
    small = players <= MAX_EXHAUSTIVE_PLAYERS
    if algorithm.strategy == "exhaustiveSearch" and not small:
        where = document.get("algorithm") or document
        where.add_mistake(
            f"exhaustiveSearch takes at most {MAX_EXHAUSTIVE_PLAYERS} players and the teams have {players}: "
            'set strategy to "balanced"'
        )
    if algorithm.strategy == "balanced" and not small and (array := document.get("rules")) is not None:
        _large_rules(array)


def _large_rules(array: Value) -> None:
    """Note rules that large matches do not have: beyond 40 players there are two types."""
    others = set(FIELDS) - set(LARGE_TYPES)
    for item in array.items() if isinstance(array.raw, list) else ():
        kind = item.raw.get("type") if isinstance(item.raw, dict) else None
        if not isinstance(kind, str):
            continue
        if kind in others:
            item.child("type").add_mistake(
                f"{kind} is not supported in a match of more than {MAX_EXHAUSTIVE_PLAYERS} players, which "
                "takes latency and batchDistance"
            )
        elif kind == "latency" and item.get("maxDistance") is not None:
            item.child("maxDistance").add_mistake(
                f"is not supported in a match of more than {MAX_EXHAUSTIVE_PLAYERS} players: use maxLatency"
            )
