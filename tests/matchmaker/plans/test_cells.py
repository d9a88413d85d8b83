"""From where seats are filled: sorted as a naive sort does it."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from matchmaker.plans.compile import compile_plan
from matchmaker.plans.greedy.cells import radix_order, sortable
from matchmaker.plans.greedy.desk import Desk
from matchmaker.plans.layout import NONE
from tests.matchmaker.plans.at_random import REGIONS, random_match, random_rule_set
from tests.matchmaker.plans.desks import lay

pytestmark = pytest.mark.timeout(300)  # where the kernels have not been compiled yet, they are


@pytest.mark.parametrize("seed", range(6))
def test_numbers_as_bits_sort_like_the_numbers(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.choice([rng.normal(0, 10.0**seed, 500), rng.integers(-3, 4, 500).astype(np.float64)])
    values[rng.integers(0, 500, 20)] = rng.choice([np.inf, -np.inf, 0.0, 1e-310, -1e-310, 1e308], 20)
    assert np.array_equal(radix_order(sortable(values)), np.argsort(values, kind="stable"))


@pytest.mark.parametrize("bits", [1, 11, 12, 33, 64])
def test_equal_keys_stay_in_the_order_in_which_they_came(bits: int) -> None:
    rng = np.random.default_rng(bits)
    keys = (
        rng.integers(0, 1 << bits, 3_000, np.uint64, endpoint=False)
        if bits < 64
        else rng.integers(0, 2**64 - 1, 3_000, np.uint64)
    )
    keys = np.concatenate((keys, keys[::3]))
    assert np.array_equal(radix_order(keys), np.argsort(keys, kind="stable"))


def test_no_key_and_one_key_are_sorted() -> None:
    assert len(radix_order(np.zeros(0, np.uint64))) == 0
    assert radix_order(np.full(1, 7, np.uint64)).tolist() == [0]


@pytest.mark.parametrize(("at_home", "aged"), [(False, False), (False, True), (True, False), (True, True)])
def test_every_list_holds_in_order_who_may_fill_its_seats(at_home: bool, aged: bool) -> None:
    held = 0
    for seed in range(40):
        rng = Random(seed)
        compiled = compile_plan(random_rule_set(rng), live=True)
        tickets = [each for _ in range(6) for each in random_match(rng, compiled.rule_set)[0]]
        laid = lay(compiled, tickets, REGIONS, 0.0, at_home=at_home, aged=aged)
        desk, lists = laid.desk, laid.desk.lists
        for name in range(len(desk.plan.lists)):
            expected = naive_list(desk, laid.by_age.tolist(), name, at_home, aged)
            for rows in expected.values():
                cell = int(lists.cell[rows[0]])
                begin, end = int(lists.begin[name, cell]), int(lists.end[name, cell])
                assert lists.ticket[begin:end].tolist() == rows, seed
                assert lists.place[name, rows].tolist() == list(range(begin, end))
                assert lists.waiting[name, cell] == desk.tickets.size[rows].sum()
                held += len(rows)
            inside = {row for rows in expected.values() for row in rows}
            outside = [row for row in range(len(tickets)) if row not in inside]
            assert (lists.place[name, outside] == NONE).all()
    assert held > 300  # else the test would say little


def naive_list(
    desk: Desk, by_age: list[int], name: int, at_home: bool, aged: bool
) -> dict[tuple[int, int], list[int]]:
    """Rows of each cell (bucket and home) of a list, in order."""
    plan, columns, row_of = desk.plan, desk.tickets, desk.plan.lists[name]
    cells: dict[tuple[int, int], list[int]] = {}
    for row in by_age:
        own = int(desk.level[row])
        levels = range(own + 1) if plan.newest else range(own, len(plan.wait_s))
        fits = any(
            int(columns.eligible[row, level]) & int(row_of["teams"]) and int(columns.mask[row, 0, level])
            for level in levels
        )
        if row_of["role"] != NONE:
            fits = fits and columns.value[row, plan.atoms["column"][row_of["role"]]] > 0
        bucket, home = int(columns.bucket[row]), int(columns.home[row]) if at_home else 0
        if fits and bucket >= 0 and home >= 0:
            cells.setdefault((bucket, home), []).append(row)
    if row_of["axis"] != NONE and (not aged or row_of["role"] != NONE):
        for rows in cells.values():
            rows.sort(key=lambda row: float(columns.value[row, row_of["axis"]]))  # stable: age decides
    return cells
