"""Judges matches by the words of FlexMatch's guide, rule by rule and from nothing.

It shares the reader of rule sets with the product, and none of what decides there: no arrays, no compiled
code, no sums that are carried along. A match that it calls wrong is wrong, or the judge is.

How a party is read: where numbers are compared or averaged, each of its members carries the party's
aggregate, so that a party of three weighs three; in collections it is one collection, the union or the
intersection of its members'; and its members are not compared with each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain

from loadtest.bench.matchmaker.rule_sets.measured import (
    Measure,
    Seated,
    at_most,
    groups_by_ticket,
    numbers_of,
    same,
    value_of,
)
from matchmaker.rules.flexmatch.expressions import Expression
from matchmaker.rules.flexmatch.rule_set import Rule, RuleSet
from matchmaker.rules.flexmatch.ticket_file import FlexMatchTicket

REGION = "region"
TWICE = "a ticket is in it twice"
Test = Callable[[Seated], bool]


@dataclass(frozen=True, slots=True)
class JudgedMatch:
    """A match to judge.

    Attributes:
        now: seconds, at which it was formed, on the clock of the tickets' start times.
        region: where it is played; None: nowhere in particular.
        seats: each ticket, and the number of its team among the copies of all teams.
    """

    now: float
    region: str | None
    seats: tuple[tuple[FlexMatchTicket, int], ...]


def judge(rules: RuleSet, match: JudgedMatch) -> str | None:
    """The first thing that is wrong with a match, or None; see `Judge`, which is made once for many."""
    return Judge(rules).broken(match)


class Judge:
    """Judges many matches of one rule set.

    Args:
        rules: the rule set.
        live: whether a match must have a region that all its players have measured.
    """

    def __init__(self, rules: RuleSet, live: bool = True) -> None:
        self._rules = rules
        self._live = live
        self._names = [(copy, team.name) for team in rules.teams for copy in team.copies]
        self._tests: dict[str, Callable[[Seated, dict[str, float]], bool]] = {}
        for rule in rules.rules:
            if not rule.type.endswith("Sort"):
                self._tests[rule.name] = self._test(rule)
        inside = {item for rule in rules.rules for item in rule.statement if isinstance(item, str)}
        self._alone = [rule for rule in rules.rules if rule.name in self._tests and rule.name not in inside]
        self._types = {attribute.name: attribute.type for attribute in rules.attributes}
        self._of_rule = {
            rule.name: [e for e in rules.expansions if e.kind == "rules" and e.name == rule.name]
            for rule in rules.rules
        }

    def broken(self, match: JudgedMatch) -> str | None:
        """The first thing that is wrong: ``team NAME`` (its size), ``region``, or a rule's name. None: it is
        right.
        """
        tickets = [ticket for ticket, _ in match.seats]
        if len({ticket.ticket_id for ticket in tickets}) < len(tickets):
            return TWICE
        age = self.age(match)
        seated = Seated([[] for _ in self._names], [name for _, name in self._names], match.region)
        for ticket, team in match.seats:
            seated.teams[team].append(ticket)
        if wrong := self._wrong_size(seated, age):
            return wrong
        measured = set.intersection(*(set(p.latency_ms) for ticket in tickets for p in ticket.players))
        if match.region is None:
            if self._live or measured:
                return REGION
        elif match.region not in measured:
            return REGION
        for rule in self._alone:
            if not self._holds(rule.name, seated, age):
                return rule.name
        return None

    def age(self, match: JudgedMatch) -> float:
        """Seconds by which limits have widened: those of the ticket that expansionAgeSelection chooses."""
        starts = [ticket.start_time for ticket, _ in match.seats]
        newest = self._rules.algorithm.expansion_age_selection == "newest"
        return match.now - (max(starts) if newest else min(starts))

    def _wrong_size(self, seated: Seated, age: float) -> str | None:
        bounds = {team.name: {"minPlayers": team.min_players, "maxPlayers": team.max_players} for team in
                  self._rules.teams}  # fmt: skip
        for expansion in self._rules.expansions:
            if expansion.kind == "teams":
                for wait, value in expansion.steps:
                    if age >= wait:
                        bounds[expansion.name][expansion.field] = int(value)
        for (copy, name), members in zip(self._names, seated.teams, strict=True):
            players = sum(len(ticket.players) for ticket in members)
            if not bounds[name]["minPlayers"] <= players <= bounds[name]["maxPlayers"]:
                return f"team {copy}"
        return None

    def _limits(self, rule: Rule, age: float) -> dict[str, float]:
        limits = dict(rule.limits)
        for expansion in self._of_rule[rule.name]:
            for wait, value in expansion.steps:
                if age >= wait:
                    limits[expansion.field] = value
        return limits

    def _holds(self, name: str, seated: Seated, age: float) -> bool:
        rule = next(rule for rule in self._rules.rules if rule.name == name)
        if rule.type == "compound":
            return self._compound(rule, seated, age)
        return self._tests[name](seated, self._limits(rule, age))

    def _compound(self, rule: Rule, seated: Seated, age: float) -> bool:
        stack: list[bool] = []
        for item in rule.statement:
            if isinstance(item, str):
                stack.append(self._holds(item, seated, age))
                continue
            operator, count = item
            arguments = [stack.pop() for _ in range(count)]
            if operator == "and":
                stack.append(all(arguments))
            elif operator == "or":
                stack.append(any(arguments))
            elif operator == "xor":
                stack.append(sum(arguments) == 1)
            else:
                stack.append(not arguments[0])
        return stack.pop()

    def _test(self, rule: Rule) -> Callable[[Seated, dict[str, float]], bool]:
        def holds(seated: Seated, limits: dict[str, float]) -> bool:
            if rule.type == "latency":
                return _latency(rule, limits, seated)
            if rule.type == "batchDistance":
                return _batch(rule, limits, seated)
            if rule.type == "collection":
                return _collection(rule, limits, seated)
            if rule.type == "comparison" and rule.reference is None and "referenceValue" not in limits:
                return _across(rule, seated)
            return _against(rule, limits, seated)

        return holds


def _latency(rule: Rule, limits: dict[str, float], seated: Seated) -> bool:
    region = seated.region
    if region is None:
        return False
    parties: list[tuple[float, int]] = []
    for ticket in chain.from_iterable(seated.teams):
        values = [player.latency_ms.get(region) for player in ticket.players]
        if None in values:
            return False
        parties.append((party_value([v for v in values if v is not None], rule), len(values)))
    if (most := limits.get("maxLatency")) is not None and not all(at_most(v, most) for v, _ in parties):
        return False
    if (apart := limits.get("maxDistance")) is None:
        return True
    if rule.distance_reference == "min":
        centre = min(v for v, _ in parties)
    else:
        centre = sum(v * n for v, n in parties) / sum(n for _, n in parties)
    return all(at_most(abs(v - centre), apart) for v, _ in parties)


def party_value(values: list[float], rule: Rule) -> float:
    """A party's one number."""
    if rule.party_aggregation == "min":
        return min(values)
    if rule.party_aggregation == "max":
        return max(values)
    return sum(values) / len(values)


