"""The drill: a backend under load is saved, goes on, is destroyed, and brought back in another folder.

Players flood it and play matches, and clients beside them change loadouts, buy, give back, check out and
commit; each acknowledgement is logged. A backup is made meanwhile by ``launchday backup``. Some seconds
later every process is killed and the folder removed, the bus with it. ``launchday restore`` brings the
backup back into a new folder, services start there, the ledger is drawn up, and a second flood has to
balance on it.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import asyncpg

from launchday import child_processes
from launchday.settings import ENV_PREFIX
from loadtest.bench.engines.drill_ledger import Window, judge, matches_played
from loadtest.bench.engines.measuring import EngineFault
from loadtest.bench.options import Options
from loadtest.chaos.meta_load import CRATE, SKINS
from loadtest.chaos.operation_log import read_operations
from loadtest.errors import BenchError
from meta_service.store import catalogue

FAULTS: Sequence[EngineFault] = ()
PLAYERS = 72
MATCH_PLAYERS = 12
MATCH_S = 8.0
BEFORE_S = 15.0  # of the flood, at least
MATCHES = 2  # that have ended before the backup begins
MATCHES_WITHIN_S = 75.0
ARRIVALS_S = 90.0  # longer than the flood is left alone
AFTER_S = 6.0
START_S = 120.0
GONE_S = 20.0
FLOOD_S = 120.0
REGION = "west-europe"  # of the flood; the clients beside it play in another
_ENDED = "SELECT count(DISTINCT match_id) FROM match_history WHERE outcome = 'committed' AND region = $1"
SCENARIO = """
name: drill
players: {{count: {players}, locations: {{west-europe: 1.0}}}}
arrivals: {{curve: constant, over_s: {over_s}}}
modes: {{battle_royale: {{players: {match}, duration_s: {match_s}}}}}
behaviours: {{rest_s: 0.3, patience_s: 60}}
fleet: {{regions: [west-europe], buffer: 2}}
"""

LOST_WITH_BUS = ("events missed by rewards", "events missed by analytics")
"""Lines of a flood's ledger that say what a reader missed of the bus that was destroyed."""


def figures(options: Options) -> Iterator[dict[str, Any]]:
    """Do the drill; yield its line. Raises BenchError where a step fails."""
    with tempfile.TemporaryDirectory(prefix="launchday-drill-") as folder:
        yield _drill(Path(folder), options)


def _drill(place: Path, options: Options) -> dict[str, Any]:
    players = options.players or PLAYERS
    scenario, again = place / "drill.yaml", place / "again.yaml"
    for file, count, over_s in (
        (scenario, players, ARRIVALS_S),
        (again, 2 * MATCH_PLAYERS, 6.0),
    ):
        file.write_text(SCENARIO.format(players=count, over_s=over_s, match=MATCH_PLAYERS, match_s=MATCH_S))
    backup, log = place / "backup", place / "operations.jsonl"
    keys = {"IDENTITY_SECRET": secrets.token_hex(32), "FLEET_KEY": secrets.token_hex(32)}
    first = _Backend(place / "first", keys)
    with first.running():
        asyncio.run(_stock(first.settings["STORE_URL"]))
        with (
            first.beside("loadtest.chaos.meta_load", str(log)) as load,
            first.beside(
                "launchday.cli", "flood", str(scenario), "--running", "--report", str(place / "1.html")
            ) as flood,
        ):
            asyncio.run(_matches_ended(first.settings["STORE_URL"], options.seconds or BEFORE_S))
            began_ns, began = time.monotonic_ns(), time.time()
            said = first.run("backup", str(backup), "--json")
            ended_ns = time.monotonic_ns()
            time.sleep(AFTER_S)
            for process in (load, flood):
                if process.poll() is not None:
                    raise BenchError(f"the load of the drill ended by itself: {first.last_words()}")
    destroyed = time.monotonic()
    _destroy(first.folder)
    second = _Backend(place / "second", keys)
    restored_from = time.monotonic()
    done = second.run("restore", str(backup), "--json")
    restore_s = time.monotonic() - restored_from
    with second.running():
        up_s = time.monotonic() - destroyed
        window = Window(began_ns, ended_ns, began)
        operations = read_operations(log)
        verdict, played = asyncio.run(_judged(second.settings["STORE_URL"], operations, window))
        flooded = second.run("flood", str(again), "--running", "--json", "--report", str(place / "2.html"))
        later, _ = asyncio.run(_judged(second.settings["STORE_URL"], operations, window))
    off = {line["name"]: line["difference"] for line in flooded["ledger"]["lines"] if not line["balanced"]}
    # The bus was destroyed as well, and its readers say what they had not read of it.
    went_with_bus = sum(off.pop(name, 0) for name in LOST_WITH_BUS)
    balanced = not off
    half = sum(verdict.half.values()) + sum(later.half.values())
    return {
        "bench": "engines",
        "engine": "all",
        "drill": "destroyed under load, restored from a backup",
        "before": verdict.before,
        "between": verdict.between,
        "after": verdict.after,
        "matches_before": played,
        "lost_before": verdict.lost["before"],
        "lost_between": verdict.lost["between"],
        "lost_after": verdict.lost["after"],
        "half": half,
        "halves": {**verdict.half, **later.half},
        "waited": said["cache"]["waiting"],
        "unread_older": said["bus"].get("older_than_backup_unread"),
        "unread": said["bus"].get("unread"),
        "leases_ended": done["leases_ended"],
        "balanced": balanced,
        "unbalanced": off,
        "missed_of_lost_bus": went_with_bus,
        "backup_s": round(_seconds(said["began"], said["ended"]), 2),
        "restore_s": round(restore_s, 2),
        "back_after_s": round(up_s, 1),
        "bytes": sum(path.stat().st_size for path in backup.rglob("*") if path.is_file()),
        "passed": bool(
            verdict.before
            and verdict.after
            and played
            and not verdict.lost["before"]
            and not half
            and balanced
        ),
    }


