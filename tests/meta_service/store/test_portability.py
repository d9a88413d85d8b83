"""What databases of PostgreSQL's protocol refuse is used where docs/operating.md says, and nowhere else.

The schema is read as PostgreSQL tells it at the newest step; statements are the texts of the code that are no
docstrings.
"""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from launchday.engines import Postgres
from launchday.engines.base import engine_environment
from tests.walks import ROOT

PAGE = ROOT / "docs" / "operating.md"
SCHEMA = "the schema"
MIGRATIONS = "migrations"
CODE = ("meta_service", "rewards", "launchday")
# What is refused somewhere, and how it is recognised.
REFUSED = {
    "transition tables": r"\bREFERENCING\s+(NEW|OLD)\s+TABLE",
    "declarative partitions": r"\b(ATTACH|DETACH) PARTITION\b|(?<!OVER \()\bPARTITION (BY|OF)\b",
    "LOCK TABLE": r"\bLOCK TABLE\b",
    "transaction advisory locks": r"\bpg_(try_)?advisory_xact_lock\b",
    "session advisory locks": r"\bpg_(try_)?advisory_(un)?lock\b",
    "anonymous blocks": r"\bDO \$",
    "snapshots": r"\bpg_current_snapshot\b",
    "CONCURRENTLY": r"\b(CREATE|DROP)\b.*\bINDEX CONCURRENTLY\b",
    "COPY": r"\bCOPY\b.*\b(FROM|TO)\b",
    "deferrable constraints": r"\bDEFERRABLE\b",
    "constraint triggers": r"\bCONSTRAINT TRIGGER\b",
    "exclusion constraints": r"\bEXCLUDE USING\b",
    "extensions": r"\bCREATE EXTENSION\b",
    "temporary tables": r"\bTEMP(ORARY)? TABLE\b",
    "LISTEN and NOTIFY": r"^\s*(LISTEN|NOTIFY)\b|\bpg_notify\b",
    "named prepared statements": r"^\s*PREPARE \w+ AS\b",
    "session settings": r"^\s*SET (?!LOCAL\b)\w+ (=|TO)\b|\bset_config\([^)]*false\)",
    "two-phase commits": r"\bPREPARE TRANSACTION\b",
    "cursors that are held": r"\bWITH HOLD\b",
    "unlogged tables": r"\bUNLOGGED\b",
    "inheritance": r"\bINHERITS\s*\(",
    "generalised indexes": r"\bUSING (gist|gin|brin|spgist)\b",
}


def test_what_others_refuse_is_used_where_the_page_says(store_url: str) -> None:
    assert listed() == {name: sorted(used) for name, used in _used(store_url).items()}


def listed() -> dict[str, list[str]]:
    """The page's table: what is refused, and where it is used."""
    section = PAGE.read_text().partition("\n## PostgreSQL\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([^|]+) \| ([^|]*) \| [^|]+ \|$", section, re.MULTILINE)
    return {
        name: [] if where == "nowhere" else sorted(each.strip(" `") for each in where.split(","))
        for name, where in rows
        if name in REFUSED
    }


def _used(store_url: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {name: set() for name in REFUSED}
    texts = [(SCHEMA, statement) for statement in _schema(store_url)]
    for folder in CODE:
        for file in sorted((ROOT / folder).rglob("*.py")):
            place = file.relative_to(ROOT).as_posix()
            place = MIGRATIONS if "/migrations/" in place else place
            texts += [(place, text) for text in _texts(file)]
    for place, text in texts:
        for name, pattern in REFUSED.items():
            if re.search(pattern, text, re.MULTILINE):
                found[name].add(place)
    return found


def _schema(store_url: str) -> Iterator[str]:
    """The statements by which PostgreSQL would make the newest schema."""
    dump = Postgres.program().parent / "pg_dump"
    argv = [str(dump), "--schema-only", "--no-owner", "--dbname", store_url]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, env=engine_environment())
    begins = done.stdout.index("CREATE ")  # after the settings of the dump itself
    yield from done.stdout[begins:].split(";\n")


def _texts(file: Path) -> Iterator[str]:
    """The texts of a module that are no docstrings, those with values in them in one piece."""
    tree = ast.parse(file.read_text())
    within = {
        id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)
    }
    said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(
                str(part.value) if isinstance(part, ast.Constant) else "name" for part in node.values
            )
        elif isinstance(node, ast.Attribute) and node.attr.startswith(("copy_from_", "copy_to_")):
            yield "COPY rows TO us"  # asyncpg writes the statement
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in within | said:
            yield node.value
