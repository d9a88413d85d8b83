"""Whether what was read is still of the log that a consumer is in."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest
from aiokafka import TopicPartition
from structlog.testing import capture_logs

from rewards.consumer.lag import LagAge
from rewards.events.logs.guard import LogGuard, Span
from rewards.events.logs.identity import LogIdentity

PLACE = TopicPartition("player", 0)
OURS, ANOTHER = LogIdentity(UUID(int=1), 0), LogIdentity(UUID(int=2), 0)


class Fetcher:
    """What a guard asks of a consumer: where the log begins, and where the last fetch saw its end."""

    def __init__(self, begins_at: int = 0, end: int = 0) -> None:
        self.begins_at, self.end = begins_at, end

    async def beginning_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, self.begins_at)

    def assignment(self) -> set[TopicPartition]:
        return {PLACE}

    def highwater(self, _partition: TopicPartition) -> int:
        return self.end


@pytest.mark.parametrize(
    ("spans", "identity", "begins_at", "ours"),
    [
        ([(100, 150), (150, 160)], OURS, 0, True),
        ([(100, 150)], ANOTHER, 0, False),  # made anew, and longer by now than the old one was
        ([(100, 150)], LogIdentity(OURS.topic_id, 1), 0, False),  # a leader was elected
        ([(100, 150)], None, 0, False),  # there is no such topic any more
        ([(500, 510)], OURS, 500, False),  # aiokafka leapt over what was cut
        ([(100, 110), (500, 510)], OURS, 500, False),
        ([(0, 20)], OURS, 0, False),  # aiokafka went back, for the log had ended before our offset
        ([(101, 110)], OURS, 0, True),  # a transaction's mark
    ],
)
async def test_a_read_is_ours_where_it_goes_on_in_the_log_that_we_are_in(
    spans: list[tuple[int, int]], identity: LogIdentity | None, begins_at: int, ours: bool
) -> None:
    guard = LogGuard()
    guard.begin({PLACE: OURS})
    found = {} if identity is None else {PLACE: identity}
    read = [Span(PLACE, *span) for span in spans]
    assert await guard.is_ours(cast(Any, Fetcher(begins_at)), read, found, {PLACE: 100}) == ours


async def test_what_a_log_had_when_it_went_and_nobody_had_read_is_missing() -> None:
    guard = LogGuard()
    guard.begin({PLACE: OURS})
    assert guard.missing(PLACE, 100) is None, "nobody saw its end"
    await guard.is_ours(cast(Any, Fetcher(end=130)), [Span(PLACE, 90, 100)], {PLACE: OURS}, {PLACE: 90})
    assert guard.missing(PLACE, 100) == 30
    # What was read last may have been of the old log, and has counted.
    await guard.is_ours(cast(Any, Fetcher(end=40)), [Span(PLACE, 100, 120)], {PLACE: ANOTHER}, {PLACE: 100})
    assert guard.missing(PLACE, 100) == 10
    guard.begin({PLACE: ANOTHER})
    assert guard.missing(PLACE, 0) is None


def test_without_ids_of_topics_each_renewal_of_metadata_makes_everything_doubtful() -> None:
    renewed: list[Any] = []
    cluster = SimpleNamespace(add_listener=renewed.append)
    guard, nameless = LogGuard(), {PLACE: LogIdentity(None, -1)}
    guard.watch(cast(Any, SimpleNamespace(_client=SimpleNamespace(cluster=cluster))))
    guard.begin(nameless)
    assert guard.unchanged(nameless, [PLACE])
    renewed[0](cluster)
    assert not guard.unchanged(nameless, [PLACE])
    guard.begin(nameless)
    assert guard.unchanged(nameless, [PLACE])


def test_the_lag_is_as_old_as_the_oldest_record_that_waits() -> None:
    age = LagAge("test")
    assert age.seconds(1_000.0) == 0
    age.read([Span(PLACE, 0, 10, timestamp_ms=400_000), Span(PLACE, 10, 20, timestamp_ms=900_000)])
    assert age.seconds(1_000.0) == 600
    age.paused([PLACE], 1_000.0)
    assert age.seconds(1_100.0) == 700, "while the store is away"
    age.applied([Span(PLACE, 0, 20)])
    assert age.seconds(1_100.0) == 0
    age.counted({PLACE: 5}, 1_200.0)
    assert age.seconds(1_300.0) == 100, "records that nobody has read are as old as the news of them"
    age.counted({PLACE: 0}, 1_400.0)
    assert age.seconds(1_500.0) == 0


def test_half_of_the_retention_is_told_once_each_time() -> None:
    age = LagAge("test")
    age.retention_s = 1_000.0
    age.read([Span(PLACE, 0, 1, timestamp_ms=0)])
    with capture_logs() as lines:
        for now in (400.0, 500.0, 600.0):
            age.show(now)
        age.applied([Span(PLACE, 0, 1)])
        age.show(700.0)
        age.paused([PLACE], 700.0)
        age.show(1_300.0)
    assert [(line["log_level"], line["lag_s"]) for line in lines] == [("error", 500), ("error", 600)]
