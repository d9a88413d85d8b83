"""The bench of full disks: what it calls half-written, and whom its stand-in leases."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import UUID

import pytest

from dedicated_server.recording.file import CHUNK, MAGIC, MATCH, SectionWriter
from loadtest.bench.resilience.disk.inspection import half_written
from loadtest.bench.resilience.disk.stand_in_meta import StandInMeta
from meta_service.client import CheckoutResponse, CommitResponse, PlayerCommit
from meta_service.messages.base import PlayerId, decode, encode
from meta_service.messages.leases import CheckoutRequest, CommitRequest
from rewards.events import spool

MATCH_ID = UUID(int=3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder in which every kind of file is whole."""
    (tmp_path / "allocations.jsonl").write_bytes(b'{"finished":"a"}\n\n{"finished":"b"}\n')
    (tmp_path / "policies.json").write_text("{}")
    spool.write(tmp_path / "spool", "events", [b"one", b"two"])
    with (tmp_path / "match.ldr").open("wb") as file:
        writer = SectionWriter(file)
        writer.write(MATCH, json.dumps({}).encode())
        writer.write(CHUNK, bytes(100))
    (tmp_path / "server.log").write_bytes(b"a line that is c")
    return tmp_path


def test_whole_files_are_whole(folder: Path) -> None:
    assert half_written(folder) == []


@pytest.mark.parametrize(
    ("name", "cut"),
    [("allocations.jsonl", 3), ("policies.json", 1), ("spool/events.spool", 2), ("match.ldr", 4)],
)
def test_a_file_that_is_cut_is_named(folder: Path, name: str, cut: int) -> None:
    path = folder / name
    path.write_bytes(path.read_bytes()[:-cut])
    [line] = half_written(folder)
    assert line.startswith(path.name)


def test_what_was_never_renamed_is_left_over(folder: Path) -> None:
    (folder / "policies.new").write_text("{")
    (folder / "empty.ldr").write_bytes(MAGIC[:3])
    assert half_written(folder) == ["empty.ldr: no recording", "policies.new: left over"]


def test_the_stand_in_leases_everybody_and_takes_results_when_told_to() -> None:
    meta = StandInMeta(0)
    asked = encode(CheckoutRequest(MATCH_ID, "server", "west-europe", 60.0, [PlayerId(7), PlayerId(8)]))
    status, answer = meta._answer("/v1/internal/checkouts", asked)
    leased = decode(answer, CheckoutResponse)
    assert (status, [player.player_id for player in leased.checked_out]) == (200, [7, 8])
    results = encode(CommitRequest(MATCH_ID, [PlayerCommit(PlayerId(7), 1, 1, 0, 1.0)]))
    status, answer = meta._answer("/v1/internal/commits", results)
    assert (status, decode(answer, CommitResponse).committed) == (200, [7])
    meta.takes_results = False
    assert meta._answer("/v1/internal/commits", results)[0] == 503
