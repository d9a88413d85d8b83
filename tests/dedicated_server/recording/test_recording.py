"""Recorded matches, played again bit for bit; and recordings that nobody recorded."""

from __future__ import annotations

import errno
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dedicated_server.cards import shipped_cards
from dedicated_server.protocol.client.state import CLIENT_CONNECTED
from dedicated_server.protocol.inputs import INPUT_RING, INPUT_TICK
from dedicated_server.protocol.server.wire import SECRET_BYTES, ServerWire
from dedicated_server.recording.description import read_config
from dedicated_server.recording.file import (
    CHUNK,
    COLUMNS,
    END,
    MAGIC,
    MATCH,
    Chunk,
    DamagedRecordingError,
    NotARecordingError,
    RecordingError,
    Section,
    SectionWriter,
    UnknownModeRecordedError,
    new_chunk,
    pack_chunk,
    read_sections,
    unpack_chunk,
)
from dedicated_server.recording.playback import put_inputs
from dedicated_server.recording.recorder import RecordedInputs, Recorder, append_tick, state_hash
from dedicated_server.recording.replay import ReplayResult, replay
from dedicated_server.simulation import world as w
from dedicated_server.simulation.match import RosterPlayer
from launchday.clock import SystemClock
from tests.dedicated_server.replication.lossy import LossyTable
from tests.dedicated_server.replication.test_lossy_links import Wanderers
from tests.dedicated_server.tick.swarm import config
from tests.waiting import until_sync


def record(path: Path, ticks: int = 6_000, players: int = 8, **changes: Any) -> LossyTable:
    changes = {"spawn_radius_m": 40.0, "match_s": 20.0, **changes}
    table = LossyTable(players, Wanderers(players), record_to=path, **changes)
    table.play(ticks)
    return table


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short match, played to its end."""
    path = tmp_path_factory.mktemp("recording") / "match.ldr"
    assert record(path, players=4, spawn_radius_m=150.0, match_s=12.0).engine.finished
    return path


def rewrite(path: Path, change: Callable[[list[Section]], list[Section]], to: Path) -> Path:
    """Write a recording's sections anew, changed, with checks that are right."""
    sections = change(list(read_sections(path)))
    with to.open("wb") as file:
        writer = SectionWriter(file)
        for section in sections:
            writer.write(section.kind, section.body)
    return to


@pytest.mark.parametrize(("mode", "teams"), [("battle_royale", 10), ("teams_of_five", 2)])
def test_a_match_over_bad_lines_is_played_again_bit_for_bit(tmp_path: Path, mode: str, teams: int) -> None:
    path = tmp_path / "match.ldr"
    roster = [
        RosterPlayer(player_id=9_000 + entity, team=entity % teams, entity=entity) for entity in range(10)
    ]
    table = LossyTable(
        10,
        Wanderers(10, teams),
        record_to=path,
        card=shipped_cards()[mode],
        players=roster,
        spawn_radius_m=50.0,
        match_s=30.0,
    )
    table.play(6_000)
    assert table.engine.finished
    result = replay(path)
    assert result.identical
    assert result.ended == "ended"
    assert result.ticks == table.engine.tick_number
    assert result.compared >= result.ticks // 60
    assert list(result.placements) == [player.placement for player in table.engine.result()]
    assert result.kills == table.engine.match.world.status[w.KILLS].sum() > 0
    assert result.config == table.engine.config
    print({"mode": mode, "ticks": result.ticks, "bytes": path.stat().st_size})


def test_players_who_come_back_leave_fall_silent_or_never_come_are_played_again_too(tmp_path: Path) -> None:
    path = tmp_path / "match.ldr"
    table = LossyTable(
        8, Wanderers(8), record_to=path, spawn_radius_m=300.0, match_s=30.0, join_timeout_s=1.0
    )
    table.clients.free(7)
    table.play(200)
    table.clients.reconnect(0)
    table.clients.leave(1)
    table.clients.free(2)
    table.play(120)
    table.engine.skip(7)
    table.play(400)
    table.clients.reconnect(3)
    table.play(6_000)
    assert table.engine.finished
    counters = table.engine.wire.counters_by_name()
    assert (counters["reconnects"], counters["leaves"]) == (2, 1)
    assert counters["time_outs"] >= 1
    result = replay(path)
    assert result.identical
    assert result.ended == "ended"
    assert result.ticks + 7 == table.engine.tick_number


