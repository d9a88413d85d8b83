"""A plan in the making: what its rules ask for, each thing once."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from matchmaker.plans.drafting.forms import Form, column_names, form_of, names_of
from matchmaker.plans.layout import ATOM, NONE
from matchmaker.plans.recipes import Alike, Eligibility, RoundTrip, Strings, Value
from matchmaker.rules.flexmatch.expressions import Expression
from matchmaker.rules.flexmatch.program import LOGIC, Program, Records
from matchmaker.rules.flexmatch.rule_set import Rule, RuleSet

Row = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Piece:
    """What is tested of a rule: postfix code over atoms, when, and in words."""

    code: tuple[tuple[int, int], ...]
    stage: int
    words: str

    @property
    def atoms(self) -> tuple[int, ...]:
        """The atoms that it reads."""
        return tuple(code for code, _ in self.code if code >= 0)


def join_pieces(pieces: list[Piece], operator: str = "and") -> Piece:
    """Put pieces together; one alone stays as it is, unless it is negated."""
    if len(pieces) == 1 and operator != "not":
        return pieces[0]
    code = tuple(each for piece in pieces for each in piece.code)
    words = f" {operator} ".join(piece.words for piece in pieces) if operator != "not" else pieces[0].words
    return Piece(
        (*code, (LOGIC[operator], len(pieces))),
        max(piece.stage for piece in pieces),
        f"not ({words})" if operator == "not" else f"({words})",
    )


@dataclass(slots=True)
class Draft:
    """What the rules of a rule set have asked for so far.

    Attributes:
        rule_set, program: over a table of no tickets.
        wait_s: float64[L].
        numbers: rows of L, the Program's first, then those that the plan adds.
        values, sets: recipes, by their columns.
        masks: of each, the limits that it holds; latency_distances: of each, the aggregation.
        eligibility, alike: of the rule set.
        atoms: ATOM rows as mappings.
        pieces: of each rule that is tested, in order of testing: its place in the Program, and what.
        became: of each rule of the Program, what became of it, in words.
        not_indexed: what the lists cannot find, in words.
    """

    rule_set: RuleSet
    program: Program
    wait_s: Row
    numbers: list[Row]
    values: list[Value] = field(default_factory=list)
    sets: list[Strings] = field(default_factory=list)
    masks: list[list[RoundTrip]] = field(default_factory=lambda: [[]])
    latency_distances: list[int] = field(default_factory=list)
    eligibility: list[Eligibility] = field(default_factory=list)
    alike: list[Alike] = field(default_factory=list)
    atoms: list[dict[str, int]] = field(default_factory=list)
    pieces: list[tuple[int, Piece]] = field(default_factory=list)
    became: dict[int, list[str]] = field(default_factory=dict)
    not_indexed: list[str] = field(default_factory=list)

    @property
    def rules(self) -> list[Rule]:
        """The rules in the Program's order."""
        return [rule for rule in self.rule_set.rules if not rule.type.endswith("Sort")]

    @property
    def types(self) -> dict[str, str]:
        """The type of each attribute."""
        return {attribute.name: attribute.type for attribute in self.rule_set.attributes}

    @property
    def attributes(self) -> dict[int, str]:
        """The attribute of each number column of the Program's table."""
        return column_names(self.rule_set, self.program)

    @property
    def all_teams(self) -> int:
        """Bits of all kinds."""
        return (1 << self.kinds) - 1

    @property
    def kinds(self) -> int:
        """How many kinds of teams there are."""
        return int(self.program.teams["kind"].max()) + 1

    def value(self, recipe: Value) -> int:
        """The column of a recipe."""
        if recipe not in self.values:
            self.values.append(recipe)
        return self.values.index(recipe)

    def strings(self, recipe: Strings) -> int:
        """The set column of a recipe."""
        if recipe not in self.sets:
            self.sets.append(recipe)
        return self.sets.index(recipe)

    def mask(self, limit: RoundTrip) -> int:
        """A mask of one limit, not the first."""
        self.masks.append([limit])
        return len(self.masks) - 1

    def add_number(self, row: Row) -> int:
        """A number that the plan adds, level by level."""
        for index in range(len(self.program.numbers), len(self.numbers)):
            if np.array_equal(self.numbers[index], row):
                return index
        self.numbers.append(row)
        return len(self.numbers) - 1

    def constant(self, value: float) -> int:
        """A number that is the same at every level."""
        return self.add_number(np.full(len(self.wait_s), value))

    def always(self, number: int, value: float) -> bool:
        """Whether a number is this at every level."""
        return number != NONE and bool((self.numbers[number] == value).all())

    def atom(self, **fields: int) -> int:
        """Add an atom; fields that are not named are NONE, the teams all."""
        row = dict.fromkeys(ATOM.names or (), NONE)
        row |= {"teams": self.all_teams, "reference_teams": self.all_teams}
        self.atoms.append(row | fields)
        return len(self.atoms) - 1

    def forms(self, index: int) -> list[Form | None]:
        """What a rule measures, expression by expression."""
        first = int(self.program.rules[index]["measure_from"])
        return [
            form_of(expression, first + place, self.program)
            for place, expression in enumerate(self.rules[index].measurements)
        ]

    def reference_form(self, index: int) -> Form | None:
        """What a rule's reference measures, None where it is no expression or has no shape."""
        reference = self.rules[index].reference
        if not isinstance(reference, Expression):
            return None
        return form_of(reference, int(self.program.rules[index]["reference"]), self.program)

    def capacity(self, teams: int) -> int:
        """The most players that teams of some kinds ever have together."""
        return sum(self.most(kind) * len(self._copies(kind)) for kind in self.kinds_in(teams))

    def most(self, kind: int) -> int:
        """The most players that a team of a kind ever has."""
        return max(int(self.numbers[copy["most"]].max()) for copy in self._copies(kind))

    def fewest(self, kind: int) -> int:
        """The fewest players that a team of a kind ever has."""
        return min(int(self.numbers[copy["fewest"]].min()) for copy in self._copies(kind))

    def may_be_empty(self, teams: int) -> bool:
        """Whether a team of some kinds may have no player in a match."""
        return any(self.fewest(kind) < 1 for kind in self.kinds_in(teams))

    def kinds_in(self, teams: int) -> list[int]:
        """The kinds whose bits are set."""
        return [kind for kind in range(self.kinds) if teams >> kind & 1]

    def names_of(self, teams: int) -> list[str]:
        """The names of the teams whose kinds' bits are set; of copies that are alike, the team's."""
        return names_of(self.rule_set, self.program, teams)

    def note(self, index: int, words: str) -> None:
        """Say what became of a rule, or of a part of it."""
        self.became.setdefault(index, []).append(words)

    def _copies(self, kind: int) -> Records:
        copies: Records = self.program.teams[self.program.teams["kind"] == kind]
        return copies
