from __future__ import annotations

import time
from uuid import uuid4

import httpx2
import numpy as np
import pytest
from redis.asyncio import Redis

from launchday.settings import Settings
from matchmaker.api.skills import MetaSkills, PlayerSkills
from matchmaker.api.ticket_writer import TicketWriter
from matchmaker.errors import SkillsRefusedError, SkillsUnavailableError
from matchmaker.queue.lease import Lease
from matchmaker.queue.queue import Queue
from matchmaker.queue.scripts import Scripts
from matchmaker.tickets.ticket import Ticket
from meta_service.client import MetaClient
from tests.matchmaker.conftest import StubSkills

MODE = "battle_royale"


def ticket(player_id: int, latency_ms: tuple[float, ...]) -> Ticket:
    now = time.time()
    return Ticket(uuid4(), player_id, now, now + 60, "pc", True, "", latency_ms)


async def test_tickets_written_for_other_regions_are_read_for_todays(
    cache: Redis, scripts: Scripts, skills: StubSkills, mm_settings: Settings
) -> None:
    lease = Lease(scripts, MODE, mm_settings.director_lease_s)
    fence = await lease.acquire()
    assert fence is not None
    await TicketWriter(scripts, skills, ["east-us", "west-europe"]).submit(MODE, ticket(1, (88.0, 12.0)))
    queue = Queue(cache, scripts, MODE, ["west-europe", "japan-east", "east-us"], lease, fence)
    [entry] = await queue.read_new()
    assert entry.records["player_id"].tolist() == [1]
    assert entry.records["latency_ms"].tolist() == [[12.0, np.inf, 88.0]]


async def test_an_unfinished_entry_is_read_again_until_it_is_forgotten(
    cache: Redis, scripts: Scripts, skills: StubSkills, mm_settings: Settings
) -> None:
    lease = Lease(scripts, MODE, mm_settings.director_lease_s)
    fence = await lease.acquire()
    assert fence is not None
    queue = Queue(cache, scripts, MODE, ["west-europe"], lease, fence)
    writer = TicketWriter(scripts, skills, ["west-europe"])
    for player_id in (1, 2):
        await writer.submit(MODE, ticket(player_id, (12.0,)))
    first, second = await queue.read_new()
    assert await queue.read_new() == []
    await queue.acknowledge([first.entry_id])
    assert [entry.entry_id for entry in await queue.read_unfinished()] == [second.entry_id]
    # Acknowledging and deleting are two commands: a director may end between them, or before both.
    await cache.xdel(b"{mm}:queue:" + MODE.encode(), second.entry_id)
    [deleted] = await queue.read_unfinished()
    assert (len(deleted.records), len(deleted.gone)) == (0, 0)


async def test_skills_come_from_the_meta_service() -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        assert request.url.path == "/v1/internal/skills"
        return httpx2.Response(200, json={"skills": {"7": {"mu": 31.5, "sigma": 2.5}}})

    async with MetaClient("http://meta", "token", transport=httpx2.MockTransport(answer)) as meta:
        assert await MetaSkills(meta).skills(MODE, [7]) == PlayerSkills({7: (31.5, 2.5)})


async def test_a_refusal_of_the_meta_service_leaves_skills_unavailable() -> None:
    def refuse(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(403, json={"type": "urn:launchday:forbidden", "detail": "no"})

    async with MetaClient("http://meta", "token", transport=httpx2.MockTransport(refuse)) as meta:
        with pytest.raises(SkillsUnavailableError, match="forbidden"):
            await MetaSkills(meta).skills(MODE, [7])


async def test_a_refusal_that_concerns_a_player_is_told_apart() -> None:
    def refuse(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(422, json={"type": "urn:launchday:invalid-request", "detail": "no"})

    async with MetaClient("http://meta", "token", transport=httpx2.MockTransport(refuse)) as meta:
        with pytest.raises(SkillsRefusedError, match="invalid-request"):
            await MetaSkills(meta).skills(MODE, [7, 8])
