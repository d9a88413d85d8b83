"""A disk that is full burns no server and leaves nothing half-written, and all goes on once there is room."""

from __future__ import annotations

import errno
import json
import os
import uuid
from pathlib import Path
from typing import Any

import httpx2
import pytest

from dedicated_server.agones_sdk import MATCH_ANNOTATION
from dedicated_server.fleet.admin import policy_overrides
from dedicated_server.fleet.admin.policy_overrides import PolicyOverride, PolicyOverrides, buffer_policy
from dedicated_server.fleet.agones import allocation_journal
from dedicated_server.fleet.agones.allocation_journal import AllocationJournal
from dedicated_server.fleet.agones.allocator import AllocationNotRecordedError, Allocator
from dedicated_server.fleet.agones.requests import AllocationRequest, Metadata
from dedicated_server.fleet.client import FleetUnavailableError
from dedicated_server.fleet.pool.pool import WarmPool
from dedicated_server.fleet.steps import parts
from tests.dedicated_server.fleet.conftest import RunningFleet
from tests.dedicated_server.fleet.stub_pool import make_ready, new_pool


class Disk:
    """A disk with ``room`` bytes: what the journal knows as ``os``."""

    def __init__(self) -> None:
        self.room = 1 << 30

    def write(self, file: int, data: bytes) -> int:
        taken = data[: self.room]
        if data and not taken:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.room -= len(taken)
        return os.write(file, taken)

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk()
    monkeypatch.setattr(allocation_journal, "os", disk)
    return disk


@pytest.fixture
def pool(tmp_path: Path) -> WarmPool:
    pool = new_pool(tmp_path / "logs")
    make_ready(pool, pool.clock.monotonic())
    return pool


def request(match_id: str) -> AllocationRequest:
    match = json.dumps({"match_id": match_id, "players": [{"player_id": "7"}]})
    return AllocationRequest(metadata=Metadata(annotations={MATCH_ANNOTATION: match}))


def lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a journal, each of which must be whole."""
    text = path.read_bytes()
    assert not text or text.endswith(b"\n")
    return [json.loads(line) for line in text.split(b"\n") if line]


@pytest.mark.parametrize("room", [0, 1, 60])
def test_an_allocation_that_cannot_be_written_down_takes_no_server_and_leaves_no_part_of_a_line(
    tmp_path: Path, pool: WarmPool, disk: Disk, room: int
) -> None:
    path = tmp_path / "journal"
    with AllocationJournal(path) as journal:
        allocator, now, key = Allocator(pool, journal), pool.clock.monotonic(), str(uuid.uuid4())
        before = pool.counts()
        disk.room = room
        for _ in range(12):
            with pytest.raises(AllocationNotRecordedError, match="disk full"):
                allocator.allocate(request(key), key, now)
        assert pool.counts() == before
        assert pool.fleet_counters.matches_started == 0
        assert lines(path) == []
        disk.room = 1 << 20
        given = allocator.allocate(request(key), key, now)
        assert allocator.allocate(request(key), key, now) == given
        assert [line["allocated"]["key"] for line in lines(path)] == [key]
        assert journal.fault == ""


def test_a_match_that_ends_on_a_full_disk_frees_its_server_and_is_written_down_later(
    tmp_path: Path, pool: WarmPool, disk: Disk
) -> None:
    path = tmp_path / "journal"
    with AllocationJournal(path) as journal:
        allocator, now, key = Allocator(pool, journal), pool.clock.monotonic(), str(uuid.uuid4())
        name = allocator.allocate(request(key), key, now).name
        disk.room = 10
        journal.finished(name, True, "")
        journal.probe()
        assert journal.fault == "disk full"
        assert len(lines(path)) == 1
        with pytest.raises(AllocationNotRecordedError):  # its line stands behind that of the end
            allocator.allocate(request("other"), "other", now)
        disk.room = 1 << 20
        journal.probe()
        assert journal.fault == ""
        assert lines(path)[-1] == {"finished": name, "ended": True, "reason": ""}
    with AllocationJournal(path) as after:
        assert (len(after.orphans), len(after.recent)) == (0, 1)


def test_a_line_that_could_not_be_cut_off_is_skipped_and_the_next_is_whole(
    tmp_path: Path, disk: Disk, pool: WarmPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal"

    def refused(*_: object) -> None:
        raise OSError(errno.EIO, "no")

    with AllocationJournal(path) as journal:
        allocator, now = Allocator(pool, journal), pool.clock.monotonic()
        disk.room = 40
        monkeypatch.setattr(disk, "ftruncate", refused, raising=False)
        with pytest.raises(AllocationNotRecordedError):
            allocator.allocate(request("cut"), "cut", now)
        disk.room = 1 << 20
        allocator.allocate(request("whole"), "whole", now)
    with AllocationJournal(path) as after:
        assert list(after.keys) == ["whole"]


def test_a_journal_that_cannot_be_rewritten_goes_on_in_the_file_that_there_is(
    tmp_path: Path, disk: Disk, pool: WarmPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal"
    with AllocationJournal(path) as journal:
        Allocator(pool, journal).allocate(request("a"), "a", pool.clock.monotonic())
    monkeypatch.setattr(disk, "replace", lambda *_: _no_space(), raising=False)
    with AllocationJournal(path) as journal:
        assert [entry.key for entry in journal.orphans] == ["a"]
        Allocator(pool, journal).allocate(request("b"), "b", pool.clock.monotonic())
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["journal", "logs"]
    assert [line["allocated"]["key"] for line in lines(path)] == ["a", "b"]


def _no_space() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


async def test_a_fleet_on_a_full_disk_keeps_its_servers_says_so_and_goes_on_by_itself(
    fleet: RunningFleet, disk: Disk
) -> None:
    playing = await fleet.play("stay")
    server = fleet.pool.get(playing)
    assert server is not None
    await fleet.until(lambda: bool(server.report))
    await fleet.full()
    disk.room = 0
    for key in ("one", "two"):
        with pytest.raises(FleetUnavailableError, match="make room"):
            await fleet.play("stay", key=key)
    await fleet.admin.end_match(server.match_id)
    await fleet.until(lambda: server.gone)
    await fleet.full()
    counts = (await fleet.admin.fleet())["total"]
    assert counts.get("Unhealthy", 0) == counts.get("Allocated", 0) == 0
    async with httpx2.AsyncClient() as http:
        ready = await http.get(f"{fleet.url}/readyz")
    assert ready.status_code == 200
    assert ready.json()["parts"]["disk"].startswith("disk full")
    disk.room = 1 << 20
    await fleet.until(lambda: not fleet.journal.fault)
    await fleet.play("stay", key="one")


def test_a_policy_that_cannot_be_kept_is_not_set_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = PolicyOverrides(tmp_path / "policies.json")
    full = Disk()
    monkeypatch.setattr(full, "fsync", lambda _: _no_space(), raising=False)
    monkeypatch.setattr(policy_overrides, "os", full)
    with pytest.raises(OSError, match="No space"):
        overrides.set("west-europe", PolicyOverride(buffer_policy(3), "somebody", 0.0))
    assert overrides.get("west-europe") is None
    assert list(tmp_path.iterdir()) == []


async def test_the_disks_part_is_well_while_the_disk_takes_the_journal(tmp_path: Path, disk: Disk) -> None:
    class Parents:
        warm = False

        def list_servers(self, now: float) -> None: ...

    with AllocationJournal(tmp_path / "journal") as journal:
        of_disk, of_parents, _ = parts(Parents(), journal, tmp_path, {})
        assert await of_disk.check() is None
        assert await of_parents.check() == "no warm parent takes orders"
        journal.fault = "disk full"
        assert "no allocation can be written down" in str(await of_disk.check())
        disk.room = 0
        journal.probe()
        assert journal.fault == "disk full"
