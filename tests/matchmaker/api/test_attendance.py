"""Signs of life, expiry and time that does not count: the scripts and what calls them, in virtual time."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as CacheAwayError

from launchday.clock import ManualClock
from matchmaker.api.attendance import Attendance
from matchmaker.api.notifier import Notifier
from matchmaker.api.ticket_writer import TicketWriter
from matchmaker.client import MatchmakerClient
from matchmaker.queue.lease import Lease
from matchmaker.queue.scripts import KEYS, Scripts
from matchmaker.queue.ticket_store import TicketStore
from matchmaker.tickets.ticket import Ticket
from tests.matchmaker.conftest import WEST_EUROPE, StubSkills, token_of

MODE = "battle_royale"
LIVENESS_S = 30.0
TTL_S = 300.0


class Api:
    """The parts of one API process that attend, and its players."""

    def __init__(self, cache: Redis, clock: ManualClock) -> None:
        self.clock = clock
        self.scripts = Scripts(cache, 600.0, clock)
        self.store = TicketStore(cache, self.scripts, watched=True)
        self.notifier = Notifier(cache, clock)
        self.attendance = Attendance(self.scripts, self.store, self.notifier, [MODE], LIVENESS_S, clock)
        self.writer = TicketWriter(self.scripts, StubSkills(), ["west-europe"])

    async def create(self, player_id: int, *, watched: bool = True, party: str = "") -> str:
        now = self.clock.now()
        ticket = Ticket(
            self.clock.uuid(), player_id, now, now + TTL_S, "pc", True, "", (12.0,), party, 2 if party else 1,
            watched=watched,
        )  # fmt: skip
        await self.writer.submit(MODE, ticket)
        return str(ticket.ticket_id)

    async def live(self, seconds: float) -> None:
        """Attend once a second, as it does."""
        for _ in range(round(seconds)):
            self.clock.advance(1.0)
            await self.attendance.attend()

    async def state(self, ticket_id: str) -> str:
        found = await self.store.read(ticket_id)
        assert found is not None
        return found.view.state


@pytest.fixture
def api(cache: Redis) -> Api:
    return Api(cache, ManualClock())


@pytest.fixture
async def leader(api: Api) -> bytes:
    """A director that leads the queue, and does nothing."""
    fence = await Lease(api.scripts, MODE, 3_600.0).acquire()
    assert fence is not None
    return fence


async def test_a_ticket_that_nobody_looks_at_is_cancelled_and_one_that_somebody_follows_is_not(
    api: Api, cache: Redis
) -> None:
    left, read, streamed, service = [await api.create(player, watched=player != 4) for player in (1, 2, 3, 4)]
    with api.notifier.subscription(streamed):
        for _ in range(4):
            await api.live(10)
            api.attendance.touch(read)
    assert [await api.state(each) for each in (left, read, streamed, service)] == [
        "cancelled", "searching", "searching", "searching",
    ]  # fmt: skip
    gone = await api.store.read(left)
    assert gone is not None
    assert "nobody looked at the ticket" in str(gone.view.reason)
    assert await cache.hget(KEYS["counters"], "silent") == b"1"
    assert await cache.zscore(KEYS["seen"], left) is None


async def test_a_silent_player_takes_the_party_along(api: Api) -> None:
    left, watching = await api.create(1, party="p"), await api.create(2, party="p")
    for _ in range(4):
        await api.live(10)
        api.attendance.touch(watching)
    assert {await api.state(left), await api.state(watching)} == {"cancelled"}


async def test_time_in_which_no_api_was_there_does_not_count(api: Api) -> None:
    ticket_id = await api.create(1)
    await api.live(20)
    api.clock.advance(600.0)  # stopped, or away
    await api.live(5)
    assert await api.state(ticket_id) == "searching"
    await api.live(10)
    assert await api.state(ticket_id) == "cancelled"


async def test_while_one_of_two_apis_is_stopped_its_players_cannot_be_heard(api: Api, cache: Redis) -> None:
    other = Api(cache, api.clock)
    await other.attendance.attend()
    ticket_id = await api.create(1)
    await api.live(40)  # the other one is silent
    assert await api.state(ticket_id) == "searching"
    await api.live(60)  # it has ended for good
    assert await api.state(ticket_id) == "cancelled"


async def test_an_api_that_ends_as_it_should_is_waited_for_by_nobody(api: Api, cache: Redis) -> None:
    other = Api(cache, api.clock)
    await other.attendance.attend()
    await other.attendance.leave()
    ticket_id = await api.create(1)
    await api.live(35)
    assert await api.state(ticket_id) == "cancelled"


async def test_signs_of_life_that_could_not_be_told_are_told_later(
    api: Api, monkeypatch: pytest.MonkeyPatch, cache: Redis
) -> None:
    ticket_id = await api.create(1)
    await api.live(20)
    api.attendance.touch(ticket_id)
    touch = api.scripts.touch_tickets

    async def away(*_: object) -> None:
        raise CacheAwayError("away")

    monkeypatch.setattr(api.scripts, "touch_tickets", away)
    api.clock.advance(11.0)
    with pytest.raises(CacheAwayError):
        await api.attendance.attend()
    monkeypatch.setattr(api.scripts, "touch_tickets", touch)
    await api.live(20)
    assert await api.state(ticket_id) == "searching"


async def test_a_read_costs_no_write(api: Api, cache: Redis) -> None:
    ticket_id = await api.create(1)
    before = await cache.zscore(KEYS["seen"], ticket_id)
    await api.live(5)
    for _ in range(100):
        api.attendance.touch(ticket_id)
    assert await cache.zscore(KEYS["seen"], ticket_id) == before
    await api.live(10)
    assert (await cache.zscore(KEYS["seen"], ticket_id) or 0.0) > (before or 0.0)


async def test_tickets_whose_time_ran_out_while_nobody_served_them_get_some_anew(
    api: Api, leader: bytes
) -> None:
    ticket_id = await api.create(1, watched=False)
    await api.live(3)
    api.clock.advance(TTL_S)
    await api.live(20)
    assert await api.state(ticket_id) == "searching"
    await api.live(15)
    assert await api.state(ticket_id) == "expired"


async def test_a_queue_that_no_director_leads_expires_nobody_for_a_minute(api: Api) -> None:
    ticket_id = await api.create(1, watched=False)
    await api.attendance.attend()
    api.clock.advance(TTL_S + 40.0)
    await api.store.expire_due(MODE, api.clock.now())
    assert await api.state(ticket_id) == "searching"
    for _ in range(13):
        api.clock.advance(5.0)
        await api.store.expire_due(MODE, api.clock.now())
    assert await api.state(ticket_id) == "expired"


@pytest.mark.parametrize("mm_overrides", [{"ticket_liveness_s": 0.0}])
async def test_without_the_setting_no_ticket_is_watched(client: MatchmakerClient, cache: Redis) -> None:
    await client.with_token(token_of(1)).create_ticket(MODE, WEST_EUROPE)
    assert await cache.zcard(KEYS["seen"]) == 0


async def test_a_players_ticket_is_watched_and_a_services_is_not(
    client: MatchmakerClient, cache: Redis
) -> None:
    own = await client.with_token(token_of(1)).create_ticket(MODE, WEST_EUROPE)
    await client.create_tickets([{"mode": MODE, "latencies_ms": WEST_EUROPE, "player_id": 2}])
    assert await cache.zrange(KEYS["seen"], 0, -1) == [own.ticket_id.encode()]
