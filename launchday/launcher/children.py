"""The processes of a backend as supervision sees them: services of ours and embedded engines alike."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from launchday import child_processes
from launchday.engines import EmbeddedServer
from launchday.resilience.health import OK, RESTARTS_VARIABLE

ANSWER_S = 1.5  # of one question for readiness: /readyz answers within 1 s
MAX_ANSWER_BYTES = 64 * 1024
_DIRECTLY = urllib.request.build_opener(
    urllib.request.ProxyHandler({})
)  # no proxy of the environment stands between us


@dataclass(frozen=True, slots=True)
class ReadyAnswer:
    """What a process said of its readiness.

    Attributes:
        is_ready: it can be of use.
        lacks: what is wrong with the parts that are not well, by name.
    """

    is_ready: bool
    lacks: Mapping[str, str] = field(default_factory=dict)

    def in_words(self) -> str:
        """What it lacks, for a line."""
        return "; ".join(f"{part}: {why}" for part, why in self.lacks.items()) or "it does not answer yet"


class Child(ABC):
    """One process that is started again when it dies.

    Attributes:
        name: by which the backend knows it.
        label: as it is printed.
        log: the file that its output goes to.
        started_at: monotonic seconds of its last start.
        waits_for: what it said that it lacks, when it was last asked whether it is ready; empty: nothing.
    """

    def __init__(self, name: str, label: str, log: Path) -> None:
        self.name = name
        self.label = label
        self.log = log
        self.started_at = time.monotonic()
        self.waits_for = ""
        self._log_began = 0

    @property
    @abstractmethod
    def process(self) -> subprocess.Popen[bytes] | None:
        """The process that runs, or has run; None before the first start."""

    @property
    def needed_by_others(self) -> bool:
        """Whether others may die because this one is away."""
        return False

    @property
    def lost(self) -> str:
        """What its death has lost for good, as a sentence; empty where nothing."""
        return ""

    def start(self, restarts: int = 0) -> None:
        """Start it, in the calling thread, which must live as long as the process.

        Args:
            restarts: how often it has died before.
        """
        self._log_began = self.log.stat().st_size if self.log.exists() else 0
        self.started_at = time.monotonic()
        self._start(restarts)

    @abstractmethod
    def _start(self, restarts: int) -> None: ...

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether it can be of use; blocks for up to two seconds."""

    def last_words(self) -> str:
        """The last line of its own log since its last start."""
        return child_processes.last_line(self.log, self._log_began)


class ServiceChild(Child):
    """A process of ours.

    Args:
        name: of the service.
        command: its program and arguments.
        log: the file that its output goes to.
        env: its environment, but for the launcher's own.
        ready: answers 200 at this URL when it is ready; empty: it is when it runs.
    """

    def __init__(
        self, name: str, command: Sequence[str], log: Path, env: Mapping[str, str], ready: str
    ) -> None:
        super().__init__(name, name, log)
        self.ready = ready
        self._command = command
        self._env = env
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> subprocess.Popen[bytes] | None:
        """As in Child."""
        return self._process

    def is_ready(self) -> bool:
        """As in Child."""
        if not self.ready:
            return True
        answer = ask_ready(self.ready)
        self.waits_for = "" if answer.is_ready else answer.in_words()
        return answer.is_ready

    def stop(self, timeout_s: float) -> None:
        """End it; see `launchday.child_processes.stop`."""
        if self._process is not None:
            child_processes.stop(self._process, timeout_s)

    def _start(self, restarts: int) -> None:
        if self._process is not None:
            # What it has started in its own session, and left behind, may hold its port or its files.
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        env = {**os.environ, **self._env, RESTARTS_VARIABLE: str(restarts)}
        self._process = child_processes.spawn(self._command, log=self.log, env=env)


class EngineChild(Child):
    """An embedded engine, which keeps its port and its data when it is started again.

    Args:
        role: "cache", "store" or "bus".
        server: of that role.
        on_start: called after each start: the process's id is another one.
    """

    def __init__(self, role: str, server: EmbeddedServer, on_start: Callable[[], None]) -> None:
        super().__init__(role, f"{role} ({server.name})", server.log)
        self._server = server
        self._on_start = on_start

    @property
    def process(self) -> subprocess.Popen[bytes] | None:
        """As in Child."""
        return self._server.process

    @property
    def needed_by_others(self) -> bool:
        """As in Child."""
        return True

    @property
    def lost(self) -> str:
        """As in Child."""
        return self._server.lost_by_death

    def is_ready(self) -> bool:
        """As in Child."""
        return self._server.answers()

    def _start(self, restarts: int) -> None:
        self._server.process = self._server.launch()
        self._on_start()


def module_command(module: str) -> list[str]:
    """Return the command that runs a module of ours."""
    return [sys.executable, "-m", module]


def answers_ok(url: str) -> bool:
    """Whether a GET is answered with 200 in time."""
    try:
        with _DIRECTLY.open(url, timeout=ANSWER_S) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def ask_ready(url: str) -> ReadyAnswer:
    """Ask a ``/readyz``; what does not answer in time, or not as ours do, is not ready and says nothing."""
    try:
        try:
            with _DIRECTLY.open(url, timeout=ANSWER_S) as answer:
                is_ready, body = answer.status == 200, answer.read(MAX_ANSWER_BYTES)
        except urllib.error.HTTPError as refusal:
            with refusal:
                is_ready, body = False, refusal.read(MAX_ANSWER_BYTES)
    except (urllib.error.URLError, http.client.HTTPException, OSError):
        return ReadyAnswer(False)
    try:
        parts = json.loads(body)["parts"].items()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ReadyAnswer(is_ready)
    return ReadyAnswer(is_ready, {str(part): str(why) for part, why in parts if why != OK})
