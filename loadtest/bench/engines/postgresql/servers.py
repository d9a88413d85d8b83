"""A PostgreSQL with a streaming replica, and a PgBouncer before it, as real processes of this machine."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import psutil

from launchday import child_processes
from launchday.engines.base import EmbeddedServer, EngineError, engine_environment, exchange
from launchday.engines.postgres import SSL_REQUEST, USER, Postgres, become_unprivileged
from launchday.resilience import store_address

STANDBY = "standby"  # the name by which a primary knows its replica
# An answer waits until the replica has it on disk: what was acknowledged outlives the primary.
SYNCHRONOUS: Mapping[str, str] = {"synchronous_standby_names": STANDBY, "synchronous_commit": "on"}
POOL = 20  # connections of the pooler to the server


class Server(Postgres):
    """A PostgreSQL with settings of one's own.

    Args:
        folder, log: as in EmbeddedServer.
        further: settings beside those of the embedded one, or instead of them.
    """

    def __init__(self, folder: Path, log: Path, further: Mapping[str, str] | None = None) -> None:
        super().__init__(folder, log)
        self.further = dict(further or {})

    def options(self) -> dict[str, str]:
        """As in Postgres."""
        return super().options() | self.further

    def place(self) -> str:
        """``host:port``, for an address of several hosts."""
        return f"127.0.0.1:{self.port}"


class Standby(Server):
    """A streaming replica of another server, made by ``pg_basebackup``."""

    def __init__(self, folder: Path, log: Path, primary: Server) -> None:
        # It asks again at once for a primary that is gone, so that it is promoted at once.
        super().__init__(folder, log, {"wal_retrieve_retry_interval": "100ms"})
        self._primary = primary

    def make_cluster(self, folder: Path) -> None:
        """As in Postgres: a copy of the primary, which is followed from there on."""
        primary = f"host=127.0.0.1 port={self._primary.port} user={USER} application_name={STANDBY}"
        argv = [str(self.program().parent / "pg_basebackup"), "-D", str(folder), "-d", primary]
        argv += ["-X", "stream", "-R", "--checkpoint=fast", "--no-sync"]
        self.run_tool(argv)

    async def promote(self) -> None:
        """Make it a primary; returns once it takes writes."""
        connection = await store_address.connect(self.address)
        try:
            await connection.fetchval("SELECT pg_promote()")
        finally:
            connection.terminate()


class PgBouncer(EmbeddedServer):
    """A pooler in transaction mode, from Debian's package.

    Args:
        folder, log: as in EmbeddedServer.
        server: before which it stands.
        settings: of ``[pgbouncer]``, beside its own or instead of them.
    """

    name = "PgBouncer"
    package = "pgbouncer"
    own_names: ClassVar[tuple[str, ...]] = ("pgbouncer.ini", "users.txt")

    def __init__(
        self, folder: Path, log: Path, server: Postgres, settings: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(folder, log)
        self._server = server
        self._settings = dict(settings or {})

    @classmethod
    def program(cls) -> Path:
        """As in EmbeddedServer."""
        found = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
        if found is None:
            raise EngineError("pgbouncer is missing: apt-get install pgbouncer")
        return Path(found)

    @property
    def address(self) -> str:
        """As in EmbeddedServer, without a word of what it is: see `pooled`."""
        return f"postgresql://{USER}:{USER}@127.0.0.1:{self.port}/postgres?sslmode=disable"

    @property
    def pooled(self) -> str:
        """The address with the word that it is a pooler in transaction mode."""
        return f"{self.address}&pooler=transaction"

    def launch(self) -> subprocess.Popen[bytes]:
        """As in EmbeddedServer."""
        settings = {
            "listen_addr": "127.0.0.1",
            "listen_port": str(self.port),
            "unix_socket_dir": "",
            "pool_mode": "transaction",
            "auth_type": "scram-sha-256",
            "auth_file": str(self.folder / "users.txt"),
            "admin_users": USER,
            "max_client_conn": "200",
            "default_pool_size": str(POOL),
            "server_login_retry": "1",
            "verbose": "0",
        } | self._settings
        lines = [
            "[databases]",
            f"* = host=127.0.0.1 port={self._server.port}",
            "[pgbouncer]",
            *(f"{name} = {value}" for name, value in settings.items()),
        ]
        (self.folder / "pgbouncer.ini").write_text("\n".join(lines) + "\n")
        (self.folder / "users.txt").write_text(f'"{USER}" "{USER}"\n')
        return child_processes.spawn(
            [str(self.program()), str(self.folder / "pgbouncer.ini")],
            log=self.log,
            env=engine_environment(),
            cwd=self.folder,
            prepare=become_unprivileged,
        )

    def answers(self) -> bool:
        """As in EmbeddedServer."""
        return exchange(self.port, SSL_REQUEST, 1) in (b"S", b"N")


def pause(server: EmbeddedServer) -> None:
    """Stop all of a server's processes, as a machine that hangs does: its kernel goes on answering."""
    _signal(server, signal.SIGSTOP)


def resume(server: EmbeddedServer) -> None:
    """End `pause`."""
    _signal(server, signal.SIGCONT)


def kill_at_once(server: EmbeddedServer) -> None:
    """End all of a server's processes, as a machine that burns down does."""
    _signal(server, signal.SIGKILL)
    server.kill()


async def until_streaming(primary: Server) -> None:
    """Wait until the primary's replica follows it; synchronously, where it is to."""
    wanted = "sync" if "synchronous_standby_names" in primary.further else "async"
    connection = await store_address.connect(primary.address)
    try:
        statement = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = $1"
        while not await connection.fetchval(statement, wanted):
            await connection.execute("SELECT pg_sleep(0.02)")
    finally:
        connection.terminate()


def _signal(server: EmbeddedServer, number: signal.Signals) -> None:
    if server.process is None:
        return
    first = psutil.Process(server.process.pid)
    for process in (first, *first.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)
