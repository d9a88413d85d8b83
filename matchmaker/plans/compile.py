"""Compiles a rule set to a plan; ``layout`` says what a plan is.

Each rule takes the cheapest form that holds it: part of a bucket, of eligibility, of a mask of regions, or
code over atoms, which the kernel tests. What is left is asked of the evaluator (GENERIC): right, but slow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from matchmaker.plans.drafting.draft import Draft
from matchmaker.plans.drafting.sources import balance_of, make_lists
from matchmaker.plans.drafting.statements import add_tests
from matchmaker.plans.layout import ATOM, CODE, GENERIC, LIST, MAX_KINDS, NONE, RULE, Plan
from matchmaker.plans.recipes import Alike, Eligibility, RoundTrip, Strings, Value
from matchmaker.rules.flexmatch.program import Program, compile_rules
from matchmaker.rules.flexmatch.rule_set import RuleSet
from matchmaker.rules.flexmatch.table import Columns

COUNTED: Final = ("holds", "players", "others")  # columns that COUNT reads: a ticket's own count
MAX_LEVELS: Final = 64  # each is a word of eligibility and of each mask a ticket


@dataclass(frozen=True, slots=True)
class CompiledPlan:
    """A rule set as a plan, and how the plan's columns are made of tickets.

    Attributes:
        rule_set: what was compiled.
        plan: None where no plan can express it; ``searched`` says why.
        program: the rule set's, over a table of no tickets; columns and numbers of the plan are its.
        strings: the number of each string that the rules name, with which all tables must begin
            (``columns.Interned`` does so).
        values: recipes of the columns of a ticket's numbers; those of round trips, one a region and member of
            ``latency_distances`` (aggregations), come after them.
        sets, masks, eligibility, alike: recipes of the set columns, the masks, eligibility and buckets.
        became: of each rule of the program in its order, what became of it in words; empty for those inside
            compound rules.
        stages: of each rule, the latest stage at which it is tested, or NONE.
        not_indexed: what the rule set asks for that no list can find.
        searched: why it is searched depth first; empty where there is a plan.
    """

    rule_set: RuleSet
    plan: Plan | None
    program: Program
    strings: dict[str, int]
    values: tuple[Value, ...]
    sets: tuple[Strings, ...]
    masks: tuple[tuple[RoundTrip, ...], ...]
    latency_distances: tuple[int, ...]
    eligibility: tuple[Eligibility, ...]
    alike: tuple[Alike, ...]
    became: tuple[tuple[str, ...], ...]
    stages: tuple[int, ...]
    not_indexed: tuple[str, ...]
    searched: tuple[str, ...]


def compile_plan(rule_set: RuleSet, live: bool = False) -> CompiledPlan:
    """Compile a rule set.

    Args:
        rule_set: as it was read.
        live: whether a match always has a region that all of its tickets have measured, as in a live queue.
    """
    strings: dict[str, int] = {}
    program = compile_rules(rule_set, Columns([], strings))
    wait_s = levels_of(program)
    draft = Draft(rule_set, program, wait_s, numbers_at(program, wait_s))
    searched = []
    if draft.kinds > MAX_KINDS:
        searched.append(f"has {draft.kinds} kinds of teams, and a plan at most {MAX_KINDS}")
    if len(wait_s) > MAX_LEVELS:
        searched.append(f"widens at {len(wait_s) - 1} times, and a plan at most at {MAX_LEVELS - 1}")
    plan = None
    if not searched:
        add_tests(draft)
        plan = _plan(draft, live)
    rules = range(len(program.rules))
    stages = {rule: max(p.stage for r, p in draft.pieces if r == rule) for rule, _ in draft.pieces}
    return CompiledPlan(
        rule_set,
        plan,
        program,
        strings,
        tuple(draft.values),
        tuple(draft.sets),
        tuple(tuple(mask) for mask in draft.masks),
        tuple(draft.latency_distances),
        tuple(draft.eligibility),
        tuple(dict.fromkeys(draft.alike)),
        tuple(tuple(draft.became.get(rule, ())) for rule in rules),
        tuple(stages.get(rule, NONE) for rule in rules),
        tuple(draft.not_indexed),
        tuple(searched),
    )


def levels_of(program: Program) -> NDArray[np.float64]:
    """float64[L], nought and all waits after which something widens, ascending."""
    return np.unique(np.concatenate((np.zeros(1), program.steps["wait_s"].astype(np.float64))))


def numbers_at(program: Program, wait_s: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Each number of the Program at each level."""
    rows = []
    for number in program.numbers:
        row = np.full(len(wait_s), number["base"])
        for step in program.steps[number["step_from"] : number["step_to"]]:
            row[wait_s >= step["wait_s"]] = step["value"]
        rows.append(row)
    return rows


def _plan(draft: Draft, live: bool) -> Plan:
    program, algorithm = draft.program, draft.rule_set.algorithm
    lists = make_lists(draft)
    balance = balance_of(draft)
    code: list[tuple[int, int]] = []
    rules = []
    for rule, piece in draft.pieces:
        rules.append((rule, piece.stage, len(code), len(code) + len(piece.code)))
        code += piece.code
    atoms = np.zeros(len(draft.atoms), ATOM)
    for place, atom in enumerate(draft.atoms):
        for name, value in atom.items():
            atoms[place][name] = value
    number = np.stack(draft.numbers, axis=1)
    fewest, most = (
        np.ascontiguousarray(number[:, program.teams[name]].astype(np.int32)) for name in ("fewest", "most")
    )
    return Plan(
        draft.wait_s,
        np.ascontiguousarray(number),
        np.ascontiguousarray(program.teams["kind"].astype(np.int32)),
        fewest,
        most,
        atoms,
        np.array(code, CODE),
        np.array(rules, RULE),
        np.array(lists, LIST),
        len(draft.values),
        len(draft.masks),
        len(draft.sets),
        np.array([value.kind in COUNTED for value in draft.values], np.bool_),
        len(draft.latency_distances),
        program.newest,
        balance,
        program.large,
        algorithm.batching_preference == "fastestRegion",
        program.by_region or live or program.large,
        program.backfill_rank,
        any(row.window != NONE for row in lists),
        bool((atoms["kind"] == GENERIC).any()),
    )
