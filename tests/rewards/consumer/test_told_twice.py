"""A match that is told twice counts once, whoever tells it and when."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import numpy as np
import pytest

from dedicated_server.cards import shipped_cards
from dedicated_server.match.events import MatchEvents
from dedicated_server.match.spec import MatchSpec, RosterEntry
from dedicated_server.simulation.event_buffer import DEATH, KILL, MATCH_ENDED, MATCH_STARTED
from dedicated_server.simulation.world import EVENT_DTYPE, NOBODY
from dedicated_server.tick.slots import DamageTotals
from rewards.consumer.store import Store
from rewards.events import Envelope, EventIds, PlayerPlacement, Source
from rewards.progression import rules
from tests.rewards.examples import NOW_S, a_result
from tests.rewards.running import LETTERS, batch, progression, query

PLAYERS = (9, 10, 11)
RESULTS = [PlayerPlacement(player, team, team + 1, 2 - team, 50.0) for team, player in enumerate(PLAYERS)]
RECORDS = [
    (MATCH_STARTED, 0, 0, 0),
    (KILL, 600, 0, 1),
    (KILL, 900, 0, 2),
    (DEATH, 901, 1, 1),
    (MATCH_ENDED, 999, 0, 0),
]


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    made = Store(store_url, "rewards", rules.load(), LETTERS)
    yield made
    await made.close()


class Told:
    """Keeps what is emitted."""

    def __init__(self) -> None:
        self.events: list[Envelope] = []

    def emit(self, envelope: Envelope) -> bool:
        self.events.append(envelope)
        return True


async def tell(now_s: float, server: str, *, formed_at: float = NOW_S - 30, kills: int = 2) -> list[Envelope]:
    """The whole match, as a game server tells it whose clock shows ``now_s`` at its end."""
    spec = MatchSpec(
        match_id=uuid.UUID(int=99),
        mode="battle_royale",
        region="west-europe",
        seed=1,
        match_s=60.0,
        players=tuple(
            RosterEntry(player_id=player, team=team, entity=team) for team, player in enumerate(PLAYERS)
        ),
        allocated_at=formed_at,
    )
    told = Told()
    source = Source(server, spec.region, spec.match_id, ids=EventIds.of(server))
    events = MatchEvents(
        spec, source, told, card=shipped_cards()[spec.mode], tick_hz=60, has_left=lambda entity: False
    )
    records = np.zeros(2 + kills + 1, EVENT_DTYPE)
    chosen = RECORDS[: 1 + kills] + RECORDS[3:]
    for record, (kind, tick, actor, victim) in zip(records, chosen, strict=True):
        record["kind"], record["tick"], record["actor"], record["victim"] = kind, tick, actor, victim
        record["assist"] = NOBODY
    await events.emit_records(records, now_s=now_s, tick=1000)
    events.emit_damage([(9, DamageTotals(0, 300.0, 1.0, 9, 3)) for _ in "ab"], now_s=now_s, tick=1000)
    events.emit_result(RESULTS, now_s=now_s, tick=1000)
    return told.events


async def test_told_by_another_process_at_another_time_it_counts_once(store: Store, store_url: str) -> None:
    once = await tell(NOW_S, "server-1")
    again = await tell(NOW_S + 3 * 86400, "server-2")
    assert [event.event_id for event in again] == [event.event_id for event in once]
    assert len({event.event_id for event in once}) == len(once) == 9
    ids = [uuid.UUID(bytes=event.event_id) for event in once]
    assert {one.version for one in ids} == {7}
    assert {one.int >> 80 for one in ids} == {int((NOW_S - 30) * 1000)}  # a moment near that of all of them
    await store.apply(batch(once), NOW_S)
    await everything_once(store, store_url)
    second = await store.apply(batch(again, first_offset=50), NOW_S)
    assert second.duplicates == len(again)
    await everything_once(store, store_url)


async def test_told_again_with_more_kills_it_has_one_result(store: Store, store_url: str) -> None:
    await store.apply(batch(await tell(NOW_S, "server-1", kills=1)), NOW_S)
    await store.apply(batch(await tell(NOW_S + 5, "server-2", kills=2), first_offset=50), NOW_S)
    assert (await progression(store_url))[9][4] == 1


async def test_told_again_under_ids_of_ones_own_its_result_counts_once(store: Store, store_url: str) -> None:
    await store.apply(batch(await tell(NOW_S, "server-1")), NOW_S)
    twice = [event for event in await tell(NOW_S + 60, "server-2") if event.HasField("match_ended")]
    twice[0].event_id = EventIds.of("somebody else's").next(NOW_S + 60)
    second = await store.apply(batch([*twice, a_result([9, 10])], first_offset=50), NOW_S)
    assert second.duplicates == 1
    assert (await progression(store_url))[9][4] == 2  # the other match's, too
    same_batch = [a_result([12, 13]), a_result([12, 13])]
    await store.apply(batch(same_batch, first_offset=70), NOW_S)
    assert (await progression(store_url))[12][4] == 1


async def everything_once(store: Store, store_url: str) -> None:
    """Player 9 has won one match with two kills, in points, statistics, challenges and ratings."""
    assert (await progression(store_url))[9] == (2 * 100 + 50 + 500, 2, 2, 0, 1)
    assert await query(store_url, "SELECT matches FROM ratings WHERE player_id = 9") == [(1,)]
    counts = await query(
        store_url, "SELECT challenge, count FROM challenge_progress WHERE player_id = 9 ORDER BY challenge"
    )
    assert counts == [("launch-podium", 1), ("rifle-range", 600), ("ten-matches", 1)]
