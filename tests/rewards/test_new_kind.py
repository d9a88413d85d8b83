"""A kind of event is one place: a copy of the package gets one, in its schema and its rules alone."""

from __future__ import annotations

import filecmp
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import rewards

PACKAGE = Path(rewards.__file__).parent
ROOT = PACKAGE.parent

IN_ENVELOPE = "    RelicFound relic_found = 127;\n"
MESSAGE = """
// A player found a relic.
message RelicFound {
  option (topic) = "player";
  option (key) = "finder_id";
  option (priority) = 92;
  int64 finder_id = 1;
  repeated int64 guide_ids = 2;
  string name = 3;
  Position at = 4;
  uint32 age_years = 5 [(bounds) = {least: 100}];
}
"""
WORTH = """\
  relic_found: [{to: finder_id, points: 400}, {to: guide_ids, points: 40, where: {min_age_years: 1000}}]
"""

PLAY = """
import asyncio, json, sys
import rewards
from pathlib import Path
from rewards.analytics import columns
from rewards.consumer.store import Store
from rewards.events import BadEventError, make_event, parse_envelope, routing
from rewards.events.priority_queue import EventPriorityQueue
from rewards.progression import rules
from tests.rewards.examples import NOW_S, SOURCE
from tests.rewards.running import LETTERS, batch, query

assert Path(rewards.__file__).parent == Path(sys.argv[1]), rewards.__file__

def relic(finder_id, guide_ids, age_years):
    fields = {"finder_id": finder_id, "guide_ids": guide_ids, "name": "amulet", "age_years": age_years}
    return make_event(SOURCE, "relic_found", fields | {"at": {"x_m": 1.5, "y_m": -2.5}}, now_s=NOW_S, tick=9)

async def main():
    queue = EventPriorityQueue(9)
    for event in (relic(1, [2, 3], 2000), relic(1, [2], 200)):
        queue.put(event)
    sent = [event.SerializeToString() for event in queue.take(9)]
    read = [parse_envelope(data) for data in sent]
    store = Store(sys.argv[2], "rewards", rules.load(), LETTERS)
    try:
        await store.apply(batch(read), NOW_S)
        await store.apply(batch(read, first_offset=2), NOW_S)  # told again
    finally:
        await store.close()
    refused = []
    for bad in (relic(1, [], 99), relic(0, [], 100), relic(1, [-1], 100)):
        try:
            parse_envelope(bad.SerializeToString())
        except BadEventError as error:
            refused.append(str(error))
    topic, key = routing(read[0])
    row = columns.table("relic_found", read).to_pylist()[0]
    print(json.dumps({
        "topic": topic.suffix, "key": key.decode(), "refused": refused,
        "xp": await query(sys.argv[2], "SELECT player_id, xp FROM progression ORDER BY 1"),
        "row": {name: row[name] for name in sys.argv[3].split()},
    }))

asyncio.run(main())
"""


def _python(folder: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _insert(path: Path, after: str, text: str) -> None:
    before = path.read_text(encoding="utf-8")
    assert before.count(after) == 1
    path.write_text(before.replace(after, after + text), encoding="utf-8")


def _changed_files(copy: Path) -> set[str]:
    return {
        str(path.relative_to(copy))
        for path in copy.rglob("*")
        if path.is_file()
        and "__pycache__" not in path.parts
        and not filecmp.cmp(path, PACKAGE / path.relative_to(copy), shallow=False)
    }


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the package whose schema has one kind more."""
    made = tmp_path / PACKAGE.name
    shutil.copytree(PACKAGE, made, ignore=shutil.ignore_patterns("__pycache__"))
    schema = made / "events.proto"
    _insert(schema, "    FlagCaptured flag_captured = 28;\n", IN_ENVELOPE)
    schema.write_text(schema.read_text(encoding="utf-8") + MESSAGE, encoding="utf-8")
    return made


@pytest.mark.timeout(120)
def test_a_new_kind_is_a_message_of_the_schema_and_a_line_of_the_rules(copy: Path, store_url: str) -> None:
    _insert(
        copy / "progression" / "rules.yaml",
        "\n  win: 500           # placement 1, on top of match_played\n",
        WORTH,
    )
    assert _changed_files(copy) == {"events.proto", "progression/rules.yaml"}
    _python(copy.parent, str(copy / "events" / "generate.py"))
    assert _changed_files(copy) == {
        *("events.proto", "progression/rules.yaml"),
        *("events/events_pb2.py", "events/events_pb2.pyi"),
    }

    seen = json.loads(
        _python(
            copy.parent, "-c", PLAY, str(copy), store_url, "finder_id guide_ids name at_x_m age_years tick"
        )
    )

    assert (seen["topic"], seen["key"]) == ("player", "1")
    assert seen["xp"] == [[1, 800], [2, 40], [3, 40]]
    assert seen["row"] == {
        "finder_id": 1,
        "guide_ids": [2, 3],
        "name": "amulet",
        "at_x_m": 1.5,
        "age_years": 2000,
        "tick": 9,
    }
    assert seen["refused"] == [
        "age_years is less than 100",
        "finder_id is not a player id",
        "guide_ids is not a player id",
    ]


@pytest.mark.timeout(120)
def test_a_kind_that_says_not_where_it_goes_stops_whoever_reads_the_schema(copy: Path) -> None:
    schema = copy / "events.proto"
    schema.write_text(schema.read_text().replace('  option (key) = "finder_id";\n', ""))
    _python(copy.parent, str(copy / "events" / "generate.py"))
    with pytest.raises(AssertionError, match=r"SchemaError: the \(key\) of RelicFound"):
        _python(copy.parent, "-c", "import rewards.events")
