"""The match that is being built: what joins and leaves again, and in which regions it holds its rules."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from numpy.typing import NDArray

from matchmaker.plans.compile import CompiledPlan, compile_plan
from matchmaker.plans.greedy.desk import Desk
from matchmaker.plans.greedy.state import DEPTH, LEVEL
from matchmaker.plans.layout import BLOCK, COMPARE, DISTANCE, EACH, GENERIC, INTERSECT, LITERAL
from matchmaker.rules.flexmatch.ticket_file import FlexMatchTicket
from tests.matchmaker.plans.at_random import REGIONS, random_match, random_rule_set
from tests.matchmaker.plans.desks import CLEAR, GUARDS, SEAT, UNSEAT, Step, lay, run
from tests.matchmaker.plans.desks import REGIONS as ASK
from tests.matchmaker.plans.naive import NaiveMatch, NaivePlan

pytestmark = pytest.mark.timeout(300)  # where the kernels have not been compiled yet, they are

NOW = 0.0
STATE = ("players", "least", "most", "total", "mask", "shared", "place", "here", "seated")


def drawn(seed: int) -> tuple[CompiledPlan, list[FlexMatchTicket], list[int]]:
    rng = Random(seed)
    compiled = compile_plan(random_rule_set(rng), live=True)
    tickets, copies = random_match(rng, compiled.rule_set)
    return compiled, tickets, copies


def snapshot(desk: Desk) -> dict[str, NDArray[np.generic]]:
    state = {name: getattr(desk.draft, name).copy() for name in STATE}
    depth = int(desk.draft.at[DEPTH])
    state["at"] = desk.draft.at[: LEVEL + 1 if depth else 1].copy()
    state["ticket"], state["team"] = desk.draft.ticket[:depth].copy(), desk.draft.team[:depth].copy()
    return state


def assert_same(one: dict[str, NDArray[np.generic]], other: dict[str, NDArray[np.generic]]) -> None:
    for name, array in one.items():
        assert np.array_equal(array, other[name]), name


def test_whoever_leaves_leaves_all_as_it_was() -> None:
    for seed in range(60):
        compiled, tickets, copies = drawn(seed)
        desk = lay(compiled, tickets, REGIONS, NOW).desk
        rng = Random(seed)
        before = [snapshot(desk)]
        for _ in range(40):
            depth = len(before) - 1
            if depth < len(tickets) and (depth == 0 or rng.random() < 0.6):
                free = [row for row in range(len(tickets)) if not desk.draft.seated[row]]
                row = rng.choice(free)
                run(desk, [(SEAT, row, copies[row])])
                before.append(snapshot(desk))
            elif depth:
                run(desk, [(UNSEAT, 0, 0)])
                before.pop()
                assert_same(before[-1], snapshot(desk))
        run(desk, [(CLEAR, 0, 0)])
        assert_same(before[0], snapshot(desk))


def test_the_sums_of_a_match_are_those_of_its_tickets() -> None:
    for seed in range(60):
        compiled, tickets, copies = drawn(seed)
        desk = lay(compiled, tickets, REGIONS, NOW).desk
        run(desk, [(SEAT, row, copy) for row, copy in enumerate(copies)])
        columns, draft = desk.tickets, desk.draft
        weight = np.where(desk.plan.once, 1, columns.size[:, None])
        for copy in range(len(desk.plan.kind) + 1):
            own = np.array([at == copy or copy == len(desk.plan.kind) for at in copies], np.bool_)
            assert draft.players[copy] == columns.size[own].sum()
            assert np.allclose(draft.total[copy], (columns.value * weight)[own].sum(axis=0))
            assert np.array_equal(draft.least[copy], columns.value[own].min(axis=0, initial=np.inf))
            assert np.array_equal(draft.most[copy], columns.value[own].max(axis=0, initial=-np.inf))


def test_a_match_is_left_the_regions_in_which_it_holds_the_plan() -> None:
    right = wrong = 0
    for seed in range(300):
        compiled, tickets, copies = drawn(seed)
        if not tickets:
            continue
        desk = lay(compiled, tickets, REGIONS, NOW).desk
        level = int(desk.level.min() if desk.plan.newest else desk.level.max())
        asked = regions_by_kernel(desk, copies, level)
        naive = NaivePlan(compiled, desk.tickets, _never)
        if desk.plan.generic or not sizes_fit(desk, copies, level):
            continue
        expected = sum(
            1 << region
            for region in range(len(REGIONS))
            if naive.holds(NaiveMatch(range(len(tickets)), copies, NOW, region))
        )
        assert asked == expected, (seed, compiled.became)
        right, wrong = right + (expected > 0), wrong + (expected == 0)
    assert right > 40  # else the test would say little
    assert wrong > 40


def regions_by_kernel(desk: Desk, copies: list[int], level: int) -> int:
    """Those of the complete match; 0 where a list of strings or a bucket keeps somebody out."""
    steps: list[Step] = []
    for row, copy in enumerate(copies):
        steps += [(GUARDS, row, level), (SEAT, row, copy)]
    *joined, regions = run(desk, [*steps, (ASK, 1, 0)])
    buckets = set(desk.tickets.bucket.tolist())
    return regions if all(joined[::2]) and len(buckets) == 1 and min(buckets) >= 0 else 0


def sizes_fit(desk: Desk, copies: list[int], level: int) -> bool:
    players = np.bincount(copies, desk.tickets.size, len(desk.plan.kind))
    fewest, most = desk.plan.fewest[level], desk.plan.most[level]
    return bool(((players >= fewest) & (players <= most)).all())


def _never(rule: int, match: NaiveMatch) -> bool:
    raise AssertionError(f"rule {rule} has no atom")


def test_a_match_that_holds_could_be_put_together_ticket_by_ticket() -> None:
    tried = 0
    for seed in range(300):
        compiled, tickets, copies = drawn(seed)
        if not tickets:
            continue
        tickets = [FlexMatchTicket(each.ticket_id, NOW, each.players) for each in tickets]
        desk = lay(compiled, tickets, REGIONS, NOW).desk
        if not sizes_fit(desk, copies, 0) or not grows_ticket_by_ticket(desk):
            continue
        regions = regions_by_kernel(desk, copies, 0)
        run(desk, [(CLEAR, 0, 0)])
        if not regions:
            continue
        tried += 1
        steps: list[Step] = []
        for row, copy in enumerate(copies):
            steps += [(GUARDS, row, 0), (SEAT, row, copy), (ASK, 0, 1)]
        answers = run(desk, steps)
        assert all(answers[::3]), (seed, compiled.became)
        assert all(regions & ~answer == 0 for answer in answers[2::3]), (seed, compiled.became)
    assert tried > 40


def grows_ticket_by_ticket(desk: Desk) -> bool:
    """Whether nobody who joins can mend what is broken: all but means, and what the evaluator answers."""
    atoms = desk.plan.atoms
    of_players = (atoms["shape"] == EACH) & (atoms["reference_shape"] == LITERAL)
    return bool(
        ((atoms["kind"] != GENERIC) & (~np.isin(atoms["kind"], (COMPARE, DISTANCE)) | of_players)).all()
    )


def test_random_rule_sets_have_guards_and_rules_that_the_evaluator_answers() -> None:
    plans = [compile_plan(random_rule_set(Random(seed)), live=True).plan for seed in range(300)]
    kinds = {kind for plan in plans if plan is not None for kind in plan.atoms["kind"].tolist()}
    assert {INTERSECT, BLOCK} <= kinds
    assert any(plan is not None and plan.generic for plan in plans)
