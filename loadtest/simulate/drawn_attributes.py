"""What simulated players bring to the rules of a mode, drawn as its scenario says."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from loadtest.scenario.attributes import AttributeDraw
from matchmaker.rules.flexmatch.rule_set import Default, RuleSet

RATING = "skill"  # the number that the meta service keeps


class DrawnAttributes:
    """The attributes of the players of one mode. A player brings the same to each match.

    Args:
        rule_set: the mode's.
        draws: how each attribute is drawn; those without one have the rule set's default.
        seed: the scenario's, and the mode's number: each player's draws are a stream of their own.
    """

    def __init__(self, rule_set: RuleSet, draws: Mapping[str, AttributeDraw], seed: tuple[int, int]) -> None:
        self._defaults: dict[str, Default] = {each.name: each.default for each in rule_set.attributes}
        rated = {each.name for each in rule_set.attributes if each.type == "number"}
        self._rated = RATING in rated and RATING not in draws
        self._draws = dict(draws)
        self._seed = seed

    def of(self, ticket: int, member: int, skill: float) -> dict[str, Default]:
        """Return what a player brings: a member of a ticket, of a rating."""
        found = dict(self._defaults)
        if self._draws:
            rng = np.random.Generator(
                np.random.Philox(key=(self._seed[0] << 16) + self._seed[1], counter=[0, 0, ticket, member])
            )
            for name, draw in self._draws.items():
                found[name] = draw.draw(rng)
        if self._rated:
            found[RATING] = skill
        return found


def mistakes(rule_set: RuleSet, draws: Mapping[str, AttributeDraw], used: frozenset[str]) -> list[str]:
    """Return what is wrong with how a mode's attributes are drawn, a line each."""
    declared = {each.name: each for each in rule_set.attributes}
    found = [f"{name} is not among the rule set's attributes" for name in draws if name not in declared]
    found += [
        f"{name} is a {declared[name].type}, and {draw.kind} is drawn"
        for name, draw in draws.items()
        if name in declared and draw.kind != declared[name].type
    ]
    found += [
        f"{name} is missing: the rule set has no default for it"
        for name in sorted(used)
        if name not in draws
        and declared[name].default is None
        and not (name == RATING and declared[name].type == "number")
    ]
    return found
