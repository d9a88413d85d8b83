"""The forty rule sets, and what the players of each bring."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from loadtest.errors import BenchError
from matchmaker.rules.flexmatch.reading import read_rule_set
from matchmaker.rules.flexmatch.rule_set import RuleSet

FOLDER = Path(__file__).parent
REGIONS = 5
LARGEST_PARTY = 5


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """A rule set of the catalogue.

    Attributes:
        name: the name of its file.
        form: what it is an example of.
        rules: the rule set itself.
        regions: how many regions its players measure.
        largest_party: the most players of a ticket.
        attributes: how each attribute is drawn, by name; see `pools`.
    """

    name: str
    form: str
    rules: RuleSet
    regions: int
    largest_party: int
    attributes: dict[str, dict[str, Any]]


@cache
def catalogue() -> dict[str, CatalogueEntry]:
    """All of them by name, the cheap forms first."""
    drawn = json.loads((FOLDER / "pools.json").read_text())
    found = {}
    for name, given in drawn.items():
        rules = read_rule_set((FOLDER / "documents" / f"{name}.json").read_text())
        found[name] = CatalogueEntry(
            name,
            given["form"],
            rules,
            given.get("regions", REGIONS),
            given.get("parties", min(LARGEST_PARTY, *(team.max_players for team in rules.teams))),
            given.get("attributes", {}),
        )
    return found


def chosen(name: str | None) -> list[CatalogueEntry]:
    """One of them, or all where ``name`` is None. Raises BenchError where there is none of that name."""
    found = catalogue()
    if name is None:
        return list(found.values())
    if name not in found:
        raise BenchError(f"there is no rule set {name}; there are {', '.join(found)}")
    return [found[name]]