def _destroy(folder: Path) -> None:
    """Remove a folder in which processes that were just killed may still end."""
    deadline = time.monotonic() + GONE_S
    while folder.exists() and time.monotonic() < deadline:
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.1)
    if folder.exists():
        raise BenchError(f"{folder} is still in use: somebody outlived the kill")


async def _stock(store_url: str) -> None:
    connection = await asyncpg.connect(store_url)
    try:
        await catalogue.put(connection, [CRATE, *SKINS])
    finally:
        await connection.close()
    await asyncio.sleep(1.0)  # the meta service looks at the catalogue twice a second here


async def _matches_ended(store_url: str, at_least_s: float) -> None:
    """Wait until matches of players have ended, and their results are stored."""
    deadline = time.monotonic() + MATCHES_WITHIN_S
    await asyncio.sleep(at_least_s)
    connection = await asyncio.wait_for(asyncpg.connect(store_url), START_S)
    try:
        while await connection.fetchval(_ENDED, REGION) < MATCHES:
            if time.monotonic() > deadline:
                raise BenchError(f"no {MATCHES} matches ended within {MATCHES_WITHIN_S:g} s of the flood")
            await asyncio.sleep(0.2)
    finally:
        await connection.close()


async def _judged(store_url: str, operations: Any, window: Window) -> tuple[Any, int]:
    connection = await asyncpg.connect(store_url)
    try:
        verdict = await judge(connection, operations, window)
        return verdict, await matches_played(connection, operations, window.began_wall)
    finally:
        await connection.close()


def _seconds(began: str, ended: str) -> float:
    first, last = (datetime.datetime.fromisoformat(text) for text in (began, ended))
    return (last - first).total_seconds()


class _Backend:
    """``launchday up`` in a folder, and commands that act on it.

    Args:
        folder: of its state.
        keys: settings that both backends of the drill have.

    Attributes:
        settings: what it printed of itself when it was up, by name.
    """

    def __init__(self, folder: Path, keys: Mapping[str, str]) -> None:
        self.folder = folder
        self.settings: dict[str, str] = {}
        self._log = folder.with_name(f"{folder.name}.log")
        own = {
            **keys,
            "STATE_DIR": str(folder),
            "REGIONS": REGION,
            "MATCH_PLAYERS": str(MATCH_PLAYERS),
            "MATCH_S": f"{MATCH_S:g}",
            "CATALOGUE_LOOK_S": "0.5",
        }
        others = {name: value for name, value in os.environ.items() if not name.startswith(ENV_PREFIX)}
        self._env = {**others, **{f"{ENV_PREFIX}{name}": value for name, value in own.items()}}

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Bring it up; at the end of the block every process of it is killed."""
        process = self._spawn("launchday.cli", "up", "--ports", "free")
        try:
            self._await_up(process)
            yield
        finally:
            process.kill()  # its children end with it
            process.wait()

    @contextlib.contextmanager
    def beside(self, *argv: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run a module against it until the end of the block, which kills it."""
        process = self._spawn(*argv)
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def run(self, *argv: str) -> Any:
        """Run a command to its end; return the JSON that it printed. Raises BenchError."""
        done = subprocess.run(
            [sys.executable, "-m", "launchday.cli", *argv],
            env=self._whole_env(),
            capture_output=True,
            timeout=FLOOD_S,
        )
        try:
            return json.loads(done.stdout.splitlines()[-1])
        except (ValueError, IndexError):
            said = done.stderr.decode(errors="replace").strip().splitlines() or ["nothing"]
            raise BenchError(f"launchday {argv[0]} ended with {done.returncode}: {said[-1]}") from None

    def last_words(self) -> str:
        """The last line that anything of it printed."""
        return child_processes.last_line(self._log)

    def _spawn(self, module: str, *argv: str) -> subprocess.Popen[bytes]:
        return child_processes.spawn(
            [sys.executable, "-m", module, *argv],
            log=self._log,
            env=self._whole_env(),
            death_signal=signal.SIGKILL,
        )

    def _whole_env(self) -> dict[str, str]:
        return {**self._env, **{f"{ENV_PREFIX}{name}": value for name, value in self.settings.items()}}

    def _await_up(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_S
        while "the backend is up" not in (text := self._log.read_text(errors="replace")):
            if process.poll() is not None or time.monotonic() > deadline:
                raise BenchError(f"the backend of the drill did not come up: {self.last_words()}")
            time.sleep(0.1)
        time.sleep(0.2)  # what it prints behind that
        text = self._log.read_text(errors="replace").partition("the backend is up")[2]
        mark = f"  {ENV_PREFIX}"
        found = (line.strip().partition("=") for line in text.splitlines() if line.startswith(mark))
        self.settings = {name.removeprefix(ENV_PREFIX): value for name, _, value in found}
