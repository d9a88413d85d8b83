"""What a rule set became: the plan in words, for its author."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

from matchmaker.plans.compile import CompiledPlan, levels_of, numbers_at
from matchmaker.plans.drafting.forms import column_names, names_of
from matchmaker.plans.layout import (
    BACKWARD,
    DEFERRABLE,
    FARTHEST,
    FINAL,
    FORWARD,
    GENERIC,
    JOIN,
    NEAREST,
    NONE,
    Plan,
    Records,
)
from matchmaker.rules.flexmatch.document import DocumentError
from matchmaker.rules.flexmatch.rule_set import Rule
from matchmaker.rules.rules import rules_of

ANY_LATENCY_MS: Final = 1e9  # which limit the matchmaker itself sets says nothing of a rule set
WALKS: Final = {
    NEAREST: "nearest first",
    FARTHEST: "farthest first",
    FORWARD: "least first",
    BACKWARD: "largest first",
}

TESTED: Final = {
    JOIN: "as each joins",
    DEFERRABLE: "as each joins, or at the end after swaps",
    FINAL: "at the end",
}

_FIRST: Final = {"latency": "maxLatency", "collection": "maxCount"}
_SECOND: Final = {"latency": "maxDistance", "collection": "minCount"}

Numbers = dict[str, tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class RuleLine:
    """A rule.

    Attributes:
        name, type: as in the rule set.
        became: what, in words: ``bucket``, ``eligibility``, ``mask``, or what is tested; of a compound rule a
            part each. Of a rule inside compound rules nothing.
        tested: when, in words; empty where it never is.
        slow: whether the evaluator is asked, at each ticket that joins.
        numbers: its limits, one a level.
    """

    name: str
    type: str
    became: tuple[str, ...]
    tested: str
    slow: bool
    numbers: Numbers


@dataclass(frozen=True, slots=True)
class TeamLine:
    """A team (or a copy of one that is told apart): players, one a level."""

    name: str
    copies: int
    fewest: tuple[int, ...]
    most: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ListLine:
    """A list from which seats are filled.

    Attributes:
        teams: whose seats.
        role: what its tickets have, of which a match needs some; empty: any ticket.
        sorted_by: an attribute, or ``age``.
        walk: in which order, in words.
        ends: how far from the first ticket the walk ends, a level; empty: it does not.
    """

    teams: tuple[str, ...]
    role: str
    sorted_by: str
    walk: str
    ends: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """A plan in words.

    Attributes:
        name: of the rule set.
        levels: seconds after which something changes, the first is 0.
        age: whose age decides: that of the ``newest`` or ``oldest`` ticket.
        rules, teams, lists: a line each; lists are empty where there is no plan.
        not_indexed: what no list can find.
        searched: why the rule set is searched depth first; empty: it is not.
        kernel: whether the kernel of the modes that ship takes it in a live queue.
        not_kernel: why not.
    """

    name: str
    levels: tuple[float, ...]
    age: str
    rules: tuple[RuleLine, ...]
    teams: tuple[TeamLine, ...]
    lists: tuple[ListLine, ...]
    not_indexed: tuple[str, ...]
    searched: tuple[str, ...]
    kernel: bool
    not_kernel: tuple[str, ...]

    def as_document(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)

    def rule_rows(self) -> list[tuple[str, str, str, str, str]]:
        """A table's rows: name, type, what it became, when it is tested, its numbers."""
        return [
            (each.name, each.type, "; ".join(each.became), each.tested, _words(each.numbers))
            for each in self.rules
        ]

    def list_rows(self) -> list[tuple[str, str, str, str, str]]:
        """A table's rows: teams, role, sorted by, walk, where it ends."""
        return [
            (", ".join(each.teams), each.role, each.sorted_by, each.walk, _steps(each.ends))
            for each in self.lists
        ]

    def lines(self) -> list[str]:
        """What the tables do not say, a sentence a line."""
        said = []
        if len(self.levels) > 1:
            waits = ", ".join(f"{wait_s:g}" for wait_s in self.levels[1:])
            said.append(f"changes after {waits} s, by the age of the match's {self.age} ticket")
        slow = [each.name for each in self.rules if each.slow]
        if slow:
            said.append(f"asked of the evaluator, which is slow: {', '.join(slow)}")
        said += [f"not indexed: {each}" for each in self.not_indexed]
        said += [f"searched depth first: it {each}" for each in self.searched]
        if self.kernel:
            said.append("a live queue of it is matched by the kernel of the modes that ship")
        return said


