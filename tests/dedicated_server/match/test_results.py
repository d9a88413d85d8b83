"""Results while the meta service is away: on the disk after the first failure, delivered by the fleet."""

from __future__ import annotations

import asyncio
import errno
import json
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from dedicated_server.match.final_commit import MAX_DISK_WAIT_S, FinalCommit, ResultsLostError, Spool
from dedicated_server.match.result_delivery import ResultDelivery
from dedicated_server.match.result_spool import ResultSpool
from launchday.clock import ManualClock
from meta_service.client import (
    CommitRefusal,
    CommitResponse,
    MetaRefusedError,
    MetaUnavailableError,
    PlayerCommit,
)
from rewards.events import spool as event_spool
from tests.waiting import until

ENDED_AT_S = 1_800_000_000.25
RESULTS = [PlayerCommit(11, 111, 1, 3, 44.5, ENDED_AT_S), PlayerCommit(12, 112, 2, 0, 12.0, ENDED_AT_S)]
REFUSAL = MetaRefusedError(422, "invalid", "no")


class Meta:
    """Takes results, except while it has an ``error``."""

    def __init__(self, error: Exception | None = None, stale: frozenset[int] = frozenset()) -> None:
        self.error, self.stale = error, stale
        self.commits: list[tuple[UUID, list[PlayerCommit]]] = []

    async def commit(self, match_id: UUID, players: list[PlayerCommit]) -> CommitResponse:
        if self.error is not None:
            raise self.error
        self.commits.append((match_id, players))
        return CommitResponse(
            [row.player_id for row in players if row.player_id not in self.stale],
            [CommitRefusal(id_, "stale-fence") for id_ in sorted(self.stale)],
        )


class FullDisk:
    """A spool without room, until there is some."""

    def __init__(self, spool: ResultSpool) -> None:
        self.full, self._spool = True, spool

    def write(self, match_id: UUID, results: list[PlayerCommit]) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        self._spool.write(match_id, results)

    def remove(self, match_id: UUID) -> None:
        self._spool.remove(match_id)


@pytest.fixture
def spool(tmp_path: Path) -> ResultSpool:
    return ResultSpool(tmp_path / "results")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def final(meta: Meta, spool: Spool, clock: ManualClock) -> tuple[UUID, FinalCommit, dict[str, int]]:
    match_id, counts = uuid4(), {"commits": 0, "commits_refused": 0}
    return match_id, FinalCommit(match_id, meta, spool, counts, clock), counts


def files(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file()]


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


async def pass_time(clock: ManualClock, task: asyncio.Task[None], step_s: float = 0.25) -> None:
    """Let a task have all the time that it asks for."""

    def step() -> bool:
        clock.advance(step_s)
        return task.done()

    await until(step, "the task is done")


async def test_results_that_are_taken_at_once_never_touch_the_disk(
    spool: ResultSpool, clock: ManualClock, tmp_path: Path
) -> None:
    _, commit, counts = final(Meta(stale=frozenset({12})), spool, clock)
    await commit.commit(RESULTS, 30.0)
    assert counts == {"commits": 1, "commits_refused": 1}
    assert (commit.safe, commit.spooled, files(tmp_path)) == (True, 0, [])


async def test_results_are_on_the_disk_after_the_first_failure_and_leave_it_when_they_are_taken(
    spool: ResultSpool, clock: ManualClock
) -> None:
    meta = Meta(MetaUnavailableError("away"))
    match_id, commit, counts = final(meta, spool, clock)
    task = asyncio.create_task(commit.commit(RESULTS, 30.0))
    await until(lambda: spool.holds(match_id), "the results are spooled")
    assert not task.done()
    meta.error = None
    await pass_time(clock, task)
    assert (counts["commits"], spool.holds(match_id), commit.safe) == (2, False, True)


@pytest.mark.parametrize("error", [MetaUnavailableError("away"), REFUSAL])
async def test_results_that_nobody_takes_stay_on_the_disk(
    spool: ResultSpool, clock: ManualClock, error: Exception
) -> None:
    match_id, commit, _ = final(Meta(error), spool, clock)
    await pass_time(clock, asyncio.create_task(commit.commit(RESULTS, 30.0)))
    assert (commit.spooled, spool.holds(match_id)) == (2, True)


