"""What the director tells Prometheus of waits, and that matches and allocations are counted by what became of
them.
"""

from __future__ import annotations

from prometheus_client import REGISTRY, CollectorRegistry, generate_latest

from launchday.settings import Settings
from matchmaker.client import MatchmakerClient
from matchmaker.director.metrics import WaitHistogram
from tests.matchmaker.conftest import WEST_EUROPE, MakeDirector, running, token_of

MODE = "battle_royale"


def test_waits_are_counted_up_to_and_with_their_bounds() -> None:
    registry, waits = CollectorRegistry(), WaitHistogram()
    registry.register(waits)
    waits.observe("duel", [0.0, 1.0, 1.5, 9_000.0])
    waits.observe("duel", [0.0])

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"launchday_queue_wait_seconds_{name}", {"mode": "duel", **labels})

    assert [value("bucket", le=bound) for bound in ("0.1", "1.0", "2.0", "+Inf")] == [2.0, 3.0, 4.0, 5.0]
    assert (value("count"), value("sum")) == (5.0, 9_002.5)
    assert b"launchday_queue_wait_seconds_bucket" in generate_latest(registry)


async def test_a_match_is_counted_from_its_forming_to_its_assignment(
    client: MatchmakerClient, make_director: MakeDirector, mm_settings: Settings
) -> None:
    def count(name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(name, labels) or 0.0

    def now() -> list[float]:
        return [
            count("launchday_director_matches_formed_total", mode=MODE),
            count("launchday_director_matches_assigned_total", mode=MODE),
            count("launchday_director_allocations_total", region="west-europe", result="allocated"),
            count("launchday_queue_wait_seconds_count", mode=MODE),
        ]

    before = now()
    async with running(make_director(mm_settings)):
        tickets = {
            player: await client.with_token(token_of(player)).create_ticket(MODE, WEST_EUROPE)
            for player in range(1, 5)
        }
        for player, ticket in tickets.items():
            await client.with_token(token_of(player)).wait_for_end(ticket.ticket_id, 50)
        assert count("launchday_director_office", mode=MODE) == 1.0
    assert [after - each for after, each in zip(now(), before, strict=True)] == [1.0, 1.0, 1.0, 4.0]
    assert count("launchday_director_office", mode=MODE) == 0.0
