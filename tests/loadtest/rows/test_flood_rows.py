from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from launchday.outputs import OutputError
from loadtest.players.player_records import PlayerState, Wait, WaitEnd
from loadtest.rows import tables
from loadtest.rows.columns import TABLES, schema
from loadtest.rows.flood_rows import tables_of, write_flood_rows
from loadtest.rows.tables import RunTables
from tests.loadtest.sample_run import MATCHES, sample_outcome


def test_a_flood_writes_the_columns_that_a_simulation_has(tmp_path: Path) -> None:
    outcome = sample_outcome()
    write_flood_rows(outcome, tmp_path / "rows")
    for name in TABLES:
        written = pq.read_schema(tmp_path / "rows" / f"{name}.parquet")
        assert written.remove_metadata().equals(schema(name).remove_metadata())
        assert written.metadata[b"launchday.world"] == b"flood"
        assert written.metadata[b"launchday.run_id"] == outcome.run_id.encode()


def test_every_wait_is_a_row_and_whoever_gave_up_is_censored() -> None:
    outcome = sample_outcome()
    records = outcome.records
    records.waits.clear()
    for bot in range(3):
        records.record_wait(
            Wait(bot, float(bot), bot + 2.0, "east-us", MATCHES[0], entity=bot, end=WaitEnd.MATCHED)
        )
    records.record_wait(Wait(0, 60.0, 75.0, end=WaitEnd.GAVE_UP))
    rows = tables_of(outcome).table("tickets").to_pydict()
    assert rows["player"] == [0, 1, 2, 0]
    assert rows["wait_number"] == [1, 1, 1, 2]
    assert rows["wait_s"] == [2.0, 2.0, 2.0, 15.0]
    assert rows["censored"] == [False, False, False, True]
    assert rows["state"] == ["matched", "matched", "matched", "gave up"]
    assert rows["match"] == [0, 0, 0, None]
    assert rows["region"] == ["east-us"] * 3 + [None]
    assert rows["rtt_ms"][3] is None
    assert rows["rtt_ms"][0] > 0.0
    matches = tables_of(outcome).table("matches").to_pydict()
    assert matches["match_id"] == [MATCHES[0]]
    assert (matches["players"], matches["formed_s"], matches["state"]) == ([3], [2.0], ["over"])
    assert matches["kills"] == [90]


def test_samples_have_the_players_by_state_and_the_queues() -> None:
    outcome = sample_outcome()
    rows = tables_of(outcome).table("samples").to_pydict()
    assert set(rows["thing"]) <= {"players", "servers", "queue"}
    at_start = [
        count
        for at_s, thing, count in zip(rows["at_s"], rows["thing"], rows["count"], strict=True)
        if at_s == 0.0 and thing == "players"
    ]
    assert sum(at_start) == 200
    assert len(at_start) == len(PlayerState)


def test_a_run_without_a_player_writes_empty_tables(tmp_path: Path) -> None:
    outcome = sample_outcome()
    outcome.records.waits.clear()
    write_flood_rows(outcome, tmp_path)
    assert pq.read_metadata(tmp_path / "tickets.parquet").num_rows == 0
    assert pq.read_metadata(tmp_path / "matches.parquet").num_rows == 0


def test_where_one_table_fails_the_former_ones_stay(tmp_path: Path) -> None:
    write_flood_rows(sample_outcome(), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    whole = tables_of(sample_outcome(kills_applied=3))

    def full_disk() -> Iterator[Any]:
        yield from whole.batches["samples"]()
        raise OSError(errno.ENOSPC, "No space left on device")

    torn = RunTables(whole.schemas, {**whole.batches, "samples": full_disk})
    with pytest.raises(OutputError, match="No space left"):
        tables.write(torn, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
