"""Rule sets, tickets and seated matches at random: every form of rule, values that often meet a limit."""

from __future__ import annotations

import json
from collections.abc import Sequence
from random import Random
from typing import Any

from matchmaker.rules.flexmatch.reading import read_rule_set
from matchmaker.rules.flexmatch.rule_set import Attribute, Default, RuleSet
from matchmaker.rules.flexmatch.ticket_file import FlexMatchTicket, TicketPlayer

REGIONS = ("north", "south")
WAITS_S = (0, 3, 6, 9, 11, 16, 21, 31, 61)
ATTRIBUTES = [
    {"name": "skill", "type": "number", "default": 10},
    {"name": "level", "type": "number", "default": 3},
    {"name": "mode", "type": "string", "default": "a"},
    {"name": "role", "type": "string", "default": "a"},
    {"name": "maps", "type": "string_list", "default": ["a"]},
    {"name": "foes", "type": "string_list", "default": []},
]
EXPANDABLE = ("maxDistance", "minDistance", "referenceValue", "minCount", "maxCount", "maxLatency")

Rule = dict[str, Any]


class RandomRules:
    """Makes one rule set."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.teams = [self._team(number) for number in range(rng.choice([1, 1, 2, 2, 3]))]
        self.rules: list[Rule] = []
        self.expansions: list[dict[str, Any]] = []
        makers = (
            self._distance, self._comparison, self._alike, self._intersection, self._contains,
            self._in_common, self._latency, self._batch,
        )  # fmt: skip
        for _ in range(rng.randint(1, 3)):
            self._add(rng.choice(makers)())
        self._compound()
        if rng.random() < 0.2:
            self._expand("teams[T0].minPlayers", [0.0])

    def document(self) -> dict[str, Any]:
        return {
            "ruleLanguageVersion": "1.0",
            "playerAttributes": ATTRIBUTES,
            "algorithm": {"expansionAgeSelection": self.rng.choice(["newest", "oldest"])},
            "teams": self.teams,
            "rules": self.rules,
            "expansions": self.expansions,
        }

    def _team(self, number: int) -> dict[str, Any]:
        fewest = self.rng.choice([0, 1, 1, 1, 2])
        most = max(fewest, self.rng.choice([1, 1, 2, 3]))
        copies = {"quantity": 2} if self.rng.random() < 0.2 else {}
        return {"name": f"T{number}", "minPlayers": fewest, "maxPlayers": most, **copies}

    def _add(self, rule: Rule) -> None:
        rule = {"name": f"R{len(self.rules)}", **rule}
        self.rules.append(rule)
        for field in EXPANDABLE:
            value = rule.get(field)
            if isinstance(value, int) and self.rng.random() < 0.3:
                near = [-2, 1, 5] if field.endswith("Count") else [-2, 3, 10]
                values = [max(0, value + self.rng.choice(near)) for _ in range(self.rng.randint(1, 2))]
                self._expand(f"rules[{rule['name']}].{field}", values)

    def _expand(self, target: str, values: Sequence[float]) -> None:
        waits = sorted(self.rng.sample([5, 10, 15, 30], len(values)))
        steps = [{"waitTimeSeconds": wait, "value": value} for wait, value in zip(waits, values, strict=True)]
        self.expansions.append({"target": target, "steps": steps})

    def _players(self) -> tuple[str, bool]:
        """Text of some players, and whether they come grouped by team."""
        chance = self.rng.random()
        if chance < 0.35:
            return "teams[*].players", True
        if chance < 0.45:
            return "players", False
        if chance < 0.9:
            team = self.rng.choice(self.teams)
            return f"teams[{team['name']}].players", team.get("quantity", 1) > 1
        names = [team["name"] for team in self.rng.sample(self.teams, min(2, len(self.teams)))]
        return f"teams[{', '.join(names)}].players", len(names) > 1 or self.teams[0].get("quantity", 1) > 1

    def _number(self, single: bool = False) -> str:
        players, grouped = self._players()
        if self.rng.random() < 0.1:
            if grouped and self.rng.random() < 0.5:
                players, grouped = f"flatten({players})", False
            counted = f"count({players})"
            return f"{self.rng.choice(['min', 'max', 'avg'])}({counted})" if grouped and single else counted
        text = f"{players}.attributes[{self.rng.choice(['skill', 'skill', 'level'])}]"
        if grouped and self.rng.random() < 0.4:
            text, grouped = f"flatten({text})", False
        functions = ["min", "max", "avg", "avg", "sum", "median", "stddev"]
        if single or self.rng.random() < 0.6:
            text = f"{self.rng.choice(functions)}({text})"
            if grouped and (single or self.rng.random() < 0.2):
                text = f"{self.rng.choice(functions)}({text})"
        return text

    def _party(self) -> Rule:
        chosen = self.rng.choice(["", "", "min", "max", "avg"])
        return {"partyAggregation": chosen} if chosen else {}

    def _distance(self) -> Rule:
        measured = [self._number() for _ in range(self.rng.choice([1, 1, 2]))]
        reference = self.rng.choice([50, 3, self._number(True), self._number(True)])
        rule = {"type": "distance", "measurements": measured, "referenceValue": reference, **self._party()}
        if self.rng.random() < 0.8:
            rule["maxDistance"] = self.rng.choice([0, 1, 5, 20])
        if "maxDistance" not in rule or self.rng.random() < 0.2:
            rule["minDistance"] = self.rng.choice([0, 1, 2])
        return rule

    def _comparison(self) -> Rule:
        reference = self.rng.choice([50, 50, 3, self._number(True)])
        operation = self.rng.choice(["<", "<=", "=", "!=", ">", ">="])
        rule = {"type": "comparison", "measurements": [self._number()], "operation": operation}
        return rule | {"referenceValue": reference} | self._party()

    def _alike(self) -> Rule:
        rule: Rule = {"type": "comparison", "operation": self.rng.choice(["=", "=", "!="])}
        if self.rng.random() < 0.5:
            return rule | {"measurements": [self._number()]} | self._party()
        players, grouped = self._players()
        text = f"{players}.attributes[{self.rng.choice(['mode', 'role'])}]"
        if grouped and self.rng.random() < 0.5:
            text = f"flatten({text})"
        given = {"referenceValue": self.rng.choice("ab")} if self.rng.random() < 0.3 else {}
        return rule | {"measurements": [text]} | given

    def _collection(self, operation: str, functions: list[str]) -> Rule:
        players, grouped = self._players()
        name = self.rng.choice(["maps", "maps", "mode"])
        text, depth = f"{players}.attributes[{name}]", 1 + grouped + (name == "maps")
        while depth > 1 and self.rng.random() < 0.35:
            text, depth = f"{self.rng.choice(functions)}({text})", depth - 1
        rule: Rule = {"type": "collection", "operation": operation, "measurements": [text]}
        if self.rng.random() < 0.8:
            rule["minCount"] = self.rng.choice([0, 1, 1, 2])
        if "minCount" not in rule or self.rng.random() < 0.4:
            rule["maxCount"] = self.rng.choice([0, 0, 1, 2, 5])
        if self.rng.random() < 0.5:
            rule["partyAggregation"] = "intersection"
        return rule

    def _intersection(self) -> Rule:
        return self._collection("intersection", ["flatten", "set_intersection"])

    def _contains(self) -> Rule:
        return self._collection("contains", ["flatten"]) | {"referenceValue": self.rng.choice("abc")}

    def _in_common(self) -> Rule:
        rule = self._collection("reference_intersection_count", ["flatten", "set_intersection"])
        foes, ids = (
            "flatten(flatten(teams[*].players.attributes[foes]))",
            "flatten(teams[*].players[playerId])",
        )
        rule["referenceValue"] = self.rng.choice([["a"], ["a", "b"], foes, ids])
        if isinstance(rule["referenceValue"], str) and self.rng.random() < 0.7:
            rule |= {"maxCount": 0}
            rule.pop("minCount", None)
        return rule

    def _latency(self) -> Rule:
        rule = {"type": "latency", **self._party()}
        if self.rng.random() < 0.8:
            rule["maxLatency"] = self.rng.choice([50, 100])
        if "maxLatency" not in rule or self.rng.random() < 0.4:
            rule |= {"maxDistance": self.rng.choice([30, 60])}
            rule |= {"distanceReference": self.rng.choice(["min", "avg"])}
        return rule

    def _batch(self) -> Rule:
        if self.rng.random() < 0.5:
            return {"type": "batchDistance", "batchAttribute": "mode"}
        apart = self.rng.choice([0, 5, 20])
        return {"type": "batchDistance", "batchAttribute": "skill", "maxDistance": apart, **self._party()}

    def _compound(self) -> None:
        names = [rule["name"] for rule in self.rules if rule["type"] != "batchDistance"]

        def statement(depth: int) -> str:
            if depth == 0 or self.rng.random() < 0.3:
                return str(self.rng.choice(names))
            operator = self.rng.choice(["and", "or", "xor", "not"])
            parts = [statement(depth - 1) for _ in range(1 if operator == "not" else 2)]
            return f"{operator}({', '.join(parts)})"

        if names and self.rng.random() < 0.5:
            text = statement(2)
            if "(" in text:
                self._add({"type": "compound", "statement": text})


def random_rule_set(rng: Random) -> RuleSet:
    return read_rule_set(json.dumps(RandomRules(rng).document()))


def random_match(rng: Random, rules: RuleSet) -> tuple[list[FlexMatchTicket], list[int]]:
    """Tickets that fill the teams (now and then one player short), and the copy of a team of each."""
    spread = rng.choice([0, 1, 5, 30])
    tickets: list[FlexMatchTicket] = []
    copies: list[int] = []
    players = 0
    for copy, team in enumerate(each for each in rules.teams for _ in each.copies):
        wanted = rng.randint(max(team.min_players - (rng.random() < 0.05), 0), team.max_players)
        while wanted:
            size = min(rng.choice([1, 1, 2, 3]), wanted)
            party = tuple(_player(rng, rules, f"p{players + each}", spread) for each in range(size))
            tickets.append(FlexMatchTicket(f"t{len(tickets)}", -float(rng.choice(WAITS_S)), party))
            copies.append(copy)
            wanted, players = wanted - size, players + size
    return tickets, copies


def _player(rng: Random, rules: RuleSet, name: str, spread: int) -> TicketPlayer:
    literals = [text for rule in rules.rules if isinstance(rule.reference, tuple) for text in rule.reference]
    numbers = [value for rule in rules.rules for field, value in rule.limits if field == "referenceValue"]
    attributes = {each.name: _attribute(rng, each, literals, numbers, spread) for each in rules.attributes}
    latency_ms = {region: float(rng.choice([10, 40, 70, 120])) for region in REGIONS if rng.random() < 0.97}
    return TicketPlayer(name, None, attributes, latency_ms)


def _attribute(
    rng: Random, attribute: Attribute, literals: list[str], numbers: list[float], spread: int
) -> Default:
    if attribute.type == "number":
        exact = bool(numbers) and rng.random() < 0.4
        return float(rng.choice(numbers)) if exact else float(round(50 + rng.gauss(0, spread)))
    if attribute.type == "string":
        return rng.choice([*literals, "a", "b"]) if rng.random() < 0.3 else [*literals, "a"][0]
    texts = ["a", "b", "c", "d", "p0", "p1", *literals]
    return tuple(dict.fromkeys(rng.choice(texts) for _ in range(rng.randint(0, 4))))
