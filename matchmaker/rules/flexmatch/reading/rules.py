"""Reads the rules of a rule set, a type at a time."""

from __future__ import annotations

from collections.abc import Mapping

from matchmaker.rules.flexmatch.document import Value
from matchmaker.rules.flexmatch.expressions import (
    Expression,
    ExpressionError,
    meant_as_expression,
    parse_expression,
)
from matchmaker.rules.flexmatch.reading.statements import StatementError, parse_statement
from matchmaker.rules.flexmatch.rule_set import PartyAggregation, Rule

COMPARISONS = ("<", "<=", "=", "!=", ">", ">=")
COLLECTIONS = ("intersection", "contains", "reference_intersection_count")
COMMON = ("name", "type", "description")
FIELDS = {
    "distance": ("measurements", "referenceValue", "maxDistance", "minDistance", "partyAggregation"),
    "comparison": ("measurements", "referenceValue", "operation", "partyAggregation"),
    "collection": ("measurements", "referenceValue", "operation", "minCount", "maxCount", "partyAggregation"),
    "compound": ("statement",),
    "latency": ("maxLatency", "maxDistance", "distanceReference", "partyAggregation"),
    "batchDistance": ("batchAttribute", "maxDistance", "partyAggregation"),
    "distanceSort": ("sortDirection", "sortAttribute", "mapKey", "partyAggregation"),
    "absoluteSort": ("sortDirection", "sortAttribute", "mapKey", "partyAggregation"),
}
REQUIRED = {
    "distance": ("measurements", "referenceValue"),
    "comparison": ("measurements", "operation"),
    "collection": ("measurements", "operation"),
    "compound": ("statement",),
    "latency": (),
    "batchDistance": ("batchAttribute",),
    "distanceSort": ("sortDirection", "sortAttribute"),
    "absoluteSort": ("sortDirection", "sortAttribute"),
}

Types = Mapping[str, str]


def read_rules(array: Value | None, types: Types, teams: Mapping[str, int]) -> tuple[Rule, ...]:
    """Read all rules, noting mistakes. ``types``: attribute types by name; ``teams``: quantities by name."""
    reader = _Reader(types, teams)
    for item in array.items() if array else ():
        reader.read(item)
    return tuple(reader.rules.values())