def test_a_recording_of_a_server_that_was_killed_is_of_the_match_until_then(
    recorded: Path, tmp_path: Path
) -> None:
    whole = recorded.read_bytes()
    cut = tmp_path / "cut.ldr"
    ticks = []
    for share in (0.2, 0.5, 0.9):
        cut.write_bytes(whole[: round(len(whole) * share)])
        result = replay(cut)
        assert result.identical
        assert result.ended is None
        ticks.append(result.ticks)
    assert 0 < ticks[0] < ticks[1] < ticks[2] < replay(recorded).ticks


def test_one_input_changed_by_one_bit_is_noticed(recorded: Path, tmp_path: Path) -> None:
    def change(sections: list[Section]) -> list[Section]:
        chunk, state = unpack_chunk(sections[3].body)
        chunk.row_move_x[10] ^= 1
        return [*sections[:3], Section(CHUNK, pack_chunk(chunk, state)), *sections[4:]]

    result = replay(rewrite(recorded, change, tmp_path / "changed.ldr"))
    assert not result.identical
    assert result.difference is not None
    assert (result.difference.what, result.compared) == ("the state", 3)


def test_placements_that_did_not_come_of_the_match_are_noticed(recorded: Path, tmp_path: Path) -> None:
    def change(sections: list[Section]) -> list[Section]:
        end = sections[-1].json()
        end["placements"] = end["placements"][::-1]
        return [*sections[:-1], Section(END, json.dumps(end).encode())]

    result = replay(rewrite(recorded, change, tmp_path / "changed.ldr"))
    assert result.difference is not None
    assert result.difference.what == "the placements"


