"""The lake: files whole or absent after any crash, each event once."""

from __future__ import annotations

import random
import re
import subprocess
import sys
import time
import uuid
from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st

from loadtest import event_versions
from loadtest.event_fixture import make_event_fixture
from rewards.analytics import columns, lake, lake_ids
from rewards.analytics.erase import rows_of
from rewards.analytics.event_ids import KnownIds, as_ids
from rewards.analytics.lake import Lake
from rewards.errors import LakeInUseError
from rewards.events import Envelope, EventIds, Source, player_connected
from rewards.lake_manifest import MANIFEST
from tests.rewards.events.test_parse import EXAMPLES
from tests.rewards.examples import a_death, a_grant, a_kill

KNOWN = make_event_fixture(4, players=100)
REACHED = {("test.player", 0): (7, uuid.UUID(int=1))}


def ids_in(folder: Path) -> list[bytes]:
    return [
        event_id.as_py()
        for kind in columns.KINDS
        for path in lake.files(folder, kind)
        for event_id in pq.read_table(path, columns=["event_id"]).column("event_id")
    ]


def assert_each_once(folder: Path, events: list[Envelope]) -> None:
    assert sorted(ids_in(folder)) == sorted(event.event_id for event in events)


@given(st.lists(st.lists(st.integers(0, 300), max_size=20), max_size=8))
def test_known_ids_are_a_set(additions: list[list[int]]) -> None:
    known, naive = KnownIds(), set[int]()
    for numbers in additions:
        ids = as_ids([number.to_bytes(16, "little") for number in numbers])
        assert known.contains(ids).tolist() == [number in naive for number in numbers]
        known.add(np.unique(ids))
        naive |= set(numbers)


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: event.WhichOneof("event"))
def test_every_kind_of_event_becomes_a_row_of_its_schema(event: Envelope) -> None:
    kind = event.WhichOneof("event")
    assert kind is not None
    row = columns.table(kind, [event]).to_pylist()[0]
    assert row["event_id"] == event.event_id
    assert row["occurred_at"].timestamp() == event.occurred_at
    if kind == "kill":
        assert (row["killer_at_x_m"], row["victim_at_y_m"], row["assist_ids"]) == (1.0, -2.0, [3])
    if kind == "death":
        assert row["cause"] == "zone"
    if kind == "match_started" and event.match_started.mode == "teams_of_five":
        assert [player["waited_s"] for player in row["players"]] == [4.5, None]
        assert row["quality"] == 0.75


def test_events_are_there_once_by_day_and_kind_and_offsets_with_them(tmp_path: Path) -> None:
    writer = Lake(tmp_path).open()
    assert writer.add([*KNOWN.events, *KNOWN.events[:50]], REACHED) == len(KNOWN.events)
    assert writer.add(KNOWN.events[:300], REACHED) == 0
    assert writer.duplicates == 350
    writer.close()

    again = Lake(tmp_path).open()
    assert again.add(KNOWN.events[:300], REACHED) == 0, "a lake that was opened again knows what is in it"
    assert_each_once(tmp_path, KNOWN.events)
    assert {path.parent.parent.name for path in tmp_path.rglob("*.parquet")} == {"day=2026-11-18"}
    assert again._offsets == REACHED
    again.close()


