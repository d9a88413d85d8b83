"""The wire as a later version may have it: a copy of the package with one more row in each table.

`grown_package` makes the copy. As a program, under that copy, this is one end of a match for the test that
plays the other: a line of JSON in, a line out. What the rows hold that nobody fills is one bits, so that
whoever takes them for something else is found out.
"""

from __future__ import annotations

import ast
import json
import shutil
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
ROW = 'Field("added", 3, "of a later version"),'
GROWN = {
    "fields.py": (
        "MATCH_FIELDS", "SCORE_FIELDS", "OBJECTIVE_FIELDS", "SNAPSHOT_FIELDS", "HINT_FIELDS", "VITALS_FIELDS",
        "CLIENT_MESSAGE_FIELDS", "INPUT_FIELDS", "FAREWELL_FIELDS",
    ),
    "reliable_kinds.py": ("RELIABLE_HEAD_FIELDS",),
    "client_kinds.py": ("CLIENT_PING_FIELDS",),
}  # fmt: skip
# Each kind of reliable message has the row, too, and there is one more kind.
MORE_KINDS = (
    f"RELIABLE_KINDS = tuple(kind._replace(table=(*kind.table, {ROW})) for kind in RELIABLE_KINDS)"
    f'\nRELIABLE_KINDS += (ReliableKind(7, "added", "everybody", ({ROW})),)'
)
# A player has so many that a record takes another word.
MORE_FIELDS = (
    'ENTITY_KINDS = {name: (*rows, EntityField(f"added_{name}", 3, PLAIN, "of a later version"))'
    " for name, rows in ENTITY_KINDS.items()}"
    '\nENTITY_KINDS["player"] += (EntityField("stance", 2, PLAIN, "0 stands, 1 crouches, 2 lies"),'
    ' EntityField("skin", 40, PLAIN, "what it wears"))'
)


def grown_package(folder: Path) -> None:
    """Copy the package `dedicated_server` into a folder, with one more row in each table of messages."""
    copy = folder / "dedicated_server"
    shutil.copytree(ROOT / "dedicated_server", copy, ignore=shutil.ignore_patterns("__pycache__"))
    for name, tables in GROWN.items():
        path = copy / "protocol" / name
        path.write_text(_behind(path.read_text(), {table: f"{table} += ({ROW})" for table in tables}))
    path = copy / "protocol" / "reliable_kinds.py"
    path.write_text(_behind(path.read_text(), {"RELIABLE_KINDS": MORE_KINDS}))
    path = copy / "protocol" / "entity_table.py"
    path.write_text(_behind(path.read_text(), {"ENTITY_KINDS": MORE_FIELDS}))
    path = copy / "protocol" / "tables.py"
    text = path.read_text()
    assert text.count("        value = int64(0)\n        if place < len(values)") == 1
    path.write_text(
        text.replace(
            "        value = int64(0)\n        if place < len(values)",
            "        value = most\n        if place < len(values)",
        )
    )


def _behind(text: str, additions: dict[str, str]) -> str:
    """Put a line behind the statement that each name is assigned in."""
    lines = text.split("\n")
    places = {}
    for node in ast.parse(text).body:
        targets = [*getattr(node, "targets", []), getattr(node, "target", None)]
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(targets[0], ast.Name):
            places[targets[0].id] = node.end_lineno
    for name in sorted(additions, key=lambda name: -(places[name] or 0)):
        lines.insert(places[name] or 0, additions[name])
    return "\n".join(lines)


def main() -> None:
    """Play the end that each line names, until there is none."""
    from tests.dedicated_server.protocol.grown_match import End

    ends = {"server": End(serves=True), "clients": End(serves=False)}
    for line in sys.stdin:
        asked: dict[str, Any] = json.loads(line)
        end = ends[asked["end"]]
        print(json.dumps(end.turn(asked["datagrams"]) if "datagrams" in asked else end.state()), flush=True)


if __name__ == "__main__":
    main()
