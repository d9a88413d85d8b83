"""Check that services ask their `launchday.clock.Clock` for time, chance, ids and threads; ``make check``
runs it.

A service that reads a clock behind its clock's back cannot live in virtual time, cannot be repeated from a
seed, and takes a step of the wall clock for an hour that has passed. So the names in `FORBIDDEN` may be used
nowhere in the packages of `SERVICES` but in the files of `ALLOWED`, each with its reason. Scripts of the
cache and statements of the store get ``now`` as an argument.

``python -m tests.seam_rules [PATH …]`` shows the breaches, those below the paths alone where some are given.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
SERVICES = ("launchday", "matchmaker", "dedicated_server", "meta_service", "rewards")
OUTSIDE = ("launchday/cli", "launchday/engines", "launchday/launcher")  # what starts services is none

ALLOWED = {
    "launchday/clock.py": "it is the seam",
    "dedicated_server/tick/pacing.py": "it spins to a tick's due time and times stages, compiled",
    "dedicated_server/match/report_thread.py": "its one thread works on copies, with no time and no chance",
    "launchday/resilience/clocks/shared_time.lua": "it keeps the time that the others are given",
    "launchday/resilience/clocks/store_time.py": "it asks how far the store's clock is from ours",
    "launchday/resilience/store_checks.py": "it asks how far the store's clock is from ours",
    "launchday/outputs.py": "of commands: a name that no file of anybody has",
    "launchday/resilience/day_partitions.py": "days are the store's, and a clock that is ahead drops none",
    "meta_service/store/downgrade.py": "a command, as schema.py",
    "meta_service/writebehind/bans.py": "it follows rows by the store's time, with which they are stamped",
    "meta_service/store/schema.py": "a command, no service: alembic has its own event loop and thread",
}

CLOCK = "ask the clock for now() or monotonic()"
SLEEP = "await clock.sleep(…)"
CHANCE = "draw from clock.random(NAME)"
THREAD = "await clock.run_in_thread(…) or clock.start_thread(…)"
FORBIDDEN = {
    **{
        f"time.{name}{unit}": CLOCK
        for name in ("time", "monotonic", "perf_counter", "clock_gettime")
        for unit in ("", "_ns")
    },
    "time.sleep": SLEEP,
    "time.gmtime": CLOCK,
    "time.localtime": CLOCK,
    "asyncio.sleep": SLEEP,
    "datetime.datetime.now": CLOCK,
    "datetime.datetime.utcnow": CLOCK,
    "datetime.datetime.today": CLOCK,
    "datetime.date.today": CLOCK,
    "uuid.uuid1": "take clock.uuid()",
    "uuid.uuid4": "take clock.uuid()",
    "uuid.uuid7": "take clock.uuid()",
    "os.urandom": CHANCE,
    "numpy.random.SeedSequence": "seed it: an empty one draws from the operating system",
    "numpy.random.default_rng": "seed it: an empty one draws from the operating system",
    "asyncio.to_thread": THREAD,
    "threading.Thread": THREAD,
    "threading.Timer": THREAD,
    "concurrent.futures.ThreadPoolExecutor": THREAD,
    "concurrent.futures.thread.ThreadPoolExecutor": THREAD,
}
MODULES = {"secrets": CHANCE, "random": CHANCE}  # everything in them, but for the types
TYPES = {"random.Random"}  # named in annotations; made by the clock alone
METHODS = {"run_in_executor": THREAD}  # of whatever object
SEEDED = {"numpy.random.SeedSequence", "numpy.random.default_rng"}  # right with an argument

SQL_NOW = re.compile(
    r"\b(now\s*\(\s*\)|current_timestamp|clock_timestamp\s*\(|gen_random_uuid\s*\(|localtimestamp)", re.I
)
LUA_TIME = re.compile(r"""redis\.call\(\s*['"](TIME|RANDOMKEY)['"]|math\.random|os\.(time|clock)""", re.I)


def main() -> int:
    """Print every breach, one a line; return 1 where there is one."""
    only = sys.argv[1:]
    breaches = [
        breach
        for breach in scan(ROOT)
        if not only or any(breach.startswith(path.rstrip("/")) for path in only)
    ]
    for breach in breaches:
        print(breach)
    print(f"seam rules: {len(breaches)} breaches")
    return int(bool(breaches))


def scan(root: Path) -> list[str]:
    """Find all breaches below ``root``: ``path:line: what: what to do``, in order of paths."""
    breaches = []
    for package in SERVICES:
        for path in sorted((root / package).rglob("*")):
            name = path.relative_to(root).as_posix()
            if name in ALLOWED or name.startswith(OUTSIDE):
                continue
            if path.suffix == ".py" and "/migrations/" not in name:
                breaches += [f"{name}:{line}: {what}" for line, what in python_breaches(path.read_text())]
            elif path.suffix in (".lua", ".sql"):
                breaches += [f"{name}:{line}: {what}" for line, what in script_breaches(path.read_text())]
    return breaches


def python_breaches(source: str) -> list[tuple[int, str]]:
    """The breaches of one module: its line and what is wrong."""
    tree = ast.parse(source)
    full_names = dict(_imports(tree))
    found = []
    seeded = {
        id(call.func)
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and (call.args or call.keywords)
    }
    waits = {
        id(call.func)
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and len(call.args) == 1
        and isinstance(call.args[0], ast.Constant)
        and call.args[0].value == 0
    }
    documents = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documents:
            if _is_sql(node.value) and (match := SQL_NOW.search(node.value)):
                found.append((node.lineno, f"{match[0]} in SQL: give it as an argument"))
            continue
        if not isinstance(node, (ast.Name, ast.Attribute)) or not isinstance(node.ctx, ast.Load):
            continue
        if isinstance(node, ast.Attribute) and node.attr in METHODS:
            found.append((node.lineno, f"{node.attr}: {METHODS[node.attr]}"))
            continue
        name = _full_name(node, full_names)
        if name is None:
            continue
        if name in SEEDED and id(node) in seeded:
            continue
        if name == "asyncio.sleep" and id(node) in waits:
            continue  # a turn of the event loop is no time
        remedy = FORBIDDEN.get(name)
        head, _, rest = name.partition(".")
        if remedy is None and rest and head in MODULES and not (name in TYPES and id(node) not in seeded):
            remedy = MODULES[head]
        if remedy is not None:
            found.append((node.lineno, f"{name}: {remedy}"))
    return sorted(set(found))


def script_breaches(source: str) -> list[tuple[int, str]]:
    """The breaches of one Lua or SQL script: its line and what is wrong."""
    found = []
    for number, line in enumerate(source.splitlines(), 1):
        code = line.split("--", 1)[0]
        if match := LUA_TIME.search(code) or SQL_NOW.search(code):
            found.append((number, f"{match[0]}: give it as an argument"))
    return found


def _imports(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Every imported name of a module with its full name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield (
                    (alias.asname or alias.name.split(".")[0]),
                    (alias.name if alias.asname else alias.name.split(".")[0]),
                )
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                yield (alias.asname or alias.name), f"{node.module}.{alias.name}"


def _full_name(node: ast.expr, imports: dict[str, str]) -> str | None:
    """The full dotted name of what an expression names, or None where it does not begin with an import."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name) or node.id not in imports:
        return None
    return ".".join([imports[node.id], *reversed(parts)])


def _is_sql(text: str) -> bool:
    """Whether a string of a program looks like a statement."""
    return bool(re.search(r"\b(SELECT|INSERT|UPDATE|DELETE|VALUES|SET|WHERE|RETURNING)\b", text))


if __name__ == "__main__":
    sys.exit(main())
