"""Plays one case in processes of its own: a folder, ports and an environment that nobody else has.

Two processes: one that plays the case, and one above it that ends everything the case has started, by process
id, when the case returns or is late. ``python -m loadtest.bench.environments.isolated PART CASE OPTIONS``
plays; with ``watch`` and seconds before it, it watches.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import psutil

from launchday import child_processes
from launchday.settings import ENV_PREFIX, env_name
from loadtest.bench.environments.harness import Case, Found, Options, cases_of
from loadtest.bench.own_backend import free_ports
from loadtest.errors import BenchError, CaseUnavailableError, LoadTestError

PR_SET_CHILD_SUBREAPER = 36
GONE_S = 3.0  # in which processes that a case started may still end by themselves
POLL_S = 0.02
LATE = 124  # exit code of the watching process where the case was late, as of `timeout`
LEFT_OVER = "left_over"  # the figure that names processes that a case has left
MODULE = [sys.executable, "-m", "loadtest.bench.environments.isolated"]


def play_isolated(part: str, case: Case, options: Options) -> Found:
    """Play a case in processes of its own, and leave neither a process nor a file.

    Raises BenchError where it was late, or ended without a word.
    """
    with tempfile.TemporaryDirectory(prefix="launchday-environment-", ignore_cleanup_errors=True) as name:
        command = [*MODULE, "watch", str(case.bound_s), part, case.name, json.dumps(asdict(options))]
        watching = subprocess.Popen(
            command,
            cwd=name,
            env=clean_environment(Path(name)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            out, err = watching.communicate(timeout=case.bound_s + 10 * GONE_S)
        except subprocess.TimeoutExpired:
            raise BenchError(f"it was not over within {case.bound_s:g} s, and could not be ended") from None
        finally:
            watching.kill()
            watching.wait()
    said = err.decode(errors="replace").strip().splitlines() or ["it said nothing"]
    if watching.returncode == LATE:
        raise BenchError(
            f"it was not over within {case.bound_s:g} s; the last line of its output: {said[-1]}"
        )
    try:
        found = json.loads(out.splitlines()[-1])
    except (IndexError, ValueError):
        raise BenchError(f"it ended with code {watching.returncode}: {said[-1]}") from None
    left_over = found["figures"].get(LEFT_OVER)
    if left_over and found["well"]:
        return Found(False, f"processes are left over: {', '.join(left_over)}", found["figures"])
    return Found(**found)


def clean_environment(folder: Path) -> dict[str, str]:
    """The environment of a case: no setting of whoever runs the bench, a folder and ports of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ENV_PREFIX)}
    temporary = folder / "tmp"
    temporary.mkdir()
    own: Mapping[str, object] = {**free_ports(), "state_dir": folder / "state"}
    return {**kept, "TMPDIR": str(temporary)} | {env_name(name): str(value) for name, value in own.items()}


def main() -> None:
    """Watch, or play."""
    parent = os.getppid()
    child_processes.die_with_parent(parent)
    if sys.argv[1] == "watch":
        sys.exit(_watch(float(sys.argv[2]), sys.argv[3:]))
    part, name, options = sys.argv[1:]
    given = json.loads(options)
    found = _played(part, name, Options(**{**given, "only": tuple(given["only"])}))
    print(json.dumps(asdict(found)), flush=True)


def _played(part: str, name: str, options: Options) -> Found:
    (case,) = (case for case in cases_of(part) if case.name == name)
    try:
        return case.play(options)
    except CaseUnavailableError as error:
        return Found(None, f"not run: {error}")
    except LoadTestError as error:
        return Found(False, str(error))
    except Exception as error:
        traceback.print_exc()
        return Found(False, f"{type(error).__name__}: {error}")


def _watch(bound_s: float, arguments: list[str]) -> int:
    """Play in a child, for at most so long; end what it leaves, and tell of it."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # orphans become children of this process
    playing = subprocess.Popen([*MODULE, *arguments], stdout=subprocess.PIPE)
    try:
        out, _ = playing.communicate(timeout=bound_s)
    except subprocess.TimeoutExpired:
        _end_all(0.0)
        return LATE
    left_over = _end_all(GONE_S)
    try:
        found = json.loads(out.splitlines()[-1])
        if left_over:
            found["figures"][LEFT_OVER] = left_over
        print(json.dumps(found), flush=True)
    except (IndexError, ValueError):
        sys.stdout.buffer.write(out)
    return playing.returncode


def _end_all(patience_s: float) -> list[str]:
    """End every process below this one; return the names of those that did not end within the patience."""
    deadline = time.monotonic() + patience_s
    while (below := _below()) and time.monotonic() < deadline:
        time.sleep(POLL_S)
    late = [f"{name} ({process.pid})" for process, name in below]
    while below := _below():
        for process, _ in below:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        time.sleep(POLL_S)
    return late


def _below() -> list[tuple[psutil.Process, str]]:
    found = []
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass  # orphans that have ended
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.status() != psutil.STATUS_ZOMBIE:
                found.append((process, " ".join(process.cmdline()[:4]) or process.name()))
    return found


if __name__ == "__main__":
    main()
