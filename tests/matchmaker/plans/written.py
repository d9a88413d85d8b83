"""Short ways to write rule sets for plans."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from matchmaker.plans.compile import CompiledPlan, compile_plan
from matchmaker.plans.layout import Plan
from matchmaker.rules.flexmatch.reading import read_rule_set

TWO = [{"name": "red", "minPlayers": 2, "maxPlayers": 3}, {"name": "blue", "minPlayers": 2, "maxPlayers": 3}]
ONE = [{"name": "red", "minPlayers": 1, "maxPlayers": 1}, {"name": "blue", "minPlayers": 1, "maxPlayers": 1}]
HUNT = [
    {"name": "pack", "minPlayers": 4, "maxPlayers": 4},
    {"name": "boss", "minPlayers": 1, "maxPlayers": 1},
]
ATTRIBUTES = [
    {"name": "skill", "type": "number"},
    {"name": "level", "type": "number"},
    {"name": "mode", "type": "string"},
    {"name": "maps", "type": "string_list"},
    {"name": "blocked", "type": "string_list"},
    {"name": "likes", "type": "string_number_map"},
]
ALL_MAPS = "flatten(teams[*].players.attributes[maps])"
ALL_SKILLS = "flatten(teams[*].players.attributes[skill])"

Rule = dict[str, Any]


def compiled(rules: Sequence[Rule], teams: Sequence[Rule] = TWO, **others: Any) -> CompiledPlan:
    document = {
        "ruleLanguageVersion": "1.0",
        "playerAttributes": ATTRIBUTES,
        "teams": list(teams),
        "rules": [{"name": f"R{place}", **rule} for place, rule in enumerate(rules)],
        **others,
    }
    return compile_plan(read_rule_set(json.dumps(document)))


def plan_of(rules: Sequence[Rule], teams: Sequence[Rule] = TWO, **others: Any) -> Plan:
    plan = compiled(rules, teams, **others).plan
    assert plan is not None
    return plan


def of(function: str, team: str, name: str = "skill") -> str:
    """A function of each team's players, or of one team's."""
    return f"{function}(teams[{team}].players.attributes[{name}])"


def comparison(measured: str, operation: str, reference: object = None) -> Rule:
    given = {} if reference is None else {"referenceValue": reference}
    return {"type": "comparison", "measurements": [measured], "operation": operation, **given}


def distance(measured: str, reference: object, **limits: float) -> Rule:
    return {"type": "distance", "measurements": [measured], "referenceValue": reference, **limits}


def collection(measured: str, operation: str, reference: object = None, **limits: int) -> Rule:
    given = {} if reference is None else {"referenceValue": reference}
    return {"type": "collection", "measurements": [measured], "operation": operation, **given, **limits}
