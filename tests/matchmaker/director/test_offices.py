"""A director process is ready once each of its queues is served: by itself, after a cycle, or by another."""

from __future__ import annotations

import asyncio

import pytest

from launchday.clock import ManualClock
from launchday.resilience.health import FRESH_S, Health
from launchday.settings import Settings
from matchmaker.director.match_loop import MatchLoop
from matchmaker.director.offices import Offices
from tests.matchmaker.conftest import MakeDirector, running
from tests.waiting import until

MODE = "battle_royale"


async def test_a_director_that_is_not_in_office_yet_is_not_ready(
    make_director: MakeDirector, mm_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin, cycle = asyncio.Event(), MatchLoop.cycle

    async def late_cycle(loop: MatchLoop, placements: asyncio.TaskGroup) -> None:
        await begin.wait()  # as while its kernels are compiled
        await cycle(loop, placements)

    monkeypatch.setattr(MatchLoop, "cycle", late_cycle)
    offices, clock = Offices([MODE]), ManualClock()
    health = Health([offices.part()], clock)

    async def said() -> tuple[int, str]:
        clock.advance(FRESH_S)
        found = await health.readiness()
        return found.http_status, found.parts["offices"]

    assert await said() == (503, f"{MODE} is not begun")
    director = make_director(mm_settings)
    offices.add(MODE, director)
    assert await said() == (503, f"{MODE} has no leader")
    assert offices.details() == {"leads": []}
    async with running(director):
        await until(lambda: director.leads)
        assert await said() == (503, f"{MODE} has a leader before its first cycle")
        begin.set()
        await until(lambda: director.awaits is None)
        assert await said() == (200, "ok")
        assert offices.details() == {"leads": [MODE]}


async def test_a_director_that_stands_by_is_ready(make_director: MakeDirector, mm_settings: Settings) -> None:
    first, second = make_director(mm_settings), make_director(mm_settings)
    offices = Offices([MODE])
    offices.add(MODE, second)
    async with running(first):
        await until(lambda: first.leads)
        assert await offices.check() is not None
        async with running(second):
            await until(lambda: second.awaits is None)
            assert not second.leads
            assert await offices.check() is None


async def test_a_queue_that_nobody_can_lead_is_named_among_others(
    make_director: MakeDirector, mm_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    director, tried = make_director(mm_settings), asyncio.Event()

    async def refuse() -> bytes | None:
        tried.set()
        raise ConnectionError("the cache is loading")

    monkeypatch.setattr(director._lease, "acquire", refuse)
    offices = Offices([MODE, "duel"])
    offices.add(MODE, director)
    async with running(director):
        await tried.wait()
        assert await offices.check() == f"{MODE} has no leader, duel is not begun"
