"""A search that takes longer than the lease keeps the office, and goes on where it stopped."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import numpy as np
import pytest

from launchday.clock import ManualClock
from launchday.settings import Settings
from matchmaker.errors import LeaseLostError
from matchmaker.matching import rule_set_matcher
from matchmaker.matching.matcher import KernelMatcher, MatchingResult
from matchmaker.matching.pool import Pool
from matchmaker.matching.rule_set_matcher import MIN_SHARE, RuleSetMatcher, SearchPlace
from matchmaker.queue.queue import Queue
from matchmaker.rules.flexmatch.search import SearchBudget
from tests.matchmaker.conftest import MakeDirector
from tests.matchmaker.matching.test_rule_set_matcher import fill, searched
from tests.waiting import until


async def test_the_lease_is_renewed_beside_a_search_that_outlasts_it(
    make_director: MakeDirector, mm_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    director = make_director(mm_settings.model_copy(update={"director_lease_s": 0.3}))
    match, searching, renewed = KernelMatcher.match, asyncio.Event(), 0
    renew = Queue.renew_lease

    async def count(queue: Queue) -> None:
        nonlocal renewed
        await renew(queue)
        renewed += 1

    async def long_search(matcher: KernelMatcher, pool: Pool, *rest: Any) -> MatchingResult:
        searching.set()
        await until(lambda: renewed >= 6)  # two leases
        return await match(matcher, pool, *rest)

    monkeypatch.setattr(Queue, "renew_lease", count)
    monkeypatch.setattr(KernelMatcher, "match", long_search)
    fence = await director._lease.acquire()
    assert fence is not None
    loop = director.match_loop(fence)
    serving = asyncio.create_task(loop.serve(0.01))
    await searching.wait()
    assert await director._lease.acquire() is None
    await until(lambda: renewed >= 8)
    assert not serving.done()
    await director._lease.release(fence)
    with pytest.RaisesGroup(LeaseLostError):
        await serving


async def test_a_search_goes_on_where_it_stopped_in_the_next_tenure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rule_set_matcher, "BUDGET", SearchBudget(per_ticket=100, per_cycle=60))
    place, pool = SearchPlace(), Pool(1)
    attributes = [json.dumps({"mode": {"S": f"m{n}"}}) for n in range(30)]
    rules = searched(1)
    fill(pool, RuleSetMatcher(rules, ["eu"], ManualClock()), range(1, 31), attributes)
    stops = []
    for _tenure in range(3):
        matcher = RuleSetMatcher(rules, ["eu"], ManualClock(), place)
        matcher.add_tickets(np.flatnonzero(pool.state), attributes)
        await matcher.match(pool, 100.0, 0)
        assert place.ticket is not None
        stops.append(int(place.ticket[1]))
    assert stops[0] < stops[1] < stops[2]


def test_a_search_that_took_long_looks_at_less_next_time() -> None:
    place = SearchPlace()
    matcher = RuleSetMatcher(searched(1), ["eu"], ManualClock(), place)
    matcher._follow(4.0)
    assert place.share == 0.25
    matcher._follow(0.8)
    assert place.share == 0.25
    for _ in range(9):
        matcher._follow(0.1)
    assert place.share == 1.0
    for _ in range(9):
        matcher._follow(1e6)
    assert place.share == MIN_SHARE
