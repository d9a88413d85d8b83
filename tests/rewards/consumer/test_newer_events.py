"""Programs of two versions, upgraded in any order: what one does not know waits, and the points are equal."""

from __future__ import annotations

import random
import uuid
from collections.abc import AsyncIterator, Iterable, Sequence

import pytest

from launchday.clock import SystemClock
from launchday.settings import Settings
from loadtest import event_versions
from rewards.consumer.batch import apply_or_bisect
from rewards.consumer.newer_events import NewerEvents
from rewards.consumer.rebuild import dump
from rewards.consumer.store import AppliedBatch, Store
from rewards.events import DeathCause, Envelope, PlayerPlacement, death, match_ended
from rewards.events.parse import ReadEvent
from rewards.progression import rules
from tests.rewards.examples import NOW_S, SOURCE, a_grant, a_kill, source_of
from tests.rewards.running import LETTERS, TOPIC, batch, progression, query, running, send
from tests.waiting import until

OLD, NEW = event_versions.older(), event_versions.newer()


def a_short_kill(killer_id: int, victim_id: int) -> Envelope:
    """A kill that both versions know."""
    event = a_kill(killer_id, victim_id)
    event.kill.ClearField("victim_at")
    return event


def a_result_of(match: int, order: Sequence[int], *, duration_s: float) -> Envelope:
    """A result of two sides; the older version knows it where it has no duration."""
    return match_ended(
        source_of(match),
        now_s=NOW_S,
        tick=9,
        mode="battle_royale",
        duration_s=duration_s,
        placements=[PlayerPlacement(player, place, place, 0, 1.0) for place, player in enumerate(order, 1)],
    )


def a_death_of(player_id: int, cause: DeathCause) -> Envelope:
    return death(SOURCE, now_s=NOW_S, tick=1, victim_id=player_id, cause=cause, at=(0, 0), survived_s=1.0)


def needing(event: Envelope, version: int) -> Envelope:
    event.needs = version
    return event


def a_log(count: int) -> list[Envelope]:
    """Events of both versions, of which some came twice; the order of the results matters."""
    rng, made = random.Random(15), list[Envelope]()
    for number in range(count):
        first, second = rng.sample(range(1, 9), 2)
        made += [
            a_short_kill(first, second),
            a_kill(second, first),
            a_grant(first, 100 + number),
            a_result_of(2 * number + 100, [first, second], duration_s=0.0),
            a_result_of(2 * number + 101, [second, first], duration_s=rng.choice((0.0, 9.0))),
            a_death_of(first, DeathCause.LEFT),
            a_death_of(second, DeathCause.ZONE),
            needing(a_short_kill(first, second), event_versions.NEWER_VERSION),
            needing(a_kill(second, first), 1),  # of where it was no points depend
        ]
    return made + rng.sample(made, count)


