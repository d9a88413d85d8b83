"""Walking a list of which tickets have left finds whom a naive walk finds."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from matchmaker.plans.compile import CompiledPlan
from matchmaker.rules.flexmatch.rule_set import Default
from matchmaker.rules.flexmatch.ticket_file import FlexMatchTicket, TicketPlayer
from tests.matchmaker.plans.desks import FIND, LAST, LEAVE, NEXT, lay, run
from tests.matchmaker.plans.written import ONE, compiled

pytestmark = pytest.mark.timeout(300)  # where the kernels have not been compiled yet, they are

COUNT = 60
NEAR = {"type": "batchDistance", "batchAttribute": "skill", "maxDistance": 5}


@pytest.fixture(scope="module")
def near() -> CompiledPlan:
    return compiled([NEAR], ONE)


def tickets_of_skill(skills: list[float]) -> list[FlexMatchTicket]:
    attributes: dict[str, Default] = {"mode": "a", "maps": (), "blocked": (), "likes": {}, "level": 1.0}
    return [
        FlexMatchTicket(
            f"t{place}", 0.0, (TicketPlayer(f"p{place}", None, {**attributes, "skill": skill}, {"eu": 9.0}),)
        )
        for place, skill in enumerate(skills)
    ]


@pytest.mark.parametrize("seed", range(20))
def test_who_has_left_is_stepped_over_on_both_ways(near: CompiledPlan, seed: int) -> None:
    rng = Random(seed)
    desk = lay(near, tickets_of_skill([float(rng.randint(0, 9)) for _ in range(COUNT)]), ["eu"], 0.0).desk
    lists = desk.lists
    begin, end = int(lists.begin[0, 0]), int(lists.end[0, 0])
    assert end - begin == COUNT
    for _ in range(150):
        if rng.random() < 0.3:
            there = np.flatnonzero(desk.there).tolist()
            if there:
                run(desk, [(LEAVE, rng.choice(there), 0)])
        left = [place for place in range(begin, end) if desk.there[lists.ticket[place]]]
        assert lists.waiting[0, 0] == len(left)
        place, until = rng.randint(begin, end), rng.randint(begin, end)
        [found] = run(desk, [(NEXT, min(place, until), until)])
        assert found == min((each for each in left if min(place, until) <= each < until), default=until)
        back, since = rng.randint(begin - 1, end - 1), rng.randint(begin, end - 1)
        if back < since - 1:
            continue
        [found] = run(desk, [(LAST, back, since)])
        assert found - 1 == max((each for each in left if since <= each <= back), default=since - 1)


def test_the_place_of_a_value_is_the_first_that_is_not_less(near: CompiledPlan) -> None:
    skills = [3.0, 1.0, 3.0, 8.0, 3.0, 5.0]
    desk = lay(near, tickets_of_skill(skills), ["eu"], 0.0).desk
    for value in (0.0, 1.0, 2.9, 3.0, 3.1, 8.0, 9.0):
        [found] = run(desk, [(FIND, 0, 0)], value)
        assert found == np.searchsorted(np.sort(skills), value)


def test_the_way_over_many_who_have_left_is_short_the_next_time(near: CompiledPlan) -> None:
    desk = lay(near, tickets_of_skill([float(each) for each in range(COUNT)]), ["eu"], 0.0).desk
    run(desk, [(LEAVE, row, 0) for row in range(COUNT - 1)])
    for _ in range(8):
        assert run(desk, [(NEXT, 0, COUNT)]) == [COUNT - 1]
    assert desk.lists.after[0] == COUNT - 1
