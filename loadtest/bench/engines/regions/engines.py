"""The engines of two regions: a cache in each namespace, a broker that all reach."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

from launchday import child_processes
from launchday.engines import Broker, Valkey
from launchday.engines.base import engine_environment
from launchday.resilience.parts import API_VERSIONS_REQUEST
from loadtest.bench.engines.regions.namespaces import STORE_HOST, Namespace


class RegionValkey(Valkey):
    """A region's cache, in its namespace."""

    def __init__(self, folder: Path, log: Path, namespace: Namespace) -> None:
        super().__init__(folder, log)
        self._namespace = namespace

    @property
    def address(self) -> str:
        """As in EmbeddedServer."""
        return f"redis://{self._namespace.host}:{self.port}/0"

    def launch(self) -> subprocess.Popen[bytes]:
        """As in EmbeddedServer."""
        host, port = self._namespace.host, str(self.port)
        argv = [str(self.program()), "--bind", host, "--port", port, "--dir", str(self.folder)]
        argv += ["--protected-mode", "no", "--appendonly", "yes", "--appendfsync", "always", "--save", ""]
        return child_processes.spawn(
            self._namespace.command(*argv), log=self.log, env=engine_environment(), cwd=self.folder
        )

    def answers(self) -> bool:
        """As in EmbeddedServer."""
        return _exchange(self._namespace.host, self.port, b"PING\r\n", 7) == b"+PONG\r\n"


class SharedBroker(Broker):
    """The broker, by the address at which every region reaches it."""

    @property
    def address(self) -> str:
        """As in EmbeddedServer."""
        return f"{STORE_HOST}:{self.port}"

    def launch(self) -> subprocess.Popen[bytes]:
        """As in EmbeddedServer."""
        url = f"tcp://{self.address}"
        argv = [str(self.program()), "broker", "--listener-url", url, "--advertised-listener-url", url]
        argv += ["--storage-engine", "memory://tansu/", "--cluster-id", "launchday", "--silent"]
        return child_processes.spawn(argv, log=self.log, cwd=self.folder, env=engine_environment())

    def answers(self) -> bool:
        """As in EmbeddedServer."""
        return len(_exchange(STORE_HOST, self.port, API_VERSIONS_REQUEST, 8)) == 8


def _exchange(host: str, port: int, request: bytes, reply_bytes: int) -> bytes:
    try:
        with socket.create_connection((host, port), timeout=1.0) as connection:
            connection.sendall(request)
            return connection.recv(reply_bytes, socket.MSG_WAITALL)
    except OSError:
        return b""
