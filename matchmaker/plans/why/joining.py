"""Which rules are tested as a ticket joins a match, and which only when it is complete."""

from __future__ import annotations

from collections.abc import Sequence

from matchmaker.rules.flexmatch.expressions import NUMERIC, Expression
from matchmaker.rules.flexmatch.program import NONE, Program
from matchmaker.rules.flexmatch.rule_set import Rule
from matchmaker.rules.flexmatch.ticket_file import FlexMatchTicket

GROWING = ("count", "sum")


def as_joining(program: Program, ordered: Sequence[Rule], means: bool) -> Program:
    """The rules as they are tested when a ticket joins: none that a growing match may still come to hold.

    ``means``: rules that read means are tested too, as the guide does.
    """
    rules = program.rules.copy()
    named = {rule.name: rule for rule in ordered}
    for index, rule in enumerate(ordered):
        if grows(rule, named) or (not means and reads_means(rule, named)):
            rules[index]["enforced"] = False
        elif rule.type == "collection":
            if rule.operation == "contains" or (
                rule.operation == "reference_intersection_count" and isinstance(rule.reference, Expression)
            ):
                rules[index]["second"] = NONE
            if rule.operation == "intersection":
                rules[index]["first"] = NONE
    return program._replace(rules=rules)


def grows(rule: Rule, named: dict[str, Rule]) -> bool:
    """Whether more players may mend the rule, so that only a match that is complete can break it."""
    if rule.type == "compound":
        return any(_lacks(named[item]) for item in rule.statement if isinstance(item, str))
    return rule.type in ("distance", "comparison") and _lacks(rule)


def reads_means(rule: Rule, named: dict[str, Rule]) -> bool:
    """Whether a rule reads a mean, a least or a largest value, which comes and goes as a match fills."""
    if rule.type == "compound":
        return any(reads_means(named[item], named) for item in rule.statement if isinstance(item, str))
    return rule.type in ("distance", "comparison") and any(
        set(each.calls) & set(NUMERIC) for each in _expressions(rule)
    )


def brings(ticket: FlexMatchTicket, rule: Rule) -> bool:
    """Whether a ticket has what a rule asks for a number of."""
    wanted = rule.reference[0] if isinstance(rule.reference, tuple) and rule.reference else None
    held = [
        player.attributes.get(each.attribute)
        for player in ticket.players
        for each in rule.measurements
        if each.attribute is not None
    ]
    return any(wanted in (own if isinstance(own, tuple) else (own,)) for own in held)


def _lacks(rule: Rule) -> bool:
    """Whether a rule asks for a number of something that a match may still lack, or for sizes that change."""
    if rule.type == "collection":
        of_each = rule.operation == "intersection" or (
            rule.operation == "reference_intersection_count" and isinstance(rule.reference, tuple)
        )
        return rule.limit("minCount") is not None and not of_each
    counted = any(set(each.calls) & set(GROWING) for each in _expressions(rule))
    return counted and not (rule.operation in ("<", "<=") and not isinstance(rule.reference, Expression))


def _expressions(rule: Rule) -> list[Expression]:
    reference = rule.reference
    return [*rule.measurements, *([reference] if isinstance(reference, Expression) else [])]