def explain(compiled: CompiledPlan) -> Explanation:
    """Say what a rule set became."""
    rule_set, plan, program = compiled.rule_set, compiled.plan, compiled.program
    ordered = [rule for rule in rule_set.rules if not rule.type.endswith("Sort")]
    levels = levels_of(program).tolist()
    kinds = [] if plan is None else list(dict.fromkeys(plan.kind.tolist()))
    refused = _refused(compiled)
    return Explanation(
        rule_set.name,
        tuple(levels),
        "newest" if program.newest else "oldest",
        tuple(_rule(compiled, place, rule) for place, rule in enumerate(ordered)),
        () if plan is None else tuple(_team(compiled, plan, kind) for kind in kinds),
        () if plan is None else tuple(_list(compiled, plan, row) for row in plan.lists),
        compiled.not_indexed,
        compiled.searched,
        not refused,
        refused,
    )


def _rule(compiled: CompiledPlan, place: int, rule: Rule) -> RuleLine:
    row, plan = compiled.program.rules[place], compiled.plan
    named = {
        _FIRST.get(rule.type, "maxDistance"): row["first"],
        _SECOND.get(rule.type, "minDistance"): row["second"],
    }
    if rule.limit("referenceValue") is not None:
        named["referenceValue"] = row["reference"]
    became = compiled.became[place]
    if plan is not None and not row["enforced"]:
        became = ("part of a compound rule",)
    return RuleLine(
        rule.name,
        rule.type,
        became,
        TESTED.get(compiled.stages[place], ""),
        plan is not None and place in _asked(plan),
        {name: _at_levels(compiled, int(index)) for name, index in named.items() if index != NONE},
    )


def _asked(plan: Plan) -> set[int]:
    """The rules of which the evaluator is asked, and the compound rules that they are part of."""
    asked = {place for place, atom in enumerate(plan.atoms) if atom["kind"] == GENERIC}
    found = {int(plan.atoms[place]["rule"]) for place in asked}
    for rule in plan.rules:
        if asked & set(plan.code["code"][rule["code_from"] : rule["code_to"]].tolist()):
            found.add(int(rule["rule"]))
    return found


def _team(compiled: CompiledPlan, plan: Plan, kind: int) -> TeamLine:
    copies = plan.kind == kind
    [name] = names_of(compiled.rule_set, compiled.program, 1 << kind)
    first = int(copies.argmax())
    fewest, most = (tuple(players[:, first].tolist()) for players in (plan.fewest, plan.most))
    return TeamLine(name, int(copies.sum()), fewest, most)


def _list(compiled: CompiledPlan, plan: Plan, row: Records) -> ListLine:
    names = column_names(compiled.rule_set, compiled.program)
    role = ""
    if row["role"] != NONE:
        role = compiled.values[plan.atoms[row["role"]]["column"]].text
    axis, walk = "age", "oldest first"
    if row["axis"] != NONE:
        axis, walk = names[compiled.values[row["axis"]].column], WALKS[int(row["walk"])]
    if row["target_column"] != NONE:
        others = ", ".join(names_of(compiled.rule_set, compiled.program, int(row["target_teams"])))
        walk += f" to the {names[compiled.values[row['target_column']].column]} of {others}"
    ends = () if row["window"] == NONE else tuple((row["reach"] * plan.number[:, row["window"]]).tolist())
    teams = names_of(compiled.rule_set, compiled.program, int(row["teams"]))
    return ListLine(tuple(teams), role, axis, walk, tuple(round(value, 6) for value in ends))


def _at_levels(compiled: CompiledPlan, index: int) -> tuple[float, ...]:
    return tuple(numbers_at(compiled.program, levels_of(compiled.program))[index].tolist())


def _refused(compiled: CompiledPlan) -> tuple[str, ...]:
    """Why the kernel of the modes that ship does not take a rule set; nothing where it does."""
    try:
        rules_of(compiled.rule_set, ANY_LATENCY_MS, 0.0)
    except DocumentError as refused:
        return tuple(f"{mistake.pointer}: {mistake.reason}" for mistake in refused.mistakes)
    return ()


def _steps(values: tuple[float, ...]) -> str:
    """Values a level, each once as long as it stays."""
    changed = [value for place, value in enumerate(values) if not place or value != values[place - 1]]
    return " → ".join(f"{value:g}" for value in changed)


def _words(numbers: Numbers) -> str:
    return ", ".join(f"{name} {_steps(values)}" for name, values in numbers.items())