@pytest.mark.parametrize("step", ["_write", "_write_manifest", "_publish"])
@pytest.mark.parametrize("after", [False, True])
def test_a_crash_at_any_step_leaves_each_event_once_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, after: bool
) -> None:
    first, second = KNOWN.events[:400], KNOWN.events[400:]
    writer = Lake(tmp_path).open()
    writer.add(first, REACHED)
    real = getattr(Lake, step)

    def crash(self: Lake, *arguments: object) -> None:
        if after:
            real(self, *arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(Lake, step, crash)
    with pytest.raises(KeyboardInterrupt):
        writer.add(second, REACHED)
    monkeypatch.undo()
    writer.close()  # the lock goes with the process

    done = step == "_publish" or (step == "_write_manifest" and after)
    again = Lake(tmp_path).open()
    assert_each_once(tmp_path, KNOWN.events if done else first)
    assert again.add(second, REACHED) == (0 if done else len(second))
    assert_each_once(tmp_path, KNOWN.events)
    assert not list(tmp_path.rglob("*.partial"))
    again.close()


def test_what_others_keep_in_the_folder_stays_and_a_manifest_of_theirs_is_refused(tmp_path: Path) -> None:
    Lake(tmp_path).open().close()
    theirs = [
        tmp_path / "notes.partial",
        tmp_path / "day=x" / "kind=y" / "notes.partial",
        tmp_path / "journal.json",
    ]
    foreign = tmp_path / "foreign" / "kind=y" / "part-1.parquet.partial"
    for path in (*theirs, foreign):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("theirs")
    (tmp_path / "day=link").symlink_to(foreign.parent.parent)
    own = tmp_path / "day=x" / "kind=y" / "part-1.parquet.partial"
    own.touch()
    Lake(tmp_path).open().close()
    assert not own.exists()
    assert all(path.read_text() == "theirs" for path in (*theirs, foreign))
    manifest = tmp_path / "manifest.json"
    manifest.write_text('{"files": []}')
    with pytest.raises(LakeInUseError, match="not a manifest of launchday's"):
        Lake(tmp_path).open()
    assert manifest.read_text() == '{"files": []}'


def test_a_second_writer_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    first = Lake(tmp_path).open()
    with pytest.raises(LakeInUseError, match="another process"):
        Lake(tmp_path).open()
    first.close()
    Lake(tmp_path).open().close()


WRITER = """
import sys, uuid
from pathlib import Path
from loadtest.event_fixture import make_event_fixture
from rewards.analytics.lake import Lake
known, lake = make_event_fixture(4, players=100), Lake(Path(sys.argv[1])).open()
at = lake._offsets.get(("t", 0), (0, None))[0]
print("at", at, flush=True)
while at < len(known.events):
    part = known.events[max(0, at - 7) : at + 25]  # some of them again
    at = min(at + 25, len(known.events))
    lake.add(part, {("t", 0): (at, uuid.UUID(int=at))})
print("done", flush=True)
"""


def test_killed_with_minus_nine_at_random_moments_it_goes_on_and_has_each_event_once(tmp_path: Path) -> None:
    rng, ended = random.Random(3), False
    for turn in range(40):
        child = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        assert child.stdout.readline().startswith("at ")
        if turn < 3:
            wait_until = time.monotonic() + rng.uniform(0.0, 0.15)
            while time.monotonic() < wait_until:
                pass
            child.kill()
        ended = child.stdout.readline() == "done\n"
        child.wait()
        child.stdout.close()
        held = ids_in(tmp_path)
        assert len(held) == len(set(held)), "an event is there twice"
        if ended:
            break
    assert ended
    assert_each_once(tmp_path, KNOWN.events)


def test_a_folder_of_before_the_first_release_is_read_on(tmp_path: Path) -> None:
    writer = Lake(tmp_path).open()
    writer.add(KNOWN.events[:300], REACHED)
    writer.close()
    (tmp_path / MANIFEST).rename(tmp_path / lake.FORMER_MANIFEST)

    again = Lake(tmp_path).open()
    assert again.add(KNOWN.events, REACHED) == len(KNOWN.events) - 300
    again.close()
    assert_each_once(tmp_path, KNOWN.events)
    assert not (tmp_path / lake.FORMER_MANIFEST).exists()


def test_what_is_newer_is_kept_whole_and_put_among_its_kind_once_by_a_program_that_knows_it(
    tmp_path: Path,
) -> None:
    old, new = event_versions.older(is_whole=True), event_versions.newer(is_whole=True)
    events = [a_kill(1, 2), a_grant(1, 5), a_grant(2, 5), a_death(3)]
    events[3].needs = event_versions.NEWER_VERSION
    read = [old(event.SerializeToString()) for event in events]
    writer = Lake(tmp_path, old).open()
    assert writer.add([], REACHED, read) == 0
    assert writer.add([read[1][0]], REACHED) == 0, "a kind that nobody knows is kept, whoever adds it"
    assert (writer.newer_waiting, lake.newer_waiting(tmp_path)) == (4, 4)
    writer.close()
    Lake(tmp_path, old).open().close()
    assert ids_in(tmp_path) == []

    again = Lake(tmp_path).open()  # today's program does not know the next version
    assert again.newer_waiting == lake.newer_waiting(tmp_path) == 1
    assert_each_once(tmp_path, events[:3])
    assert again.add(events[:2], REACHED) == 0
    again.close()

    last = Lake(tmp_path, new).open()
    assert last.newer_waiting == 0
    last.close()
    assert_each_once(tmp_path, events)
    assert not list(tmp_path.rglob("kind=newer/*"))


def test_a_crash_while_newer_events_are_taken_up_doubles_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = event_versions.older(is_whole=True)
    event = a_grant(1, 5)
    writer = Lake(tmp_path, old).open()
    writer.add([], REACHED, [old(event.SerializeToString())])
    writer.close()

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Lake, "_publish", crash)
    monkeypatch.setattr(Lake, "_recover", lambda self: setattr(self, "_sequence", 1))
    with pytest.raises(KeyboardInterrupt):
        Lake(tmp_path).open()
    monkeypatch.undo()

    Lake(tmp_path).open().close()
    assert_each_once(tmp_path, [event])
    assert lake.newer_waiting(tmp_path) == 0