@given(at=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_flipped_bit_anywhere_is_damage_or_an_early_end(
    recorded: Path, tmp_path: Path, at: float, bit: int
) -> None:
    content = bytearray(recorded.read_bytes())
    content[int(at * len(content))] ^= 1 << bit
    path = tmp_path / "flipped.ldr"
    path.write_bytes(content)
    try:
        result = replay(path)
    except RecordingError:
        return
    assert result.identical
    assert result.ended is None


@given(content=st.binary(max_size=300))
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_file_of_anything_is_not_a_recording(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "anything.ldr"
    path.write_bytes(content)
    with pytest.raises(RecordingError if content.startswith(MAGIC) else NotARecordingError):
        replay(path)
    path.write_bytes(MAGIC + content)
    with pytest.raises(RecordingError):
        replay(path)


integers = {
    name: st.one_of(st.integers(0, 3), st.integers(np.iinfo(dtype).min, np.iinfo(dtype).max))
    for name, (dtype, _) in COLUMNS.items()
}


@st.composite
def hostile_chunks(draw: st.DrawFn) -> Chunk:
    """Chunks whose sums are right and whose values are anything."""
    ticks = draw(st.integers(1, 4))
    sums = {
        name: draw(st.lists(st.integers(0, 3), min_size=ticks, max_size=ticks))
        for name in ("changes", "updates")
    }
    rows = draw(st.lists(st.integers(0, 3), min_size=sum(sums["updates"]), max_size=sum(sums["updates"])))
    counts = (ticks, sum(sums["changes"]), len(rows), sum(rows))
    chunk = new_chunk(counts)
    for name, (_, of) in COLUMNS.items():
        column = getattr(chunk, name)
        if name in sums or name == "update_rows":
            column[:] = sums.get(name, rows)
        else:
            column[:] = draw(st.lists(integers[name], min_size=counts[of], max_size=counts[of]))
    return chunk


@given(chunks=st.lists(hostile_chunks(), min_size=1, max_size=3))
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_well_formed_recording_of_nonsense_is_refused_or_differs(
    recorded: Path, tmp_path: Path, chunks: list[Chunk]
) -> None:
    def change(sections: list[Section]) -> list[Section]:
        return [sections[0], *(Section(CHUNK, pack_chunk(chunk, bytes(16))) for chunk in chunks)]

    try:
        result = replay(rewrite(recorded, change, tmp_path / "nonsense.ldr"))
    except DamagedRecordingError:
        return
    assert not result.identical


@given(name=st.sampled_from(list(COLUMNS)), value=st.integers(), place=st.integers(0, 1_000))
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_real_recording_with_one_value_changed_is_refused_or_played(
    recorded: Path, tmp_path: Path, name: str, value: int, place: int
) -> None:
    def change(sections: list[Section]) -> list[Section]:
        chunk, state = unpack_chunk(sections[2].body)
        column = getattr(chunk, name)
        if len(column):
            column[place % len(column)] = value & np.iinfo(column.dtype).max
        return [*sections[:2], Section(CHUNK, pack_chunk(chunk, state)), *sections[3:]]

    try:
        result = replay(rewrite(recorded, change, tmp_path / "changed.ldr"))
    except DamagedRecordingError:
        return
    assert isinstance(result, ReplayResult)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda children: st.lists(children, max_size=3),
    max_leaves=5,
)


@given(
    name=st.sampled_from(["match_id", "mode", "seed", "match_s", "tick_hz", "spawn_radius_m", "players"]),
    value=json_values,
)
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_match_described_wrongly_is_refused_or_played(
    recorded: Path, tmp_path: Path, name: str, value: Any
) -> None:
    def change(sections: list[Section]) -> list[Section]:
        return [Section(MATCH, json.dumps({**sections[0].json(), name: value}).encode()), *sections[1:3]]

    try:
        result = replay(rewrite(recorded, change, tmp_path / "changed.ldr"))
    except (DamagedRecordingError, UnknownModeRecordedError):
        return
    assert isinstance(result, ReplayResult)


def test_a_mode_that_has_changed_since_is_named(recorded: Path, tmp_path: Path) -> None:
    assert replay(recorded).changed == ()

    def change(sections: list[Section]) -> list[Section]:
        match = sections[0].json()
        match["card"] |= {"speed_m_per_s": 7.0, "hooks": "another file's"}
        return [Section(MATCH, json.dumps(match).encode()), *sections[1:]]

    assert replay(rewrite(recorded, change, tmp_path / "changed.ldr")).changed == ("speed_m_per_s", "hooks")


def test_a_recording_of_another_version_is_refused_in_one_line_that_names_both(
    recorded: Path, tmp_path: Path
) -> None:
    older = tmp_path / "older.ldr"
    older.write_bytes(b"LDREC002" + recorded.read_bytes()[len(MAGIC) :])
    with pytest.raises(NotARecordingError, match=r"version 2.* reads version \d+: replay it with") as refused:
        replay(older)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "change",
    [
        lambda sections: sections[1:],
        lambda sections: [sections[0], *sections],
        lambda sections: [*sections, sections[1]],
        lambda sections: [*sections[:2], Section(7, b""), *sections[2:]],
        lambda sections: [Section(MATCH, b"[" * 100_000)],
        lambda sections: [Section(MATCH, b"\xff")],
        lambda sections: [Section(MATCH, b"[]")],
        lambda sections: [sections[0], Section(CHUNK, b"")],
        lambda sections: [sections[0], Section(CHUNK, bytes(32))],
        lambda sections: [sections[0], sections[1], Section(CHUNK, sections[2].body[:-1])],
    ],
)
def test_sections_that_no_server_would_have_written_are_damage(
    recorded: Path, tmp_path: Path, change: Callable[[list[Section]], list[Section]]
) -> None:
    with pytest.raises(DamagedRecordingError):
        replay(rewrite(recorded, change, tmp_path / "changed.ldr"))


def test_a_section_that_would_unpack_to_more_than_it_says_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "bomb.ldr"
    with path.open("wb") as file:
        SectionWriter(file).write(MATCH, bytes(100 << 20))
    content = bytearray(path.read_bytes())
    assert len(content) < 1 << 20
    content[13:17] = (1_000).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(DamagedRecordingError):
        replay(path)


def test_a_recording_that_grows_too_large_ends_there_and_the_match_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "large.ldr"
    table = LossyTable(4, Wanderers(4), record_to=None, spawn_radius_m=300.0, match_s=60.0)
    recorder = Recorder(path, table.engine.config, SystemClock(), max_bytes=3_000)
    table.engine._recorder = recorder
    for _ in range(10):
        table.play(60)
        until_sync(recorder._waiting.empty, "the recorder's thread has taken what was handed over")
    assert recorder.ended == "too large"
    recorder.finish(table.engine.match.world, [])
    assert path.stat().st_size < 60_000
    result = replay(path)
    assert result.identical
    assert result.ended is None
    assert (table.sessions["state"] == CLIENT_CONNECTED).all()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no disk that is always full")
def test_a_disk_that_refuses_ends_the_recording_and_not_the_match() -> None:
    table = LossyTable(2, Wanderers(2), record_to=Path("/dev/full"), match_s=60.0)
    table.play(130)
    assert table.recorder is not None
    table.recorder.finish(table.engine.match.world, [])
    assert table.recorder.ended == "the disk refused"
    assert (table.sessions["state"] == CLIENT_CONNECTED).all()