class _Reader:
    def __init__(self, types: Types, teams: Mapping[str, int]) -> None:
        self.rules: dict[str, Rule] = {}
        self.types = types
        self.teams = teams

    def read(self, item: Value) -> None:
        if not item.as_object(None, ("name", "type")):
            return
        name, kind = item.child("name").as_text(empty=True), item.child("type").as_choice(tuple(FIELDS))
        if name in self.rules:
            item.child("name").add_mistake(f"{name} is declared twice")
        if kind is None or not item.as_object(COMMON + FIELDS[kind], REQUIRED[kind]) or name is None:
            return
        read = {
            "distance": self._distance,
            "comparison": self._comparison,
            "collection": self._collection,
            "compound": self._compound,
            "latency": self._latency,
            "batchDistance": self._batch_distance,
            "distanceSort": self._sort,
            "absoluteSort": self._sort,
        }[kind]
        self.rules[name] = read(item, name, kind)

    def _distance(self, item: Value, name: str, kind: str) -> Rule:
        limits = _limits(item, "maxDistance", "minDistance")
        if not limits:
            item.add_mistake("needs maxDistance or minDistance")
        reference = self._reference(item, limits, "number")
        return Rule(
            name,
            kind,
            self._measurements(item, "number"),
            reference,
            "",
            _frozen(limits),
            party_aggregation=_party(item),
        )

    def _comparison(self, item: Value, name: str, kind: str) -> Rule:
        operation = item.child("operation").as_choice(COMPARISONS) or "="
        measurements = self._measurements(item, None)
        elements = {measurement.element for measurement in measurements}
        if len(elements) > 1:
            item.child("measurements").add_mistake("must be all numbers or all strings")
        element = elements.pop() if len(elements) == 1 else "number"
        limits: dict[str, float] = {}
        reference = self._reference(item, limits, element) if item.get("referenceValue") else None
        if item.get("referenceValue") is None and operation not in ("=", "!="):
            item.child("operation").add_mistake(
                f"{operation} needs a referenceValue; without one only = and != compare"
            )
        if element == "string" and operation not in ("=", "!="):
            item.child("operation").add_mistake("strings compare by = and != alone")
        return Rule(
            name, kind, measurements, reference, operation, _frozen(limits), party_aggregation=_party(item)
        )

    def _collection(self, item: Value, name: str, kind: str) -> Rule:
        operation = item.child("operation").as_choice(COLLECTIONS) or "intersection"
        limits = _limits(item, "minCount", "maxCount", whole=True)
        if not limits:
            item.add_mistake("needs minCount or maxCount")
        measurements = self._measurements(item, "string")
        for measurement in measurements:
            if measurement.depth == 0:
                item.child("measurements").add_mistake(
                    f"{measurement.text} is a single value, not a collection"
                )
        reference: Expression | tuple[str, ...] | None = None
        given = item.get("referenceValue")
        if operation == "intersection":
            if given is not None:
                given.add_mistake("is not supported with the operation intersection")
        elif given is None:
            item.add_mistake(f"needs referenceValue: the operation is {operation}")
        else:
            reference = self._strings(given, operation)
        party = item.get("partyAggregation")
        union = (party.as_choice(("union", "intersection")) if party else None) or "union"
        return Rule(
            name, kind, measurements, reference, operation, _frozen(limits),
            party_aggregation="intersection" if union == "intersection" else "union",
        )  # fmt: skip

    def _strings(self, given: Value, operation: str) -> Expression | tuple[str, ...] | None:
        """What a collection is compared with: strings, or an expression that gives them."""
        depth = 1 if operation == "reference_intersection_count" else 0
        if not isinstance(given.raw, list):
            text = given.as_text(empty=True)
            return None if text is None else self._string_reference(given, text, depth)
        texts = given.as_texts()
        meant = [place for place, text in enumerate(texts or ()) if meant_as_expression(text)]
        if texts is not None and len(texts) == 1:
            return self._string_reference(given.child(0), texts[0], depth)
        for place in meant:
            given.child(place).add_mistake("an expression must stand alone, not among other strings")
        if depth == 0:
            given.add_mistake(f"must be a single string: the operation is {operation}")
        return texts

    def _compound(self, item: Value, name: str, kind: str) -> Rule:
        statement = item.child("statement")
        text = statement.as_text()
        if text is None:
            return Rule(name, kind)
        try:
            postfix = parse_statement(text, self.rules)
        except StatementError as error:
            statement.add_mistake(str(error))
            return Rule(name, kind)
        for part in dict.fromkeys(part for part in postfix if isinstance(part, str)):
            other = self.rules[part].type
            if other in ("batchDistance", "distanceSort", "absoluteSort", "compound"):
                statement.add_mistake(f"{part} is a {other} rule, which cannot be part of a compound rule")
        return Rule(name, kind, statement=postfix)

    def _latency(self, item: Value, name: str, kind: str) -> Rule:
        limits = _limits(item, "maxLatency", "maxDistance")
        if not limits:
            item.add_mistake("needs maxLatency or maxDistance")
        reference = item.get("distanceReference")
        if (reference is None) != (item.get("maxDistance") is None):
            item.add_mistake("maxDistance and distanceReference come together")
        chosen = reference.as_choice(("min", "avg")) if reference else None
        return Rule(
            name,
            kind,
            limits=_frozen(limits),
            distance_reference=chosen or "avg",
            party_aggregation=_party(item),
        )

    def _batch_distance(self, item: Value, name: str, kind: str) -> Rule:
        attribute = item.child("batchAttribute").as_text(empty=True) or ""
        found = self.types.get(attribute)
        if found not in ("number", "string"):
            item.child("batchAttribute").add_mistake("must name a player attribute of type number or string")
        if found == "number" and item.get("maxDistance") is None:
            item.add_mistake(f"needs maxDistance: {attribute} is a number")
        if found == "string" and item.get("maxDistance") is not None:
            item.child("maxDistance").add_mistake(f"{attribute} is a string, which has no distance")
        limits = _limits(item, "maxDistance")
        return Rule(name, kind, limits=_frozen(limits), attribute=attribute, party_aggregation=_party(item))

    def _sort(self, item: Value, name: str, kind: str) -> Rule:
        attribute = item.child("sortAttribute").as_text(empty=True) or ""
        direction = item.child("sortDirection").as_choice(("ascending", "descending"))
        map_key = item.get("mapKey")
        chosen = map_key.as_choice(("minValue", "maxValue")) if map_key else None
        found = self.types.get(attribute)
        if found is None:
            item.child("sortAttribute").add_mistake(
                "must name a player attribute that playerAttributes declare"
            )
        elif kind == "distanceSort" and found not in ("number", "string_number_map"):
            item.child("sortAttribute").add_mistake(
                "must name a player attribute of type number or string_number_map: others have no distance"
            )
        elif (found == "string_number_map") != (map_key is not None):
            (map_key or item).add_mistake(
                "mapKey belongs to a string_number_map, and such an attribute needs it"
            )
        return Rule(
            name, kind, attribute=attribute, descending=direction == "descending", map_key=chosen or "",
            party_aggregation=_party(item),
        )  # fmt: skip

    def _measurements(self, item: Value, element: str | None) -> tuple[Expression, ...]:
        array = item.child("measurements")
        if array.raw == []:
            array.add_mistake("needs a measurement")
        members = [array] if isinstance(array.raw, str) else list(array.items())
        found = [self._expression(member, element) for member in members]
        return tuple(expression for expression in found if expression is not None)

    def _expression(self, value: Value, element: str | None) -> Expression | None:
        text = value.as_text()
        if text is None:
            return None
        try:
            expression = parse_expression(text, self.teams, self.types)
        except ExpressionError as error:
            value.add_mistake(str(error))
            return None
        if element is not None and expression.element != element:
            value.add_mistake(f"must give {element}s, and gives {expression.element}s")
        return expression

    def _reference(
        self, item: Value, limits: dict[str, float], element: str
    ) -> Expression | tuple[str, ...] | None:
        """A single value: a literal number goes to the limits, the rest is returned."""
        given = item.child("referenceValue")
        if element == "string":
            text = given.as_text(empty=True)
            return None if text is None else self._string_reference(given, text, 0)
        if isinstance(given.raw, str) and meant_as_expression(given.raw):
            expression = self._expression(given, "number")
            if expression is not None and expression.depth != 0:
                given.add_mistake("must be a single value: aggregate it with min, max, avg, …")
            return expression
        number = given.as_number()
        if number is not None:
            limits["referenceValue"] = number
        return None

    def _string_reference(self, given: Value, text: str, depth: int) -> Expression | tuple[str, ...] | None:
        if not meant_as_expression(text):
            return (text,)
        expression = self._expression(given, "string")
        if expression is not None and expression.depth != depth:
            given.add_mistake("must be a single list of strings" if depth else "must be a single string")
        return expression


def _limits(item: Value, *names: str, whole: bool = False) -> dict[str, float]:
    limits: dict[str, float] = {}
    for name in names:
        if (member := item.get(name)) is not None:
            number = member.as_count() if whole else member.as_number(0)
            limits[name] = float(number or 0)
    return limits


def _frozen(limits: dict[str, float]) -> tuple[tuple[str, float], ...]:
    return tuple(limits.items())


def _party(item: Value) -> PartyAggregation:
    member = item.get("partyAggregation")
    chosen = member.as_choice(("min", "max", "avg")) if member else None
    return "min" if chosen == "min" else "max" if chosen == "max" else "avg"
