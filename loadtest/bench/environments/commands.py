"""Runs `launchday` as a user does, in a space, and judges how it ended."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launchday import child_processes
from loadtest.bench.environments.harness import Found
from loadtest.bench.environments.spaces import UNAVAILABLE, Space
from loadtest.bench.options import Options
from loadtest.errors import BenchError, CaseUnavailableError

COMMAND_S = 120.0
STOP_S = 15.0
POLL_S = 0.05
HANDFUL = Path(__file__).with_name("handful.yaml")  # four players play one match of five seconds
FLOOD = ("flood", str(HANDFUL), "--json")
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
TRACEBACK = re.compile(r"Traceback \(most recent call last\)|\[PYI-|^\s*╭─+ Traceback", re.MULTILINE)
VERDICT = "Failed: "
FAILED = 99  # exit code of a flood that missed an objective, or whose generator was late
NOWHERE = Space()


@dataclass(frozen=True, slots=True)
class Ran:
    """A command that has ended.

    Attributes:
        code: its exit code; below 0 the signal that ended it.
        out, err: what it printed, without colours.
        took_s: how long it took.
    """

    code: int
    out: str
    err: str
    took_s: float

    @property
    def last_line(self) -> str:
        """The last line that it said, of its errors or else of its output; of a verdict the verdict."""
        said = self.err if self.err.strip() else self.out
        lines = [line.strip() for line in said.splitlines() if line.strip()] or ["it said nothing"]
        return next((line for line in lines if line.startswith(VERDICT)), lines[-1])

    @property
    def traceback(self) -> bool:
        """Whether it ended in a way that says nothing to whoever has typed it."""
        return bool(TRACEBACK.search(self.out + self.err))


def launchday(
    *arguments: str,
    within: Space = NOWHERE,
    env: Mapping[str, str | None] | None = None,
    timeout_s: float = COMMAND_S,
    python: Sequence[str] = (sys.executable,),
    cwd: Path | None = None,
) -> Ran:
    """Run ``launchday`` to its end.

    Args:
        arguments: as a user types them.
        within: the space it runs in.
        env: variables that are set, or with None taken away.
        timeout_s: after which it is asked to stop, and has failed.
        python: the interpreter that runs it.
        cwd: its working folder; None: this process's.

    Raises:
        CaseUnavailableError: this machine does not let us make the space.
        BenchError: it was not over in time.
    """
    return run(
        [*python, "-m", "launchday.cli", *arguments], within=within, env=env, timeout_s=timeout_s, cwd=cwd
    )


def run(
    command: Sequence[str],
    *,
    within: Space = NOWHERE,
    env: Mapping[str, str | None] | None = None,
    timeout_s: float = COMMAND_S,
    cwd: Path | None = None,
) -> Ran:
    """Run any command to its end; see `launchday`."""
    began = time.monotonic()
    process = subprocess.Popen(
        within.command(*command) if within != NOWHERE else list(command),
        env=with_variables(env or {}),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=functools.partial(child_processes.die_with_parent, os.getpid()),
    )
    try:
        out, err = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            out, err = process.communicate(timeout=STOP_S)
            said = plain(err).strip().splitlines() or ["it said nothing"]
            raise BenchError(f"{_named(command)} was not over within {timeout_s:g} s: {said[-1]}") from None
        process.kill()
        process.communicate()
        raise BenchError(f"{_named(command)} was not over within {timeout_s:g} s, nor stopped") from None
    if process.returncode == UNAVAILABLE:
        raise CaseUnavailableError(f"this case needs {plain(err).strip()}")
    return Ran(process.returncode, plain(out), plain(err), time.monotonic() - began)


class Beside:
    """A command that runs beside what a case does.

    Attributes:
        process: the command.
        lines: what it has said so far, without colours.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, name="what a command says")
        self._reader.start()

    def wait_for(self, text: str, timeout_s: float) -> None:
        """Wait until it says a text. Raises BenchError where it ends, or does not in time."""
        deadline = time.monotonic() + timeout_s
        while not any(text in line for line in list(self.lines)):
            if not self._reader.is_alive() or time.monotonic() > deadline:
                last = self.lines[-1] if self.lines else "it said nothing"
                raise BenchError(f"it did not say {text!r}: {last}")
            time.sleep(POLL_S)

    def stop(self) -> int:
        """Ask it to stop, wait, and return its exit code. Raises BenchError where it does not end."""
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise BenchError(f"it did not stop within {STOP_S:g} s") from None
        finally:
            self.process.wait()
            self._reader.join()
        if code == UNAVAILABLE:
            raise CaseUnavailableError(f"this case needs {self.lines[-1]}")
        return code

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(plain(line).rstrip())