@pytest.mark.parametrize(("whole", "left"), [(0, 0), (2, 2)])
def test_a_disk_that_is_full_leaves_whole_sections_or_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: int, left: int
) -> None:
    path = tmp_path / "match.ldr"
    write = SectionWriter.write

    def until_full(writer: SectionWriter, kind: int, body: bytes) -> None:
        if writer.sections == whole:
            writer._file.write(b"half of a section")
            writer._file.flush()
            raise OSError(errno.ENOSPC, "no space")
        write(writer, kind, body)

    monkeypatch.setattr(SectionWriter, "write", until_full)
    table = LossyTable(2, Wanderers(2), record_to=path, match_s=60.0)
    table.play(130)
    assert table.recorder is not None
    table.recorder.finish(table.engine.match.world, [])
    assert table.recorder.ended == "the disk refused"
    assert path.exists() == bool(left)
    if left:
        assert len(list(read_sections(path))) == left
        assert path.stat().st_size == table.recorder._writer.written_bytes


def test_a_description_is_read_back_as_it_was(recorded: Path) -> None:
    described = next(read_sections(recorded)).json()
    assert read_config(described) == config(4, spawn_radius_m=150.0, match_s=12.0)


updates = st.lists(  # (client, how far on from its newest, how many inputs), several a tick
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(-3, 70), st.integers(0, 16), st.booleans()), max_size=4
    ),
    min_size=1,
    max_size=12,
)


@given(script=updates, seed=st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_what_is_gathered_and_put_back_is_what_the_wire_had(
    script: list[list[tuple[int, int, int, bool]]], seed: int
) -> None:
    random = np.random.default_rng(seed)
    server, again = (
        ServerWire(
            fleet_key=bytes(32),
            match_id=config(3).match_id,
            player_ids=[1, 2, 3],
            host="127.0.0.1",
            port=1,
            secret=bytes(SECRET_BYTES),
        )
        for _ in range(2)
    )
    known = RecordedInputs(np.zeros((3, INPUT_RING), np.int32), np.zeros(3, np.int32))
    for tick, said in enumerate(script, start=100):
        for slot, step, count, _ in said:
            newest = max(int(server.input_newest[slot]) + step, 0)
            for input_tick in range(max(newest - count + 1, 1), newest + 1):
                row = server.inputs[slot, input_tick % INPUT_RING]
                if row[INPUT_TICK] < input_tick:
                    row[:] = [
                        input_tick,
                        *random.integers(-128, 128, 2),
                        *random.integers(0, 256, 2),
                        tick - 5,
                        int(random.integers(0, 16)),
                        tick - int(random.integers(0, 20)),
                    ]
            server.input_newest[slot] = max(newest, server.input_newest[slot])
        chunk, counts = new_chunk((60, 12, 180, 1_000)), np.zeros(4, np.int64)
        append_tick(chunk, counts, known, server.state, tick, 1, False)
        assert put_inputs(chunk, np.zeros(3, np.int64), again.inputs, again.input_newest, tick)
        assert (again.inputs == server.inputs).all()
        assert (again.input_newest == server.input_newest).all()
        assert (known.input_tick == server.input_tick).all()


def test_the_state_hash_sees_every_bit_of_the_world(tmp_path: Path) -> None:
    world = record(tmp_path / "match.ldr", ticks=60).engine.match.world
    before = state_hash(world)
    for array in (world.body, world.status, world.position_history, world.counters[: w.EVENT_COUNT]):
        flat = array.reshape(-1).view(np.uint8) if array.flags.c_contiguous else array
        flat[len(flat) // 2] ^= 1
        assert state_hash(world) != before
        flat[len(flat) // 2] ^= 1
    assert state_hash(world) == before


def test_what_recording_adds_to_a_tick_of_a_hundred(tmp_path: Path) -> None:
    table = record(tmp_path / "match.ldr", ticks=60, players=100, match_s=60.0)
    recorder, engine = table.recorder, table.engine
    assert recorder is not None
    took_us = []
    for _ in range(120):
        table.play(1)
        engine._recorder = None
        begun_ns = time.perf_counter_ns()
        recorder.record_tick(engine.tick_number, True, engine.wire.state, engine.match.world)
        took_us.append((time.perf_counter_ns() - begun_ns) / 1e3)
    print({"recording_us": {"p50": round(float(np.median(took_us)), 1), "max": round(max(took_us), 1)}})
    assert np.median(took_us) < 2_000