class Versions:
    """One store, and consumers of two versions at it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.store = Store(url, "rewards", rules.load(), LETTERS)
        self.offset = self.kept = 0

    async def apply(self, read: ReadEvent, events: Iterable[Envelope]) -> AppliedBatch:
        made = batch(events, self.offset, read=read)
        self.offset += len(made.events) + len(made.newer)
        applied = await self.store.apply(made, NOW_S)
        self.kept += applied.newer
        return applied

    async def take_up(self, read: ReadEvent) -> int:
        """What a consumer that starts does with what waits; returns how many it took up."""
        waiting, taken = NewerEvents(self.store, read, SystemClock()), 0
        while records := await waiting.next():
            taken += len(records)
            await apply_or_bisect(
                records,
                lambda found: self.store.apply(found, NOW_S),
                waiting.batch(records),
                waiting.batch,
            )
        return taken

    async def waiting(self) -> int:
        return (await self.store.newer_waiting()).events


@pytest.fixture
async def versions(store_url: str) -> AsyncIterator[Versions]:
    made = Versions(store_url)
    yield made
    await made.store.close()


@pytest.mark.parametrize(
    ("event", "newer"),
    [
        (a_grant(1, 5), "field 20 of the envelope"),
        (a_kill(1, 2), "field 6 of kill"),
        (a_death_of(1, DeathCause.LEFT), "death.cause = 3"),
        (needing(a_short_kill(1, 2), 2), "it needs version 2 of the schema, and this program has 1"),
    ],
    ids=("kind", "field", "value", "version"),
)
async def test_what_is_newer_waits_outside_the_inbox_until_a_program_knows_it(
    versions: Versions, event: Envelope, newer: str
) -> None:
    applied = await versions.apply(OLD, [event])

    assert (applied.newer, applied.effects.kinds, applied.duplicates) == (1, {}, 0)
    assert (await versions.store.newer_waiting()).by_cause == ((newer, 1),)
    assert await query(versions.url, "SELECT event_id FROM event_inbox") == []
    assert await versions.store.known([uuid.UUID(bytes=event.event_id)]), "its log would seem to be another"
    assert await versions.store.next_offsets() == {(TOPIC, 0): 1}

    assert await versions.take_up(OLD) == 0
    assert await versions.take_up(NEW) == 1
    assert await versions.waiting() == 0
    assert await progression(versions.url)
    assert (await versions.apply(NEW, [event])).duplicates == 1


async def server_first(at: Versions, events: list[Envelope]) -> None:
    for start in range(0, len(events), 40):
        await at.apply(OLD, events[start : start + 40])


async def mixed(at: Versions, events: list[Envelope]) -> None:
    rng = random.Random(7)
    while events:
        part, events = events[:11], events[11:]
        await at.apply(rng.choice((OLD, NEW)), part)
        if rng.random() < 0.3:
            await at.take_up(rng.choice((OLD, NEW)))


async def rolled_back(at: Versions, events: list[Envelope]) -> None:
    third = len(events) // 3
    await at.apply(NEW, events[:third])
    await at.apply(OLD, events[third - 20 : 2 * third])  # some of them come again
    await at.apply(OLD, events[2 * third :])


@pytest.mark.parametrize("order", [server_first, mixed, rolled_back])
async def test_points_and_ratings_are_those_of_consumers_first(versions: Versions, order: object) -> None:
    events = a_log(40)
    await versions.apply(NEW, events)
    expected = await dump(versions.url)
    tables = "event_inbox, progression, challenge_progress, season_progress, ratings, rated_matches"
    await query(versions.url, f"TRUNCATE {tables}, consumer_offsets")

    assert callable(order)
    await order(versions, events)
    assert versions.kept > 50
    await versions.take_up(NEW)

    assert await versions.waiting() == 0
    assert await dump(versions.url) == expected


async def test_a_result_behind_one_that_waits_gives_its_points_at_once_and_is_rated_in_its_turn(
    versions: Versions,
) -> None:
    await versions.apply(
        OLD, [a_result_of(1, [1, 2], duration_s=9.0), a_result_of(2, [2, 1], duration_s=0.0)]
    )
    await versions.apply(OLD, [a_result_of(3, [2, 1], duration_s=0.0)])

    assert (await progression(versions.url))[2][:1] == (2 * 550,)
    assert await query(versions.url, "SELECT match_id FROM rated_matches") == []
    assert await versions.waiting() == 3

    await versions.take_up(NEW)
    assert len(await query(versions.url, "SELECT match_id FROM rated_matches")) == 3
    assert (await progression(versions.url))[2][:1] == (2 * 550 + 50,)


async def test_what_waited_and_turns_out_to_be_no_event_holds_up_nothing(versions: Versions) -> None:
    bad = a_grant(1, 5)
    bad.xp_granted.xp = -5
    await versions.apply(OLD, [bad, a_grant(2, 5)])

    assert await versions.take_up(NEW) == 2
    assert await versions.waiting() == 0
    assert (await versions.store.totals([TOPIC])).dead_letters == 1
    assert list(await progression(versions.url)) == [2]


async def test_a_consumer_takes_up_what_waits_and_counts_what_it_keeps(
    settings: Settings, versions: Versions
) -> None:
    await versions.apply(OLD, [a_grant(1, 10)])
    async with running(settings) as rewards:  # today's program: of the next version it knows nothing
        await send(settings, [needing(a_grant(2, 10), event_versions.NEWER_VERSION)])

        async def settled() -> bool:
            counters = rewards.consumer.counters
            return (counters.newer_taken_up, counters.newer_kept) == (1, 1)

        await until(settled, "one taken up, one kept")
    assert list(await progression(settings.store_url)) == [1]
    assert (await versions.store.totals([TOPIC])).newer_waiting == 1
