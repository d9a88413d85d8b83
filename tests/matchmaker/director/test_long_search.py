"""A matching that takes longer than the lease keeps the office."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from launchday.settings import Settings
from matchmaker.errors import LeaseLostError
from matchmaker.matching.matcher import KernelMatcher, MatchingResult
from matchmaker.matching.pool import Pool
from matchmaker.queue.queue import Queue
from tests.matchmaker.conftest import MakeDirector
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
