"""Files of others in every folder that a setting names: they are the same after starts, stops and kills.

The folders are those of `launchday.settings`, by what their descriptions say, with every folder that we make
in the state folder, and the caches and temporary folders of the environment. Each gets files of names that
look like ours, and a link to a folder outside.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from launchday import child_processes
from launchday.engines import free_port
from launchday.settings import Settings, env_name
from loadtest.bench.environments.commands import FLOOD, launchday, lost, running, unwell, with_variables
from loadtest.bench.environments.harness import Case, Found
from loadtest.bench.options import Options
from loadtest.errors import BenchError

IN_STATE = (
    *("", "logs", "logs/servers", "fleet", "spool", "results", "analytics", "analytics/day=x/kind=kill"),
    *("valkey", "postgres", "broker", "kafka", "spectator", "cache/kernels", "cache/kernels/source-hashes"),
)
ENGINES = ("valkey", "postgres", "broker", "kafka")
NAMES = (
    *("notes", "theirs.feed", "theirs.new", "theirs.spool", "theirs.log", "theirs.partial", "theirs.ldr"),
    *("theirs.compiled", "theirs.json.part", "launchday-0-theirs", ".hidden"),
)
OF_THE_ENVIRONMENT = ("TMPDIR", "XDG_CACHE_HOME")
UP_S = 40.0
MAX_NAMED = 3


def foreign_files(options: Options) -> Found:
    """Two floods, which begin afresh, and a backend that is killed; beside it a second fleet is."""
    root = Path("given").absolute()
    folders = _folders(root)
    before = _fill(root, [folder for folder in folders.values() if folder != folders[env_name("state_dir")]])
    state = folders[env_name("state_dir")]
    before |= _fill(
        root, [state / run / name for run in ("", "run") for name in IN_STATE]
    )  # up's, and a flood's
    env = {name: str(folder) for name, folder in folders.items()}
    steps = []
    for step in ("first flood", "second flood") if options.floods else ():
        ran = launchday(*FLOOD, env=env)
        if (wrong := unwell(ran) or lost(ran)) is not None:
            return Found(False, f"{step}: {wrong}")
        steps.append(step)
        _compare(before, step)
        before |= _fill(root, _made_in(state / "run"))  # what a flood has made, the next one clears
    with running("up", env=env) as backend:
        backend.wait_for("the backend is up", UP_S)
        _second_fleet(env, before)
        backend.process.kill()
        backend.process.wait()
    _compare(before, "kill")
    figures = {"folders": len({path.parent for path in before}) - 1, "files": len(before)}
    said = (
        f"{figures['files']} files in {figures['folders']} folders are as they were after {', '.join(steps)}"
    )
    return Found(True, f"{said}{', ' if steps else ''}a kill and a second fleet", figures)


def _folders(root: Path) -> dict[str, Path]:
    """Every setting that is a folder, by the name of its variable, and the environment's own."""
    found = {}
    for name, field in Settings.model_fields.items():
        if field.annotation is Path or str(field.description).startswith("Folder"):
            found[env_name(name)] = root / name
    for name in OF_THE_ENVIRONMENT:
        found[name] = root / name.lower()
    return found


def _fill(root: Path, folders: list[Path]) -> dict[Path, str]:
    outside = root / "outside"
    outside.mkdir(parents=True, exist_ok=True)
    before = {}
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        for name in NAMES:
            (folder / name).write_text(f"theirs: {name}")
            (outside / name).write_text("outside")
            before[folder / name] = _state(folder / name)
            before[outside / name] = _state(outside / name)
        (folder / "theirs-link").unlink(missing_ok=True)
        (folder / "theirs-link").symlink_to(outside)
        before[folder / "theirs-link"] = _state(folder / "theirs-link")
    return before


def _made_in(state: Path) -> list[Path]:
    """The folders that we have made there, but for those within an engine's data."""
    of_engines = [state / name for name in ENGINES]
    return [
        folder
        for folder in state.rglob("*")
        if folder.is_dir()
        and not folder.is_symlink()
        and not any(engine in folder.parents for engine in of_engines)
    ]


def _state(path: Path) -> str:
    """What is looked at of a file: its content and its permissions; of a link, where it leads."""
    if path.is_symlink():
        return os.readlink(path)
    try:
        return f"{hashlib.sha256(path.read_bytes()).hexdigest()} {path.stat().st_mode:o}"
    except OSError as error:
        return error.strerror or str(error)


def _compare(before: Mapping[Path, str], step: str) -> None:
    changed = [path for path, state in before.items() if _state(path) != state]
    if changed:
        named = ", ".join(str(path) for path in changed[:MAX_NAMED])
        raise BenchError(f"after the {step} {len(changed)} files of others are changed or gone: {named}")


def _second_fleet(env: Mapping[str, str], before: Mapping[Path, str]) -> None:
    """Start and stop a second fleet that is given the same spectator folder, beside a feed of the first."""
    shown = Path(env[env_name("spectator_dir")])
    [own] = [path for path in shown.glob("launchday-*") if path.is_dir()]
    feed = own / "shown.feed"
    feed.touch()
    other = {
        **env,
        env_name("state_dir"): str(Path("second").absolute()),
        env_name("fleet_port"): str(free_port()),
        env_name("identity_secret"): "0" * 64,
        env_name("fleet_key"): "0" * 64,
    }
    log = Path("second.log").absolute()
    command = [sys.executable, "-m", "dedicated_server.fleet"]
    process = child_processes.spawn(command, log=log, env=with_variables(other))
    try:
        deadline = time.monotonic() + UP_S
        while len([path for path in shown.glob("launchday-*") if path.is_dir()]) < 2:
            if process.poll() is not None or time.monotonic() > deadline:
                raise BenchError(f"the second fleet did not start: {child_processes.last_line(log)}")
            time.sleep(0.05)
    finally:
        child_processes.stop(process, UP_S)
    if not feed.exists():
        raise BenchError("the second fleet removed a feed of the first")
    _compare(before, "second fleet")


CASES = (Case("foreign_files", foreign_files, bound_s=180.0),)