@contextlib.contextmanager
def running(
    *arguments: str, within: Space = NOWHERE, env: Mapping[str, str | None] | None = None
) -> Iterator[Beside]:
    """Run ``launchday`` beside what the block does, and stop it in order afterwards."""
    command = [sys.executable, "-m", "launchday.cli", *arguments]
    beside = Beside(
        subprocess.Popen(
            within.command(*command) if within != NOWHERE else command,
            env=with_variables(env or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            preexec_fn=functools.partial(child_processes.die_with_parent, os.getpid()),
        )
    )
    try:
        yield beside
    finally:
        if beside.process.poll() is None:
            beside.stop()


def doctor_and_flood(
    options: Options,
    *more: str,
    within: Space = NOWHERE,
    env: Mapping[str, str | None] | None = None,
    python: Sequence[str] = (sys.executable,),
    refusal: str = "",
) -> Found:
    """Run ``launchday doctor`` and a flood of a handful of players, and judge both.

    Args:
        options: whether the flood is played.
        more: arguments of the flood.
        within, env, python: see `launchday`.
        refusal: a pattern of the one line with which they may refuse to go on, which says what to type;
            empty: they may not refuse.
    """
    said: list[str] = []
    figures: dict[str, Any] = {}
    found = launchday("doctor", within=within, env=env, python=python)
    figures["doctor_s"] = round(found.took_s, 1)
    if (wrong := unwell(found, refusal)) is not None:
        return Found(False, f"doctor: {wrong}", figures)
    said.append("doctor ends well" if found.code == 0 else f"doctor: {found.last_line}")
    if options.floods:
        flooded = launchday(*FLOOD, *more, within=within, env=env, python=python)
        figures["flood_s"] = round(flooded.took_s, 1)
        if (wrong := unwell(flooded, refusal) or lost(flooded)) is not None:
            return Found(False, f"flood: {wrong}", figures)
        said.append("the flood ends well" if flooded.code == 0 else f"flood: {flooded.last_line}")
    return Found(True, ", ".join(said), figures)


def unwell(ran: Ran, refusal: str = "") -> str | None:
    """Say what was wrong with the end of a command; None where it ended well.

    Args:
        ran: the command.
        refusal: a pattern; a command that fails must say it in its last line.
    """
    if ran.traceback:
        return f"a traceback: {ran.last_line}"
    if ran.code < 0:
        return f"ended by {signal.Signals(-ran.code).name}: {ran.last_line}"
    if ran.code == 0 or (ran.code == FAILED and lost(ran) is None):
        return None
    if refusal and re.search(refusal, ran.last_line):
        return None
    return f"code {ran.code}: {ran.last_line}"


def lost(flooded: Ran) -> str | None:
    """Say what a flood lost that came to its end; None where everybody played and every book balances.

    That the generator was late on a machine that plays several cases at once is no fault of the backend.
    """
    if flooded.code not in (0, FAILED):
        return None
    try:
        figures = json.loads(flooded.out.splitlines()[-1])
    except (IndexError, ValueError):
        return "it came to its end without its figures"
    if not figures["ledger"]["balanced"] or figures["players_lost"]:
        return f"{figures['players_lost']} players are lost, or books do not balance: {flooded.last_line}"
    return None


def with_variables(changed: Mapping[str, str | None]) -> dict[str, str]:
    """This process's environment with some variables set, and those that are None taken away."""
    kept = {name: value for name, value in os.environ.items() if name not in changed}
    return kept | {name: value for name, value in changed.items() if value is not None}


def _named(command: Sequence[str]) -> str:
    return " ".join(Path(word).name for word in command if not word.startswith("-"))[:120]


def plain(printed: bytes) -> str:
    """What was printed, without colours."""
    return ESCAPES.sub("", printed.decode(errors="replace"))
