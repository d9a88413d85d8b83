"""Questions about events: the ready ones, one's own, and those that cannot be answered."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from loadtest.event_fixture import NOW_S, EventFixture, make_event_fixture
from rewards.analytics import heat_map, query
from rewards.analytics.lake import Lake
from rewards.analytics.questions import QUESTIONS
from rewards.cli import app
from rewards.events import ServerState, Source, loadout_changed, purchase, server_lifecycle
from tests.rewards.examples import IDS

RUN = CliRunner()


@pytest.fixture(scope="module")
def known() -> EventFixture:
    return make_event_fixture(8, players=120)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, known: EventFixture) -> Path:
    made = tmp_path_factory.mktemp("lake")
    lake = Lake(made).open()
    for at in range(0, len(known.events), 500):
        lake.add(known.events[at : at + 500], {("t", 0): (at, uuid.UUID(int=at))})
    lake.close()
    return made


def test_kills_by_weapon_and_distance_add_up_to_all_kills(folder: Path, known: EventFixture) -> None:
    rows = query.run(folder, QUESTIONS["kills"].sql).rows
    expected = Counter(e.kill.weapon for e in known.events if e.WhichOneof("event") == "kill")
    found: Counter[str] = Counter()
    for weapon, _, kills, _, _ in rows:
        found[weapon] += kills
    assert found == expected
    assert sum(row[3] for row in rows) == pytest.approx(100, abs=1)


def test_waits_by_region_are_those_in_the_events(folder: Path, known: EventFixture) -> None:
    ((region, players, known_waits, p50, p90, p99, most),) = query.run(folder, QUESTIONS["waits"].sql).rows
    waits = [
        entry.waited_s
        for e in known.events
        if e.WhichOneof("event") == "match_started"
        for entry in e.match_started.players
    ]
    assert (region, players, known_waits) == ("west-europe", len(waits), len(waits))
    assert [p50, p90, p99] == pytest.approx(np.quantile(waits, [0.5, 0.9, 0.99]), abs=0.01)
    assert most == pytest.approx(max(waits), abs=0.01)


def test_retention_counts_who_played_again_after_a_match_of_that_quality(
    folder: Path, known: EventFixture
) -> None:
    rows = query.run(folder, QUESTIONS["retention"].sql).rows
    plays, again = sum(row[1] for row in rows), sum(row[2] for row in rows)
    assert plays == sum(known.matches.values())
    assert again == sum(played - 1 for played in known.matches.values())
    assert {row[0] for row in rows} <= {"0.00 to 0.25", "0.25 to 0.50", "0.50 to 0.75", "0.75 to 1.00"}


def test_damage_by_weapon_adds_up_to_what_matches_sent(folder: Path, known: EventFixture) -> None:
    summaries = [e.damage_summary for e in known.events if e.WhichOneof("event") == "damage_summary"]
    ((weapon, players, dealt, shots, hits, percent, each),) = query.run(folder, QUESTIONS["damage"].sql).rows
    total = sum(summary.dealt for summary in summaries)
    assert (weapon, players, shots, hits) == (
        "rifle",
        len(summaries),
        30 * len(summaries),
        9 * len(summaries),
    )
    assert (dealt, percent) == (pytest.approx(total), 30.0)
    assert each == pytest.approx(total / len(summaries), abs=0.05)


def test_purchases_loadouts_and_servers_are_kept_apart_and_added_up(tmp_path: Path) -> None:
    meta, server = Source("meta", "east-us", ids=IDS), Source("server-1", "east-us", ids=IDS)
    bought = [(1, "crate", 3, 150), (2, "crate", 1, 50), (1, "cape", 1, 70)]
    events = [
        purchase(
            meta,
            now_s=NOW_S,
            player_id=player,
            purchase_id=f"{player}-{item}",
            item_id=item,
            currency="coins",
            price=price, quantity=quantity,
        )
        for player, item, quantity, price in bought
    ]  # fmt: skip
    events += [
        loadout_changed(meta, now_s=NOW_S, player_id=player, skin=skin, version=version)
        for player, skin, version in [(1, "new", 2), (1, "old", 1), (2, "new", 1), (3, "other", 1)]
    ]
    lives = [
        (ServerState.STARTED, 0.0),
        (ServerState.READY, 0.25),
        (ServerState.ALLOCATED, 4.25),
        (ServerState.ENDED, 64.25),
    ]
    events += [server_lifecycle(server, now_s=NOW_S + after_s, state=state) for state, after_s in lives]
    lake = Lake(tmp_path).open()
    lake.add(events, {("t", 0): (len(events), uuid.UUID(int=1))})
    lake.close()

    def rows(name: str) -> list[tuple[object, ...]]:
        return query.run(tmp_path, QUESTIONS[name].sql).rows

    assert rows("purchases") == [("crate", "coins", 2, 4, 200, 2), ("cape", "coins", 1, 1, 70, 1)]
    assert rows("loadouts") == [("new", 2, 66.7), ("other", 1, 33.3)]
    assert rows("servers") == [("east-us", 1, 1, 1, 0, 0.25, 4.0, 60.0)]


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_ready_question_has_an_answer_even_before_anything_happened(tmp_path: Path, name: str) -> None:
    lake = Lake(tmp_path).open()
    lake.add([], {("t", 0): (1, uuid.UUID(int=1))})
    lake.close()
    assert query.run(tmp_path, QUESTIONS[name].sql).rows == []


def test_the_heat_map_is_brightest_where_most_died(folder: Path, known: EventFixture, tmp_path: Path) -> None:
    picture = tmp_path / "deaths.png"
    found = RUN.invoke(app, ["heat-map", str(picture), "--folder", str(folder)])
    assert found.exit_code == 0
    deaths = sum(e.WhichOneof("event") == "death" for e in known.events)
    assert found.stdout == f"{deaths} deaths are in {picture}\n"
    with Image.open(picture) as image:
        pixels = np.asarray(image.convert("L"), dtype=int)
    side = heat_map.CELLS * heat_map.CELL_PIXELS
    assert pixels.shape == (side + heat_map.MARGIN, side)
    middle = pixels[side // 4 : 3 * side // 4, side // 4 : 3 * side // 4]
    assert middle.mean() > 2 * pixels[: side // 8, : side // 8].mean(), "players die around the middle"


def test_north_is_up_and_east_is_right() -> None:
    cells, half_m = heat_map.counts(np.array([0.0, 100.0]), np.array([100.0, 0.0]))
    assert half_m == 100.0
    assert cells[0, heat_map.CELLS // 2] == 1
    assert cells[heat_map.CELLS // 2, -1] == 1


def test_the_command_answers_as_a_table_and_as_json(folder: Path, known: EventFixture) -> None:
    sql = "SELECT killer_id, count(*) AS kills FROM kill GROUP BY ALL ORDER BY ALL"
    found = RUN.invoke(app, ["query", sql, "--folder", str(folder), "--json"])
    assert [json.loads(line) for line in found.stdout.splitlines()] == [
        {"killer_id": player, "kills": kills} for player, kills in sorted(known.kills.items()) if kills
    ]
    assert "weapon" in RUN.invoke(app, ["query", "kills", "--folder", str(folder)]).stdout
    assert {line.split()[0] for line in RUN.invoke(app, ["questions"]).stdout.splitlines()} == set(QUESTIONS)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["query", "SELEKT 1"], "Parser Error"),
        (["query", "SELECT nothing FROM kill"], "nothing"),
        (["query", "SELECT 1 FROM kills"], "kills"),
        (["heat-map", "/nowhere/at/all.png"], "cannot write"),
    ],
)
def test_what_cannot_be_answered_is_one_line(folder: Path, arguments: list[str], words: str) -> None:
    found = RUN.invoke(app, [*arguments, "--folder", str(folder)])
    assert found.exit_code == 1
    assert found.stderr.startswith("error: ")
    assert len(found.stderr.strip().splitlines()) == 1
    assert words in found.stderr


def test_a_folder_without_events_says_what_to_do(tmp_path: Path) -> None:
    found = RUN.invoke(app, ["query", "kills", "--folder", str(tmp_path)])
    assert found.exit_code == 1
    assert "start the backend" in found.stderr


def test_launchday_passes_events_on(folder: Path) -> None:
    argv = [
        sys.executable,
        "-m",
        "launchday.cli",
        "events",
        "query",
        "deaths",
        "--folder",
        str(folder),
        "--json",
    ]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr
    assert {json.loads(line)["cause"] for line in done.stdout.splitlines()} == {"killed", "zone"}


@pytest.mark.parametrize("name", ["[old] *? lake", "day=7", "it's \n", os.fsdecode(b"no text \xff")])
def test_a_folder_may_have_any_name(name: str, folder: Path, tmp_path: Path) -> None:
    named = tmp_path / name
    named.symlink_to(folder)
    assert (
        query.run(named, "SELECT count(*) FROM kill").rows
        == query.run(folder, "SELECT count(*) FROM kill").rows
    )


@pytest.mark.parametrize("machine", ["Europe/Berlin", "America/Los_Angeles"])
def test_hours_and_days_are_those_of_utc_wherever_the_machine_is(
    machine: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", machine)
    sql = "SELECT date_trunc('day', timestamptz '2026-03-29 23:30:00+00'), timestamptz '2026-03-29 02:30:00'"
    ((day, read),) = query.run(folder, sql).rows
    assert (day.isoformat(), read.isoformat()) == ("2026-03-29T00:00:00+00:00", "2026-03-29T02:30:00+00:00")


def test_values_are_shown_whole_and_json_is_valid(folder: Path) -> None:
    sql = """SELECT '[gm] gift[/weekend]' AS "[b]", 'nan'::FLOAT AS odd, MAP {1: [now()]} AS deep,
        '\u202e' AS turned"""
    shown = RUN.invoke(app, ["query", sql, "--folder", str(folder)])
    assert "[gm] gift[/weekend]" in shown.stdout
    assert "[b]" in shown.stdout
    assert r"\u202e" in shown.stdout
    printed = RUN.invoke(app, ["query", sql, "--folder", str(folder), "--json"]).stdout
    row = json.loads(printed, parse_constant=pytest.fail)
    assert (row["[b]"], row["odd"], list(row["deep"])) == ("[gm] gift[/weekend]", "nan", ["1"])
    assert row["deep"]["1"][0].endswith("+00:00")


def test_a_picture_that_cannot_be_written_is_told_before_anything_is_read(tmp_path: Path) -> None:
    target = str(tmp_path / "missing" / "x.png")
    told = RUN.invoke(app, ["heat-map", target, "--folder", str(tmp_path / "no lake")])
    assert told.exit_code == 1
    assert "there is no folder" in told.stderr
