"""The oracle: FlexMatch's rules on lists and dictionaries, and every possible match tried."""

from __future__ import annotations

import itertools
import re
import statistics
from collections.abc import Iterator, Sequence
from typing import Any

Ticket = dict[str, Any]
Seating = dict[str, list[tuple[Ticket, dict[str, Any]]]]  # team → (ticket, player)

FUNCTIONS: dict[str, Any] = {
    "min": min,
    "max": max,
    "avg": lambda values: sum(values) / len(values),
    "median": statistics.median,
    "sum": sum,
    "count": len,
    "stddev": statistics.pstdev,
}


class NaiveRules:
    """Judges matches of plain JSON tickets under a plain JSON rule set."""

    def __init__(self, rules: dict[str, Any], now: float) -> None:
        self.rules = rules
        self.now = now
        self.copies = {
            copy: team
            for team in rules["teams"]
            for copy in (
                [team["name"]]
                if team.get("quantity", 1) == 1
                else [f"{team['name']}_{n + 1}" for n in range(team["quantity"])]
            )
        }

    def holds(self, seating: Seating, region: str | None) -> bool:
        tickets = {ticket["TicketId"]: ticket for seats in seating.values() for ticket, _ in seats}.values()
        ages = [self.now - ticket["StartTime"] for ticket in tickets]
        selection = self.rules.get("algorithm", {}).get("expansionAgeSelection", "newest")
        age = min(ages) if selection == "newest" else max(ages)
        for copy, team in self.copies.items():
            fewest = self._widened("teams", team["name"], "minPlayers", team["minPlayers"], age)
            most = self._widened("teams", team["name"], "maxPlayers", team["maxPlayers"], age)
            if not fewest <= len(seating[copy]) <= most:
                return False
        named = {rule["name"]: rule for rule in self.rules["rules"]}
        inside = {
            name
            for rule in named.values()
            if rule["type"] == "compound"
            for name in re.findall(r"\w+", rule["statement"])
        }
        return all(
            self._rule(rule, named, seating, region, age)
            for rule in named.values()
            if rule["name"] not in inside
        )

    def _widened(self, kind: str, name: str, field: str, value: Any, age: float) -> Any:
        for expansion in self.rules.get("expansions", []):
            if expansion["target"] == f"{kind}[{name}].{field}":
                for step in expansion["steps"]:
                    if step["waitTimeSeconds"] <= age:
                        value = step["value"]
        return value

    def _rule(
        self, rule: dict[str, Any], named: dict[str, Any], seating: Seating, region: str | None, age: float
    ) -> bool:
        def limit(field: str, default: float) -> float:
            value = rule.get(field)
            return (
                default if value is None else float(self._widened("rules", rule["name"], field, value, age))
            )

        kind = rule["type"]
        if kind.endswith("Sort"):
            return True
        if kind == "compound":
            scope = {
                "not_": lambda one: not one,
                "and_": lambda *all_of: all(all_of),
                "or_": lambda *any_of: any(any_of),
                "xor": lambda one, other: one != other,
            }
            verdicts = {name: self._rule(each, named, seating, region, age) for name, each in named.items()
                      if name in re.findall(r"\w+", rule["statement"])}  # fmt: skip
            text = re.sub(r"\b(not|and|or)\(", r"\1_(", rule["statement"])
            return bool(eval(text, {"__builtins__": {}}, {**scope, **verdicts}))
        party = rule.get("partyAggregation", "union" if kind == "collection" else "avg")
        if kind == "latency":
            latencies = [
                FUNCTIONS[party]([each["LatencyInMs"][region] for each in ticket["Players"]])
                for seats in seating.values()
                for ticket, _ in seats
            ]
            middle = FUNCTIONS[rule.get("distanceReference", "avg")](latencies)
            return all(
                ms <= limit("maxLatency", 1e9) and abs(ms - middle) <= limit("maxDistance", 1e9)
                for ms in latencies
            )
        if kind == "batchDistance":
            values = [
                self._value(t, p, rule["batchAttribute"], party) for s in seating.values() for t, p in s
            ]
            if isinstance(values[0], str):
                return len(set(values)) == 1
            return bool(max(values) - min(values) <= limit("maxDistance", 0))
        reference = rule.get("referenceValue")
        alone = kind == "comparison" and reference is None
        once = kind == "collection" or (alone and "avg(" not in rule["measurements"][0])
        measured = [self._expression(text, seating, party, once, kind) for text in rule["measurements"]]
        if isinstance(reference, str) and "players" in reference:
            reference = self._expression(reference, seating, party)
        elif isinstance(reference, int | float):
            reference = limit("referenceValue", 0)
        if kind == "collection":
            return all(
                limit("minCount", 0) <= count <= limit("maxCount", 1e9)
                for count in self._counts(
                    rule["operation"], measured, reference, rule["measurements"][0].startswith("teams[*]")
                )
            )
        leaves = [leaf for value in measured for leaf in _leaves(value) if leaf is not None]
        if kind == "distance" and reference is None:
            return True
        if kind == "distance":
            return all(
                limit("minDistance", 0) <= abs(v - reference) <= limit("maxDistance", 1e9) for v in leaves
            )
        if reference is None and rule["operation"] == "!=" and leaves and isinstance(leaves[0], str):
            own = [{p["PlayerAttributes"]["mode"]["S"] for p in t["Players"]} for t in _tickets(seating)]
            return sum(map(len, own)) == len(set.union(*own))
        if reference is None:
            different = len(set(leaves))
            return different <= 1 if rule["operation"] == "=" else different == len(leaves)
        operations = {
            "<": "__lt__",
            "<=": "__le__",
            "=": "__eq__",
            "!=": "__ne__",
            ">": "__gt__",
            ">=": "__ge__",
        }
        return all(getattr(leaf, operations[rule["operation"]])(reference) for leaf in leaves)

    def _counts(self, operation: str, measured: list[Any], reference: Any, by_team: bool) -> Iterator[int]:
        collections = [each for value in measured for each in _innermost(value)]
        if operation == "intersection":
            yield len(set.intersection(*map(set, collections)))
        elif operation == "contains":
            for value in measured:
                for group in value if by_team else [value]:
                    yield sum(reference in each for each in group)
        else:
            for each in collections:
                yield len(set(each) & set(reference))

    def _expression(self, text: str, seating: Seating, party: str, once: bool = False, kind: str = "") -> Any:
        """``once``: a party's value stands there once, unless it is of strings, which are each player's."""
        if call := re.fullmatch(r"(\w+)\((.*)\)", text):
            value = self._expression(call[2], seating, party, once, kind)
            if call[1] == "flatten":
                return [item for inner in value for item in inner]
            if call[1] == "set_intersection":
                return sorted(set.intersection(*map(set, value)))
            return _innermost_map(value, FUNCTIONS[call[1]])
        path = re.fullmatch(r"teams\[(.*)\]\.players(?:\.attributes\[(.*)\])?", text)
        assert path is not None
        names = list(self.copies) if path[1] == "*" else path[1].split(",")
        lists = [
            [
                player if path[2] is None else self._value(ticket, player, path[2], party, kind)
                for ticket, player in seating[n]
                if not once
                or player is ticket["Players"][0]
                or (kind == "comparison" and "S" in player["PlayerAttributes"][path[2]])
            ]
            for n in names
        ]
        return lists if path[1] == "*" or len(names) > 1 else lists[0]

    def _value(self, ticket: Ticket, player: dict[str, Any], name: str, party: str, kind: str = "") -> Any:
        own = [next(iter(each["PlayerAttributes"][name].values())) for each in ticket["Players"]]
        if isinstance(own[0], str) and kind == "collection":
            own = [[each] for each in own]
        if isinstance(own[0], str):
            return next(iter(player["PlayerAttributes"][name].values()))
        if isinstance(own[0], list):
            joined = set.union if party == "union" else set.intersection
            return sorted(joined(*map(set, own)))
        return FUNCTIONS[party](own)

    def seatings(self, tickets: Sequence[Ticket]) -> Iterator[Seating]:
        """Every way to seat exactly these tickets, parties whole."""
        for choice in itertools.product(self.copies, repeat=len(tickets)):
            seating: Seating = {copy: [] for copy in self.copies}
            for ticket, copy in zip(tickets, choice, strict=True):
                seating[copy] += [(ticket, player) for player in ticket["Players"]]
            yield seating

    def largest_around(self, first: Ticket, others: Sequence[Ticket], regions: Sequence[str | None]) -> int:
        """Players of the largest match that has ``first`` in it; 0: there is none."""
        best = 0
        for count in range(len(others) + 1):
            for company in itertools.combinations(others, count):
                for seating in self.seatings([first, *company]):
                    size = sum(map(len, seating.values()))
                    if size > best and any(self.holds(seating, region) for region in regions):
                        best = size
        return best


def _tickets(seating: Seating) -> list[Ticket]:
    return list({t["TicketId"]: t for seats in seating.values() for t, _ in seats}.values())


def _leaves(value: Any) -> list[Any]:
    return [leaf for item in value for leaf in _leaves(item)] if isinstance(value, list) else [value]


def _innermost(value: list[Any]) -> list[list[Any]]:
    if value and isinstance(value[0], list):
        return [each for item in value for each in _innermost(item)]
    return [value]


def _innermost_map(value: list[Any], function: Any) -> Any:
    if value and isinstance(value[0], list):
        return [_innermost_map(item, function) for item in value]
    # Of nobody there is no average: None, which no rule finds wrong.
    return function(value) if value or function in (len, sum) else None
