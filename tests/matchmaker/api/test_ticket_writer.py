"""One ticket's fault is its own: the others of the same milliseconds are written."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from uuid import uuid4

import msgspec
import pytest

from launchday.clock import SystemClock
from launchday.resilience import deadline
from launchday.resilience.deadline import DeadlineExceededError
from matchmaker.api import ticket_writer
from matchmaker.api.skills import MAX_CALLS, PlayerSkills, skills_of
from matchmaker.api.ticket_writer import TicketWriter, WriteResult
from matchmaker.client import MatchmakerClient, MatchmakerUnavailableError, TicketExistsError
from matchmaker.errors import SkillsRefusedError, SkillsUnavailableError, WriterFullError
from matchmaker.queue.scripts import Scripts
from matchmaker.tickets.ticket import Ticket
from tests.matchmaker.conftest import WEST_EUROPE, StubSkills, token_of

MODE = "battle_royale"


def ticket(player_id: int, client_key: str = "", skew: float = 0.0) -> Ticket:
    now = time.time() + skew
    return Ticket(uuid4(), player_id, now, now + 60, "pc", True, client_key, (12.0,))


@pytest.fixture
def writer(scripts: Scripts, skills: StubSkills) -> TicketWriter:
    return TicketWriter(scripts, skills, ["west-europe"])


async def submit(writer: TicketWriter, tickets: Sequence[Ticket]) -> list[WriteResult | BaseException]:
    return await asyncio.gather(*(writer.submit(MODE, each) for each in tickets), return_exceptions=True)


def outcomes(results: Sequence[WriteResult | BaseException]) -> list[str]:
    return [each.outcome if isinstance(each, WriteResult) else type(each).__name__ for each in results]


async def test_a_player_who_presses_play_twice_takes_nobody_down(writer: TicketWriter) -> None:
    results = await submit(writer, [ticket(player) for player in (1, 1, *range(2, 22))])
    assert outcomes(results) == ["created", "busy"] + ["created"] * 20


async def test_the_same_client_key_twice_at_once_makes_one_ticket(client: MatchmakerClient) -> None:
    player = client.with_token(token_of(1))
    first, second = await asyncio.gather(
        *(player.create_ticket(MODE, WEST_EUROPE, client_key="k") for _ in range(2))
    )
    assert first.ticket_id == second.ticket_id
    assert sorted((first.repeated, second.repeated)) == [False, True]


async def test_a_service_that_names_a_player_twice_hears_of_each(client: MatchmakerClient) -> None:
    wishes = [{"mode": MODE, "latencies_ms": WEST_EUROPE, "player_id": player} for player in (1, 2, 1)]
    made = await client.create_tickets(wishes)
    assert [each["outcome"] for each in made] == ["created", "created", "busy"]


async def test_a_player_whom_the_meta_service_refuses_fails_alone(
    client: MatchmakerClient, skills: StubSkills
) -> None:
    skills.unknown = {7}
    results = await asyncio.gather(
        *(client.with_token(token_of(n)).create_ticket(MODE, WEST_EUROPE) for n in range(1, 21)),
        return_exceptions=True,
    )
    failed = [n for n, each in enumerate(results, 1) if isinstance(each, Exception)]
    assert failed == [7]
    assert isinstance(results[6], MatchmakerUnavailableError)
    assert skills.calls <= 11
    wishes = [{"mode": MODE, "latencies_ms": WEST_EUROPE, "player_id": player} for player in (31, 7, 32)]
    made = await client.create_tickets(wishes)
    assert [each["outcome"] for each in made] == ["created", "refused", "created"]


async def test_many_refused_players_cost_a_bounded_number_of_calls() -> None:
    skills = StubSkills(unknown=set(range(0, 500, 3)))
    found = await skills_of(skills, MODE, list(range(500)))
    assert skills.calls == MAX_CALLS
    assert set(found.ratings).isdisjoint(found.refused)
    assert len(found.ratings) + len(found.refused) == 500
    assert set(found.refused) >= set(range(0, 500, 3))


async def test_a_refusal_that_concerns_ourselves_is_not_halved() -> None:
    class Forbidding:
        calls = 0

        async def skills(self, mode: str, player_ids: Sequence[int], *, blocks: bool = False) -> PlayerSkills:
            self.calls += 1
            raise SkillsUnavailableError("403 forbidden")

    forbidding = Forbidding()
    with pytest.raises(SkillsUnavailableError, match="403"):
        await skills_of(forbidding, MODE, [1, 2, 3, 4])
    assert forbidding.calls == 1


async def test_a_ticket_that_cannot_be_packed_fails_alone(writer: TicketWriter) -> None:
    poisoned = msgspec.structs.replace(ticket(2), latency_ms=("far",))
    results = await submit(writer, [ticket(1), poisoned, ticket(3)])
    assert outcomes(results) == ["created", "SkillsRefusedError", "created"]


async def test_who_has_hung_up_gets_no_ticket(writer: TicketWriter, skills: StubSkills) -> None:
    gone = asyncio.create_task(writer.submit(MODE, ticket(1)))
    stays = asyncio.create_task(writer.submit(MODE, ticket(2)))
    await asyncio.sleep(0)
    gone.cancel()
    assert (await stays).outcome == "created"
    assert (await writer.submit(MODE, ticket(1))).outcome == "created"


class SilentSkills:
    """A meta service that never answers."""

    async def skills(self, mode: str, player_ids: Sequence[int], *, blocks: bool = False) -> PlayerSkills:
        await asyncio.Event().wait()
        raise AssertionError


async def test_what_waits_behind_a_silent_meta_service_is_bounded(
    scripts: Scripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ticket_writer, "MAX_WAITING", 3)
    monkeypatch.setattr(ticket_writer, "PATIENCE_S", 0.2)
    writer = TicketWriter(scripts, SilentSkills(), ["west-europe"])
    results = await submit(writer, [ticket(player) for player in range(1, 6)])
    assert outcomes(results) == ["DeadlineExceededError"] * 3 + ["WriterFullError"] * 2
    assert isinstance(results[3], WriterFullError)
    # Who gave up makes room again.
    with pytest.raises(DeadlineExceededError):
        await writer.submit(MODE, ticket(9))


async def test_a_request_waits_no_longer_than_it_has_left(scripts: Scripts) -> None:
    clock = SystemClock()
    writer = TicketWriter(scripts, SilentSkills(), ["west-europe"])
    with deadline.serving(clock.monotonic() + 0.05), pytest.raises(DeadlineExceededError):
        await writer.submit(MODE, ticket(1))


async def test_a_write_outlives_the_request_that_began_it(scripts: Scripts, skills: StubSkills) -> None:
    seen: list[float | None] = []

    class Watching(StubSkills):
        async def skills(self, mode: str, player_ids: Sequence[int], *, blocks: bool = False) -> PlayerSkills:
            seen.append(deadline.current())
            return await super().skills(mode, player_ids)

    writer = TicketWriter(scripts, Watching(), ["west-europe"])
    with deadline.serving(SystemClock().monotonic() + 5.0):
        await writer.submit(MODE, ticket(1))
    assert seen == [None]


async def test_another_ticket_of_a_player_is_named_when_theirs_lives(client: MatchmakerClient) -> None:
    player = client.with_token(token_of(1))
    results = await asyncio.gather(
        *(player.create_ticket(MODE, WEST_EUROPE, client_key=key) for key in "ab"), return_exceptions=True
    )
    assert sum(isinstance(each, TicketExistsError) for each in results) == 1


def test_a_refusal_is_an_unavailability_to_whoever_does_not_halve() -> None:
    kinds: Mapping[type[Exception], type[Exception]] = {
        SkillsRefusedError: SkillsUnavailableError,
        WriterFullError: SkillsUnavailableError,
    }
    assert all(issubclass(kind, base) for kind, base in kinds.items())