def _batch(rule: Rule, limits: dict[str, float], seated: Seated) -> bool:
    tickets = list(chain.from_iterable(seated.teams))
    given = [[player.attributes[rule.attribute] for player in ticket.players] for ticket in tickets]
    if not isinstance(given[0][0], (int, float)):
        return len({str(value) for party in given for value in party}) == 1
    numbers = [party_value([float(str(value)) for value in party], rule) for party in given]
    return at_most(max(numbers) - min(numbers), limits["maxDistance"])


def _against(rule: Rule, limits: dict[str, float], seated: Seated) -> bool:
    """A distance or a comparison of each measured value to one reference."""
    measures = [Measure(m, rule.party_aggregation, seated) for m in rule.measurements]
    reference: float | str | None
    if isinstance(rule.reference, Expression):
        reference = value_of(Measure(rule.reference, rule.party_aggregation, seated))
    elif isinstance(rule.reference, tuple):
        reference = rule.reference[0]
    else:
        reference = limits["referenceValue"]
    values = list(chain.from_iterable(numbers_of(measure) for measure in measures))
    if reference is None:
        return not values
    if rule.type == "comparison":
        return all(compare(value, rule.operation, reference) for value in values)
    far = [abs(float(value) - float(reference)) for value in values]
    most, least = limits.get("maxDistance"), limits.get("minDistance")
    return (most is None or all(at_most(d, most) for d in far)) and (
        least is None or all(at_most(least, d) for d in far)
    )


def compare(value: float | str, operation: str, reference: float | str) -> bool:
    """A value against a reference, numbers with the one tolerance."""
    if isinstance(value, str) or isinstance(reference, str):
        return (value == reference) == (operation == "=")
    found: bool = {
        "=": lambda: same(value, reference),
        "!=": lambda: not same(value, reference),
        "<=": lambda: at_most(value, reference),
        ">=": lambda: at_most(reference, value),
        "<": lambda: not at_most(reference, value),
        ">": lambda: not at_most(value, reference),
    }[operation]()
    return found


def _across(rule: Rule, seated: Seated) -> bool:
    """All values equal, or all different; numbers are one a party, and a party's strings may be alike."""
    for measurement in rule.measurements:
        measure = Measure(measurement, rule.party_aggregation, seated)
        owned = list(measure.owned())
        for index, (owner, value) in enumerate(owned):
            for other, another in owned[:index]:
                together = owner is not None and owner == other
                if together and (rule.operation == "!=" or not isinstance(value, str)):
                    continue
                equal = value == another if isinstance(value, str) else same(float(value), float(another))
                if equal != (rule.operation == "="):
                    return False
    return True


def _collection(rule: Rule, limits: dict[str, float], seated: Seated) -> bool:
    groups = [
        group
        for measurement in rule.measurements
        for group in groups_by_ticket(Measure(measurement, rule.party_aggregation, seated))
    ]
    every = list(chain.from_iterable(groups))
    if rule.operation == "intersection":
        return _counted(len(set.intersection(*every)) if every else 0, limits)
    if rule.operation == "contains":
        if isinstance(rule.reference, Expression):
            sought = str(value_of(Measure(rule.reference, rule.party_aggregation, seated)))
        else:
            sought = (rule.reference or ("",))[0]
        return all(_counted(sum(sought in each for each in group), limits) for group in groups)
    listed: Iterable[str]
    if isinstance(rule.reference, Expression):
        ids = groups_by_ticket(Measure(rule.reference, rule.party_aggregation, seated))
        listed = chain.from_iterable(chain.from_iterable(ids))
    else:
        listed = rule.reference or ()
    known = set(listed)
    return all(_counted(len(collection & known), limits) for collection in every)


def _counted(count: int, limits: dict[str, float]) -> bool:
    return limits.get("minCount", 0) <= count <= limits.get("maxCount", float("inf"))
