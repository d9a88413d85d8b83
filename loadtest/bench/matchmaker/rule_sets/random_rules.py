"""Draws rule sets of all forms, and small pools of players whose values meet limits exactly now and then."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from matchmaker.rules.flexmatch.ticket_file import FlexMatchTicket, TicketPlayer

NAMES = ("ash", "birch", "cedar")
MODES = ("calm", "wild")
MAPS = ("lake", "dune", "reef", "moor")
ROLES = ("mender", "striker", "shield")
AGGREGATES = ("min", "max", "avg", "sum", "median", "stddev")
PARTY = ("min", "max", "avg")
ATTRIBUTES = (
    {"name": "skill", "type": "number"},
    {"name": "level", "type": "number", "default": 3},
    {"name": "mode", "type": "string"},
    {"name": "role", "type": "string"},
    {"name": "maps", "type": "string_list"},
    {"name": "blocked", "type": "string_list", "default": []},
)
WAITS = (4, 9, 15)
UP_OR_DOWN = ("ascending", "descending")
LAXER = {
    "maxDistance": (3, 9),
    "maxLatency": (40, 120),
    "minCount": (-1,),
    "maxCount": (1, 3),
    "minDistance": (-1,),
}


class RuleSetDraw:
    """One random rule set, as FlexMatch's JSON in ``text``.

    Args:
        rng: draws it.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self.teams = self._teams()
        self._names = [str(team["name"]) for team in self.teams]
        self._expansions: list[dict[str, Any]] = []
        self._rules: list[dict[str, Any]] = []
        for _ in range(self._below(4)):
            self._add_rule()
        if self._chance(0.25) and len(self._rules) > 1:
            self._add_compound()
        for team in self.teams:
            if self._chance(0.15) and team["minPlayers"] > 1:
                self._expand(f"teams[{team['name']}].minPlayers", [team["minPlayers"] - 1])
            if self._chance(0.1):
                self._expand(f"teams[{team['name']}].maxPlayers", [team["maxPlayers"] + 1])
        if self._chance(0.1):
            kind, direction = self._pick(("distanceSort", "absoluteSort")), self._pick(UP_OR_DOWN)
            self._rules.append(
                {"name": "Order", "type": kind, "sortDirection": direction, "sortAttribute": "skill"}
            )
        self.text = json.dumps(self._document())

    def _document(self) -> dict[str, Any]:
        algorithm: dict[str, Any] = {"strategy": "exhaustiveSearch"}
        if self._chance(0.1):
            preference = self._pick(("largestPopulation", "fastestRegion"))
            algorithm = {
                "strategy": "balanced", "balancedAttribute": "skill", "batchingPreference": preference
            }  # fmt: skip
        elif self._chance(0.1):
            algorithm |= {"batchingPreference": "sorted", "sortByAttributes": [self._pick(("level", "mode"))]}
        if self._chance(0.6):
            algorithm["expansionAgeSelection"] = self._pick(("newest", "oldest"))
        return {
            "name": "drawn",
            "ruleLanguageVersion": "1.0",
            "playerAttributes": list(ATTRIBUTES),
            "algorithm": algorithm,
            "teams": self.teams,
            "rules": self._rules,
            "expansions": self._expansions,
        }

    def _teams(self) -> list[dict[str, Any]]:
        found = []
        for name in NAMES[: 1 + self._below(3)]:
            most = 1 + self._below(3)
            team: dict[str, Any] = {
                "name": name,
                "minPlayers": max(1, most - self._below(2)),
                "maxPlayers": most,
            }
            if self._chance(0.15) and most < 3:
                team["quantity"] = 2
            found.append(team)
        return found

    def _add_rule(self) -> None:
        draws = (
            self._batch, self._window, self._distance, self._distance, self._comparison, self._equality,
            self._literal, self._contains, self._shared, self._blocks, self._latency, self._latency,
            self._number,
        )  # fmt: skip
        rule = {"name": f"Rule{len(self._rules)}", **draws[self._below(len(draws))]()}
        self._rules.append(rule)
        for field, changes in LAXER.items():
            if field in rule and self._chance(0.35):
                self._expand(
                    f"rules[{rule['name']}].{field}", [max(0, rule[field] + change) for change in changes]
                )
        if isinstance(rule.get("referenceValue"), int) and self._chance(0.2):
            self._expand(f"rules[{rule['name']}].referenceValue", [self._below(8), self._below(8)])

    def _add_compound(self) -> None:
        apart = ("batchDistance", "compound", "distanceSort", "absoluteSort")
        usable = [rule["name"] for rule in self._rules if rule["type"] not in apart]
        if len(usable) < 2:
            return
        one, other = usable[:2]
        statement = self._pick(
            (
                f"or({one}, {other})", f"and({one}, not({other}))", f"xor({one}, {other})",
                f"or(and({one}, {other}), not({one}))",
            )
        )  # fmt: skip
        self._rules.append({"name": "Together", "type": "compound", "statement": statement})

    def _expand(self, target: str, values: list[float]) -> None:
        begin = self._below(2)
        steps = [{"waitTimeSeconds": WAITS[begin + at], "value": value} for at, value in enumerate(values)]
        self._expansions.append({"target": target, "steps": steps})

    def _of(self, attribute: str = "skill") -> str:
        """The values of a team, of some, or of all."""
        scope = self._pick((*self._names, "*"))
        return f"teams[{scope}].players.attributes[{attribute}]"

    def _one_value(self, attribute: str = "skill") -> str:
        """An expression of one number."""
        kind = self._pick(AGGREGATES[:3] if self._chance(0.85) else AGGREGATES)
        if self._chance(0.5):
            return f"{kind}(flatten(teams[*].players.attributes[{attribute}]))"
        single = [str(team["name"]) for team in self.teams if "quantity" not in team]
        if not single:
            return f"{kind}({kind}(teams[*].players.attributes[{attribute}]))" if len(self._names) > 1 else (
                f"{kind}(flatten(teams[*].players.attributes[{attribute}]))"
            )  # fmt: skip
        return f"{kind}(teams[{self._pick(single)}].players.attributes[{attribute}])"

    def _party(self) -> dict[str, str]:
        return {"partyAggregation": self._pick(PARTY)} if self._chance(0.3) else {}

    def _batch(self) -> dict[str, Any]:
        return {"type": "batchDistance", "batchAttribute": "mode"}

    def _window(self) -> dict[str, Any]:
        return {
            "type": "batchDistance",
            "batchAttribute": "skill",
            "maxDistance": self._below(6),
            **self._party(),
        }

    def _distance(self) -> dict[str, Any]:
        measured = self._pick(
            (
                "avg(teams[*].players.attributes[skill])", "max(teams[*].players.attributes[skill])",
                "min(teams[*].players.attributes[skill])", "flatten(teams[*].players.attributes[skill])",
                "sum(teams[*].players.attributes[level])", self._of(), self._one_value(),
            )
        )  # fmt: skip
        limits: dict[str, Any] = {"maxDistance": self._below(5)}
        if self._chance(0.1):
            limits = {"minDistance": self._below(3)}
        reference = self._one_value() if self._chance(0.85) else 4
        several = [measured, self._one_value()] if self._chance(0.1) else [measured]
        return {
            "type": "distance",
            "measurements": several,
            "referenceValue": reference,
            **limits,
            **self._party(),
        }

    def _comparison(self) -> dict[str, Any]:
        operation = self._pick(("<", "<=", "=", "!=", ">", ">="))
        measured = self._of() if self._chance(0.5) else self._one_value()
        reference: Any = self._one_value() if self._chance(0.4) else self._below(8)
        return {
            "type": "comparison", "measurements": [measured], "referenceValue": reference,
            "operation": operation, **self._party(),
        }  # fmt: skip

    def _equality(self) -> dict[str, Any]:
        attribute = self._pick(("mode", "role", "level", "mode"))
        operation = "=" if self._chance(0.7) else "!="
        scope = self._pick((*self._names, "*", "*"))
        measured = f"flatten(teams[{scope}].players.attributes[{attribute}])"
        grouped = scope == "*" or any(t["name"] == scope and "quantity" in t for t in self.teams)
        if not grouped:
            measured = f"teams[{scope}].players.attributes[{attribute}]"
        return {"type": "comparison", "measurements": [measured], "operation": operation}

    def _literal(self) -> dict[str, Any]:
        return {
            "type": "comparison", "measurements": [self._of("role")], "referenceValue": self._pick(ROLES),
            "operation": self._pick(("=", "!=")),
        }  # fmt: skip

    def _number(self) -> dict[str, Any]:
        name, other = self._pick(self._names), self._pick(self._names)
        quantity = {str(team["name"]): team.get("quantity", 1) for team in self.teams}
        if quantity[name] > 1 or quantity[other] > 1:
            return self._latency()
        return {
            "type": "comparison", "measurements": [f"count(teams[{name}].players)"],
            "referenceValue": f"count(teams[{other}].players)", "operation": "=",
        }  # fmt: skip

    def _contains(self) -> dict[str, Any]:
        limits = {"minCount": 1} if self._chance(0.6) else {"maxCount": 1}
        if self._chance(0.2):
            limits = {"minCount": 1, "maxCount": 2}
        attribute, values = self._pick_pair()
        measured = (
            self._of(attribute) if self._chance(0.6) else f"flatten(teams[*].players.attributes[{attribute}])"
        )
        return {
            "type": "collection", "operation": "contains", "measurements": [measured],
            "referenceValue": self._pick(values), **limits,
        }  # fmt: skip

    def _pick_pair(self) -> tuple[str, tuple[str, ...]]:
        return ("role", ROLES) if self._chance(0.6) else ("maps", MAPS)

    def _shared(self) -> dict[str, Any]:
        if self._chance(0.25):
            measured = "flatten(teams[*].players.attributes[maps])"
            if self._chance(0.3):
                measured = f"set_intersection({measured})"
            return {
                "type": "collection", "operation": "reference_intersection_count",
                "measurements": [measured],
                "referenceValue": list(MAPS[:2]), "minCount": 1,
            }  # fmt: skip
        party = {"partyAggregation": self._pick(("union", "intersection"))} if self._chance(0.4) else {}
        return {
            "type": "collection", "operation": "intersection",
            "measurements": ["flatten(teams[*].players.attributes[maps])"],
            "minCount": 1 + self._below(2), **party,
        }  # fmt: skip

    def _blocks(self) -> dict[str, Any]:
        return {
            "type": "collection", "operation": "reference_intersection_count",
            "measurements": ["flatten(teams[*].players.attributes[blocked])"],
            "referenceValue": "flatten(teams[*].players[playerId])", "maxCount": 0,
        }  # fmt: skip

    def _latency(self) -> dict[str, Any]:
        rule: dict[str, Any] = {"type": "latency", **self._party()}
        if self._chance(0.8):
            rule["maxLatency"] = self._pick((40, 60, 100))
        if self._chance(0.3) or "maxLatency" not in rule:
            rule |= {"maxDistance": self._pick((10, 20, 40)), "distanceReference": self._pick(("min", "avg"))}
        return rule

    def _below(self, most: int) -> int:
        return int(self._rng.integers(0, most))

    def _chance(self, share: float) -> bool:
        return bool(self._rng.random() < share)

    def _pick(self, options: Any) -> Any:
        return options[self._below(len(options))]


