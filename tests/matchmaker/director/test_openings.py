"""A match that was turned away asks again when the fleet says that it has a server, and all the same where
nothing is heard.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from fastapi import FastAPI
from redis.asyncio import Redis

from dedicated_server.fleet.client import (
    AllocatorClient,
    Cursor,
    FleetAdminClient,
    FleetRefusedError,
    FleetUnavailableError,
)
from launchday.clock import ManualClock, SystemClock
from launchday.settings import Settings
from matchmaker.client import MatchmakerClient
from matchmaker.director import openings as openings_module
from matchmaker.director import region_waits
from matchmaker.director.director import Director
from matchmaker.director.openings import FleetOpenings
from matchmaker.director.region_waits import MAX_OPENINGS, RegionWaits
from matchmaker.rules.modes import load_rules
from tests.matchmaker.conftest import (
    WEST_EUROPE,
    KnowingFleet,
    StubFleet,
    StubMeta,
    running,
    served,
    token_of,
)
from tests.waiting import until

REGION = "west-europe"
MODE = "battle_royale"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def waits(clock: ManualClock) -> RegionWaits:
    made = RegionWaits(clock)
    made.no_server(REGION, "none ready")
    return made


def asked(waits: RegionWaits, matches: int = 5) -> int:
    return sum(waits.may_ask(REGION) for _ in range(matches))


def test_one_match_asks_for_each_opening(waits: RegionWaits) -> None:
    assert asked(waits) == 0
    waits.opened(REGION)
    assert (asked(waits), asked(waits)) == (1, 0)
    waits.opened(REGION)
    waits.opened(REGION)
    assert (asked(waits), asked(waits)) == (2, 0)


def test_without_a_word_of_the_fleet_the_oldest_match_asks_now_and_then(
    clock: ManualClock, waits: RegionWaits
) -> None:
    clock.advance(region_waits.SERVER_RETRY_S - 0.01)
    assert asked(waits) == 0
    clock.advance(0.02)
    assert (asked(waits), asked(waits)) == (1, 0)


def test_an_opening_ends_the_pause_that_the_fleet_asked_for(clock: ManualClock, waits: RegionWaits) -> None:
    waits.no_server(REGION, "too many starts", 8.0)
    waits.opened(REGION)
    assert asked(waits) == 1
    clock.advance(1.0)
    assert asked(waits) == 0  # the fleet still wants to be left alone


def test_an_opening_does_not_end_the_pause_after_servers_that_never_answered(
    clock: ManualClock, waits: RegionWaits
) -> None:
    waits.silent(REGION, "gs-1 did not answer")
    waits.opened(REGION)
    assert asked(waits) == 0
    clock.advance(region_waits.MAX_SILENCE_S)
    assert asked(waits) == 1
    waits.no_server(REGION, "none ready")
    waits.opened(REGION)
    assert asked(waits) == 1


def test_openings_that_others_were_faster_for_are_forgotten(clock: ManualClock, waits: RegionWaits) -> None:
    for _ in range(3):
        waits.opened(REGION)
    clock.advance(0.1)
    waits.no_server(REGION, "none ready", asked_at=clock.monotonic())
    assert asked(waits) == 0


def test_an_opening_that_crosses_a_refusal_on_the_way_counts(clock: ManualClock, waits: RegionWaits) -> None:
    asked_at = clock.monotonic()
    waits.answered(REGION)  # the region did not wait yet
    clock.advance(0.05)
    waits.opened(REGION)
    waits.no_server(REGION, "none ready", asked_at=asked_at)
    assert (asked(waits), asked(waits)) == (1, 0)


def test_a_fleet_gone_mad_makes_a_bounded_number_of_matches_ask(waits: RegionWaits) -> None:
    for _ in range(10_000):
        waits.opened(REGION)
    assert asked(waits, 10_000) == MAX_OPENINGS


@dataclass
class TellingFleet:
    """A fleet that tells what the test says, in batches; then nothing more comes."""

    batches: list[tuple[list[str], bool]] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)
    seen: list[int] = field(default_factory=list)

    async def newest_change(self) -> Cursor:
        if self.errors:
            raise self.errors.pop(0)
        return Cursor("epoch", 7)

    async def openings(self, cursor: Cursor, *, wait_s: float = 0.0) -> tuple[Cursor, list[str], bool]:
        self.seen.append(cursor.seq)
        if self.errors:
            raise self.errors.pop(0)
        if not self.batches:
            await asyncio.Event().wait()
        regions, lost = self.batches.pop(0)
        return Cursor("epoch", cursor.seq + len(regions)), regions, lost


async def test_what_is_heard_goes_to_every_queue_that_listens(clock: ManualClock, waits: RegionWaits) -> None:
    other, gone = RegionWaits(clock), RegionWaits(clock)
    for each in (other, gone):
        each.no_server(REGION, "none ready")
    fleet = TellingFleet([([], False), ([REGION, "east-us", REGION], False), ([], False)])
    openings = FleetOpenings(fleet, clock)
    await openings.follow(0.0)  # from now on: what was before it listened may have been missed
    with openings.heard_by(waits), openings.heard_by(other):
        with openings.heard_by(gone):
            pass
        await openings.follow(0.0)
        await openings.follow(0.0)
    assert fleet.seen == [7, 7, 10]
    assert [asked(each) for each in (waits, other, gone)] == [2, 2, 0]
    assert waits.may_ask("east-us")  # it did not wait


async def test_after_a_restart_of_the_fleet_each_region_asks_once(
    clock: ManualClock, waits: RegionWaits
) -> None:
    fleet = TellingFleet([([], False), ([], True)])
    openings = FleetOpenings(fleet, clock)
    await openings.follow(0.0)
    with openings.heard_by(waits):
        await openings.follow(0.0)
    assert asked(waits) == 1


@pytest.mark.parametrize("kind", [FleetUnavailableError, FleetRefusedError])
async def test_a_fleet_that_cannot_be_followed_is_tried_again(
    clock: ManualClock, waits: RegionWaits, kind: type[Exception]
) -> None:
    fleet = TellingFleet([([REGION], False)], [kind("no"), kind("no")])
    openings = FleetOpenings(fleet, clock)
    with openings.heard_by(waits):
        following = asyncio.create_task(openings.run())
        for _ in range(400):
            await asyncio.sleep(0)
            clock.advance(1.0)
        assert len(fleet.seen) >= 2
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    assert asked(waits) > 0


@asynccontextmanager
async def feed_of(answers: list[Any]) -> AsyncIterator[FleetAdminClient]:
    app = FastAPI()

    @app.get("/v1/fleets")
    async def fleets() -> Any:
        return answers[0]

    @app.get("/v1/changes")
    async def changes() -> Any:
        return answers[1]

    async with served(app) as url, FleetAdminClient(url) as client:
        yield client


@pytest.mark.parametrize(
    "answers",
    [
        [{}, {}],
        [{"epoch": "a", "seq": "many"}, {}],
        [{"epoch": "a", "seq": 1}, {"epoch": "a", "seq": 2, "lost": False, "changes": [{}]}],
        [{"epoch": "a", "seq": 1}, {"epoch": "a", "seq": 2, "lost": False, "changes": 7}],
        [{"epoch": "a", "seq": 1}, {"seq": None}],
    ],
)
async def test_an_answer_that_is_none_is_no_opening(answers: list[Any], clock: ManualClock) -> None:
    async with feed_of(answers) as client:
        with pytest.raises(FleetUnavailableError):
            await FleetOpenings(client, clock).follow(0.0)


@asynccontextmanager
async def half_open() -> AsyncIterator[str]:
    """A fleet behind a connection that takes everything and never answers."""
    taken: list[asyncio.StreamWriter] = []

    async def take(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        taken.append(writer)

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        for writer in taken:
            writer.close()
        server.close()
        await server.wait_closed()


async def placed_after_a_shortage(
    director: Director, client: MatchmakerClient, fleet: StubFleet, told: FleetOpenings | None = None
) -> None:
    """Four players wait for a server, one becomes ready, and they are assigned to it."""
    fleet.ready.clear()
    async with running(director):
        tickets = [
            await client.with_token(token_of(player)).create_ticket(MODE, WEST_EUROPE)
            for player in range(1, 5)
        ]
        await until(lambda: fleet.calls > 0, "a match was turned away")
        fleet.ready[REGION] = 1
        if told is not None:
            await told.follow(0.0)
        ends = [
            (await client.with_token(token_of(player)).wait_for_end(ticket.ticket_id, 50)).state
            for player, ticket in enumerate(tickets, 1)
        ]
        assert ends == ["assigned"] * 4


async def test_a_director_hears_nothing_on_a_half_open_feed_and_goes_on_as_without_one(
    loaded_kernels: None,
    client: MatchmakerClient,
    fleet: StubFleet,
    cache: Redis,
    allocator: AllocatorClient,
    knowing: KnowingFleet,
    meta: StubMeta,
    mm_settings: Settings,
) -> None:
    rules = load_rules(mm_settings)["battle_royale"]
    async with half_open() as url, FleetAdminClient(url, patience_s=0.3) as feed:
        openings = FleetOpenings(feed, SystemClock())
        following = asyncio.create_task(openings.run())
        director = Director(
            rules, mm_settings, cache, allocator, fleet=knowing, meta=meta, openings=openings,
            clock=SystemClock(),
        )  # fmt: skip
        await placed_after_a_shortage(director, client, fleet)
        assert not following.done()
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def test_a_match_asks_at_once_when_the_fleet_has_a_server(
    monkeypatch: pytest.MonkeyPatch,
    loaded_kernels: None,
    client: MatchmakerClient,
    fleet: StubFleet,
    cache: Redis,
    allocator: AllocatorClient,
    knowing: KnowingFleet,
    meta: StubMeta,
    mm_settings: Settings,
) -> None:
    monkeypatch.setattr(region_waits, "SERVER_RETRY_S", 3_600.0)  # nobody asks without having heard
    monkeypatch.setattr(openings_module, "WAIT_S", 0.0)
    rules = load_rules(mm_settings)["battle_royale"]
    openings = FleetOpenings(TellingFleet([([], False)] + [([REGION], False)] * 2), SystemClock())
    await openings.follow(0.0)
    director = Director(
        rules, mm_settings, cache, allocator, fleet=knowing, meta=meta, openings=openings, clock=SystemClock()
    )
    await placed_after_a_shortage(director, client, fleet, openings)