def renumbered(event: Envelope, numbers: dict[int, int]) -> Envelope:
    """The event with other numbers for players, by its text."""
    text = re.sub(
        r"\b(\w+_ids?): (\d+)\b",
        lambda found: f"{found[1]}: {numbers.get(int(found[2]), int(found[2]))}",
        text_format.MessageToString(event),
    )
    return text_format.Parse(text, Envelope())


def rows_in(folder: Path) -> list[str]:
    found = (path for kind in columns.KINDS for path in lake.files(folder, kind))
    return sorted(str(row) for path in found for row in pq.read_table(path).to_pylist())


PLAYERS = {number: 2**60 + number for number in range(101)}  # as large as real ones
REAL = [renumbered(event, PLAYERS) for event in KNOWN.events]
DELETED = {2**60 + number: 2**61 + number for number in (3, 4, 5)}


def test_players_get_other_numbers_wherever_they_are_and_nothing_else_changes(tmp_path: Path) -> None:
    kept = Envelope.FromString(next(event for event in REAL if event.HasField("kill")).SerializeToString())
    kept.event_id, kept.kill.killer_id, kept.kill.victim_id = uuid.uuid4().bytes, 2**60 + 5, 2**60 + 3
    unknown = Envelope(event_id=uuid.uuid4().bytes, occurred_at=kept.occurred_at)
    unknown.MergeFromString(b"\xfa\x3f\x0a" + kept.kill.SerializeToString()[:10])  # field 1023: its killer
    with closing(Lake(tmp_path / "one").open()) as one, closing(Lake(tmp_path / "other").open()) as other:
        one.add(REAL, REACHED, [(kept, "a field"), (unknown, "a kind")])
        other.add([renumbered(event, DELETED) for event in REAL], REACHED)
        assert one.replace_players(DELETED) > 3
        assert one.replace_players(DELETED) == 0
        assert rows_in(tmp_path / "one") == rows_in(tmp_path / "other")
        assert one.add(REAL, REACHED) == 0, "their ids are known still"
        (file,) = lake.files(tmp_path / "one", columns.NEWER)
        events = [Envelope.FromString(row["envelope"]) for row in pq.read_table(file).to_pylist()]
        assert {event.kill.victim_id for event in events if event.HasField("kill")} == {2**61 + 3}
        assert one.newer_waiting == len(events)


def test_a_crash_while_players_get_other_numbers_leaves_each_file_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = Lake(tmp_path).open()
    writer.add(REAL, REACHED)

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Lake, "_publish", crash)
    with pytest.raises(KeyboardInterrupt):
        writer.replace_players(DELETED)
    monkeypatch.undo()
    writer.close()  # the lock goes with the process
    again = Lake(tmp_path).open()
    assert_each_once(tmp_path, REAL)
    again.replace_players(DELETED)
    again.close()
    assert_each_once(tmp_path, REAL)
    assert [*rows_of(tmp_path, 2**60 + 3)] == []
    assert [*rows_of(tmp_path, 2**61 + 3)] != []


def test_ids_in_memory_have_an_end_and_those_of_an_older_hour_are_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lake_ids, "MAX_IDS", 10)
    monkeypatch.setattr(lake_ids, "MAX_FOLDERS", 2)
    ids = EventIds(random.Random(3).getrandbits)
    source = Source("server-1", "west-europe", uuid.UUID(int=1), ids=ids)
    hours = [
        [
            player_connected(source, now_s=1_795_000_000.0 + 3600 * hour + at, tick=1, player_id=1)
            for at in range(20)
        ]
        for hour in range(60)
    ]
    made = Lake(tmp_path).open()
    assert [made.add(hour, {}) for hour in hours] == [20] * 60
    assert len(made._ids) <= 10 + 20
    assert len(made._ids._ranges) <= 2
    assert [made.add(hour[:5], {}) for hour in hours] == [0] * 60
    made.close()
    with closing(Lake(tmp_path).open()) as again:
        assert again.add([event for hour in hours for event in hour], {}) == 0