def draw_rule_set(rng: np.random.Generator) -> str:
    """One random rule set, as text."""
    return RuleSetDraw(rng).text


def draw_tickets(
    rng: np.random.Generator, count: int, now: float, largest: int, regions: list[str]
) -> list[FlexMatchTicket]:
    """A small pool: few different values, so that rules hold, and limits are met, often."""
    tickets = []
    number = 0
    for index in range(count):
        players = []
        for _ in range(1 + int(rng.integers(0, min(largest, 3)) * (rng.random() < 0.35))):
            measured = {region: float(rng.integers(1, 9) * 10) for region in regions if rng.random() < 0.9}
            players.append(
                TicketPlayer(
                    f"p{number}",
                    None,
                    {
                        "skill": float(rng.integers(0, 8)),
                        "level": float(rng.integers(1, 5)),
                        "mode": MODES[int(rng.random() < 0.3)],
                        "role": ROLES[int(rng.integers(0, 3))],
                        "maps": tuple(name for name in MAPS if rng.random() < 0.6),
                        "blocked": tuple(
                            {f"p{int(other)}" for other in rng.integers(0, 2 * count, 2)} - {f"p{number}"}
                        ),
                    },
                    measured,
                )
            )
            number += 1
        tickets.append(FlexMatchTicket(f"t{index:03}", now - float(rng.integers(0, 20)), tuple(players)))
    return tickets
