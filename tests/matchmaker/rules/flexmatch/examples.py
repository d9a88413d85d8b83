"""Short ways to write rule sets and tickets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from matchmaker.rules.flexmatch.cycle import CycleResult, match
from matchmaker.rules.flexmatch.reading import read_rule_set
from matchmaker.rules.flexmatch.ticket_file import read_tickets

DUEL = [
    {"name": "red", "minPlayers": 1, "maxPlayers": 1},
    {"name": "blue", "minPlayers": 1, "maxPlayers": 1},
]
TYPES = {"N": "number", "S": "string", "SL": "string_list", "SDM": "string_number_map"}
ATTRIBUTES = [
    {"name": "skill", "type": "number", "default": 10},
    {"name": "mode", "type": "string", "default": "ctf"},
    {"name": "maps", "type": "string_list", "default": ["dust"]},
    {"name": "rivals", "type": "string_list", "default": ["dust"]},
    {"name": "likes", "type": "string_number_map", "default": {"dust": 1}},
]


def rule_set(
    rules: Sequence[dict[str, Any]] = (), teams: Sequence[dict[str, Any]] = DUEL, **others: Any
) -> dict[str, Any]:
    return {
        "ruleLanguageVersion": "1.0",
        "playerAttributes": ATTRIBUTES,
        "teams": list(teams),
        "rules": [{"name": f"Rule{number}", **rule} for number, rule in enumerate(rules)],
        **others,
    }


def ticket(
    name: str,
    *players: dict[str, Any],
    start: float = 0.0,
    latency: dict[str, float] | None = None,
    teams: Sequence[str] = (),
) -> dict[str, Any]:
    """A ticket; each player is given by their attributes, and is named for the ticket."""
    keys: dict[type, str] = {int: "N", float: "N", str: "S", list: "SL", dict: "SDM"}
    return {
        "TicketId": name,
        "StartTime": start,
        "Players": [
            {
                "PlayerId": f"{name}.{number}" if len(players) > 1 else name,
                "Team": teams[number] if teams else None,
                "PlayerAttributes": {key: {keys[type(value)]: value} for key, value in attributes.items()},
                "LatencyInMs": latency,
            }
            for number, attributes in enumerate(players or ({},))
        ],
    }


def play(rules: dict[str, Any], *tickets: dict[str, Any], now: float = 0.0, seed: int = 0) -> CycleResult:
    loaded = read_rule_set(json.dumps(rules))
    return match(loaded, read_tickets(json.dumps(list(tickets)), loaded), now, seed)


def together(outcome: CycleResult) -> list[set[str]]:
    return [set(each.tickets) for each in outcome.matches]
