"""What lies damaged in the cache is set aside and told; everything else goes on."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from redis.asyncio import Redis

from launchday.settings import Settings
from matchmaker.client import MatchmakerClient
from matchmaker.queue.entries import QueueEntry, read_entry
from matchmaker.queue.queue import Queue
from matchmaker.queue.scripts import KEYS
from matchmaker.tickets.ticket import RecordFormat
from tests.matchmaker.conftest import (
    WEST_EUROPE,
    KnowingFleet,
    MakeDirector,
    StubMeta,
    running,
    token_of,
)
from tests.waiting import until

MODE = "battle_royale"


async def test_an_entry_that_cannot_be_read_keeps_no_director_from_the_others(
    client: MatchmakerClient, cache: Redis, make_director: MakeDirector, mm_settings: Settings
) -> None:
    entries: list[dict[Any, Any]] = [
        {"tickets": b"too short", "regions": "west-europe,east-us"},
        {"gone": b"\xff\xfe"},
        {"tickets": bytes(RecordFormat(2).dtype.itemsize), "regions": "west-europe,east-us"},
        {"backdated": "", "since": b"1234"},
    ]
    for fields in entries:
        await cache.xadd(KEYS["queue"] + MODE, fields)
    tickets = {
        player: await client.with_token(token_of(player)).create_ticket(MODE, WEST_EUROPE)
        for player in range(1, 5)
    }
    async with running(make_director(mm_settings)):
        for player, ticket in tickets.items():
            end = await client.with_token(token_of(player)).wait_for_end(ticket.ticket_id, 50)
            assert end.state == "assigned"

        async def empty() -> bool:
            return bool(await cache.xlen(KEYS["queue"] + MODE) == 0)

        await until(empty)
    assert await cache.llen(KEYS["unreadable"] + MODE) == 3


def test_one_damaged_record_does_not_spoil_the_others_of_its_entry() -> None:
    records = np.zeros(3, RecordFormat(1).dtype)
    records["ticket_id"] = [[1, 1], [2, 2], [3, 3]]
    records["player_id"], records["party_size"], records["enqueued_at"] = 7, 1, 1.0
    records["enqueued_at"][1] = np.nan
    entry = read_entry(b"1-0", [b"tickets", records.tobytes(), b"regions", b"eu"], ["eu"])
    assert entry.records["ticket_id"].tolist() == [[1, 1], [3, 3]]
    assert entry.unreadable.tolist() == [[2, 2]]
    assert entry.fault == ""


async def test_the_player_of_a_damaged_ticket_is_told(
    client: MatchmakerClient,
    make_director: MakeDirector,
    mm_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read = Queue.read_new

    async def damaged(queue: Queue, questions: int = 0) -> list[QueueEntry]:
        entries = []
        for entry in await read(queue, questions):
            records = entry.records.copy()
            records["skill_mean"][records["player_id"] == 2] = np.inf
            flat = [b"tickets", records.tobytes(), b"regions", b"west-europe,east-us"]
            entries.append(
                read_entry(entry.entry_id, flat if len(records) else [], ["west-europe", "east-us"])
            )
        return entries

    monkeypatch.setattr(Queue, "read_new", damaged)
    players = {player: client.with_token(token_of(player)) for player in range(1, 6)}
    tickets = {p: (await own.create_ticket(MODE, WEST_EUROPE)).ticket_id for p, own in players.items()}
    async with running(make_director(mm_settings)):
        ends = {p: await own.wait_for_end(tickets[p], 50) for p, own in players.items()}
    assert (ends[2].state, ends[2].reason) == ("failed", "the ticket could not be read: make a new one")
    assert {ends[player].state for player in (1, 3, 4, 5)} == {"assigned"}


async def test_a_match_that_cannot_be_read_is_closed_and_its_players_search_again(
    client: MatchmakerClient,
    cache: Redis,
    make_director: MakeDirector,
    mm_settings: Settings,
    meta: StubMeta,
    knowing: KnowingFleet,
) -> None:
    players = {player: client.with_token(token_of(player)) for player in range(1, 5)}
    tickets = {p: (await own.create_ticket(MODE, WEST_EUROPE)).ticket_id for p, own in players.items()}
    before = make_director(mm_settings)
    fence = await before._lease.acquire()
    assert fence is not None
    await before.match_loop(fence)._queue.read_new()
    await before._lease.release(fence)
    match_id = "6f9619ff-8b86-4d11-b42d-00c04fc964ff"
    for ticket_id in tickets.values():
        await cache.hset(KEYS["ticket"] + ticket_id, "state", "proposed")
    listed = '","'.join(tickets.values())
    torn = f'{{"match_id":"{match_id}","ticket_ids":["{listed}"'
    await cache.hset(KEYS["proposals"] + MODE, match_id, torn)
    async with running(make_director(mm_settings)):
        ends = [await own.wait_for_end(tickets[p], 50) for p, own in players.items()]
        await until(lambda: knowing.ended == [match_id])
    assert {end.state for end in ends} == {"assigned"}
    assert meta.closed == [(match_id, True)]
    assert await cache.hlen(KEYS["proposals"] + MODE) == 0


async def test_a_fault_of_ours_in_one_queue_is_told_and_begun_anew(
    client: MatchmakerClient,
    make_director: MakeDirector,
    mm_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read, faults = Queue.read_new, [ZeroDivisionError("ours")]

    async def faulty(queue: Queue, questions: int = 0) -> list[QueueEntry]:
        if faults:
            raise faults.pop()
        return await read(queue, questions)

    monkeypatch.setattr(Queue, "read_new", faulty)
    monkeypatch.setattr("matchmaker.director.director.STANDBY_S", 0.02)
    players = {player: client.with_token(token_of(player)) for player in range(1, 5)}
    tickets = {p: (await own.create_ticket(MODE, WEST_EUROPE)).ticket_id for p, own in players.items()}
    async with running(make_director(mm_settings)):
        ends = await asyncio.gather(*(own.wait_for_end(tickets[p], 50) for p, own in players.items()))
    assert {end.state for end in ends} == {"assigned"}
    assert not faults