async def test_a_full_disk_keeps_the_server_waiting_until_there_is_room(
    spool: ResultSpool, clock: ManualClock, tmp_path: Path
) -> None:
    disk = FullDisk(spool)
    match_id, commit, _ = final(Meta(MetaUnavailableError("away")), disk, clock)
    task = asyncio.create_task(commit.commit(RESULTS, 30.0))
    for _ in range(400):  # 100 s
        clock.advance(0.25)
        await asyncio.sleep(0)
    assert not task.done()
    assert not files(tmp_path)  # nothing half
    disk.full = False
    await pass_time(clock, task)
    assert spool.holds(match_id)


async def test_results_are_lost_only_when_neither_takes_them_for_minutes(
    spool: ResultSpool, clock: ManualClock
) -> None:
    _, commit, _ = final(Meta(MetaUnavailableError("away")), FullDisk(spool), clock)
    task = asyncio.create_task(commit.commit(RESULTS, 30.0))
    await pass_time(clock, task, MAX_DISK_WAIT_S / 10)
    with pytest.raises(ResultsLostError):
        task.result()


async def test_the_fleet_delivers_what_is_spooled_with_its_fences(
    spool: ResultSpool, clock: ManualClock
) -> None:
    match_id, other = uuid4(), uuid4()
    spool.write(match_id, RESULTS)
    spool.write(other, RESULTS[:1])
    meta = Meta(stale=frozenset({12}))
    delivery = ResultDelivery(spool, meta, clock)
    assert delivery.has_results(match_id)
    await delivery.deliver()
    assert sorted(meta.commits, key=str) == sorted([(match_id, RESULTS), (other, RESULTS[:1])], key=str)
    assert not spool.holds(match_id)
    assert delivery.has_results(match_id)  # its server may be seen to end only now


async def test_an_outage_of_the_meta_service_is_waited_out(spool: ResultSpool, clock: ManualClock) -> None:
    match_id = uuid4()
    spool.write(match_id, RESULTS)
    meta = Meta(MetaUnavailableError("away"))
    running = asyncio.create_task(ResultDelivery(spool, meta, clock).run())
    for _ in range(100):
        clock.advance(1.0)
        await asyncio.sleep(0)
    assert spool.holds(match_id)
    meta.error = None

    def taken() -> bool:
        clock.advance(1.0)
        return not spool.holds(match_id)

    await until(taken, "the results are taken")
    running.cancel()


async def test_a_file_that_nobody_understands_is_kept_for_a_person_and_the_others_are_delivered(
    spool: ResultSpool, clock: ManualClock, tmp_path: Path
) -> None:
    broken, good = UUID(int=1), UUID(int=2)
    spool.write(broken, RESULTS)
    path = tmp_path / "results" / f"{broken}.spool"
    cut_short(path)
    spool.write(good, RESULTS)
    meta = Meta()
    await ResultDelivery(spool, meta, clock).deliver()
    assert [match_id for match_id, _ in meta.commits] == [good]
    assert files(tmp_path) == [f"{broken}.damaged"]


async def test_results_that_the_meta_service_cannot_read_are_kept_for_a_person(
    spool: ResultSpool, clock: ManualClock, tmp_path: Path
) -> None:
    spool.write(UUID(int=1), RESULTS)
    await ResultDelivery(spool, Meta(REFUSAL), clock).deliver()
    assert files(tmp_path) == [f"{UUID(int=1)}.damaged"]


async def test_results_that_say_more_than_the_fleet_knows_are_delivered_and_kept(
    spool: ResultSpool, clock: ManualClock, tmp_path: Path
) -> None:
    match_id = uuid4()
    rows = [[player, player + 100, 1, 0, 9.0, "a field of tomorrow"] for player in (11, 12)]
    content = {"match_id": str(match_id), "rows": rows, "medals": [1]}
    event_spool.write(tmp_path / "results", str(match_id), [json.dumps(content).encode()])
    meta = Meta()
    delivery = ResultDelivery(spool, meta, clock)

    await delivery.deliver()
    await delivery.deliver()

    assert [[row.player_id for row in players] for _, players in meta.commits] == [[11, 12]]
    assert files(tmp_path) == [f"{match_id}.newer"]
    assert delivery.has_results(match_id)
    await ResultDelivery(ResultSpool(tmp_path / "results"), meta, clock).deliver()  # after a restart
    assert files(tmp_path) == [f"{match_id}.newer"]
    spool.remove(match_id)
    assert files(tmp_path) == []
