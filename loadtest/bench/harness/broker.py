"""The broker that receives a benchmark's events: that of the settings, or one of the benchmark's own."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from launchday.engines import ApacheKafka, Broker, EmbeddedServer, EngineError
from launchday.settings import settings
from loadtest.errors import BenchError


@contextlib.contextmanager
def broker() -> Iterator[tuple[str, str]]:
    """Yield address and name of the broker. Raises BenchError where it cannot be started.

    A broker of the benchmark's own runs on the clients' core, since in production it runs on another machine.
    """
    given = settings().kafka_bootstrap
    if given:
        yield given, given
        return
    with tempfile.TemporaryDirectory(prefix="launchday-bench-") as name:
        folder = Path(name)
        server = broker_kind()(folder / "broker", folder / "broker.log")
        try:
            server.start()
        except EngineError as error:
            raise BenchError(str(error)) from None
        try:
            if server.process is not None:
                _pin(server.process.pid, min(os.sched_getaffinity(0)))
            yield server.address, f"{server.name} {server.version()}"
        finally:
            server.stop()


def broker_kind() -> type[EmbeddedServer]:
    """Return Apache Kafka where it is installed (``make kafka``), otherwise the embedded broker."""
    try:
        ApacheKafka.program()
    except EngineError:
        return Broker
    return ApacheKafka


def _pin(process: int, core: int) -> None:
    """Pin a process to one core, with all threads that it has now."""
    for thread in os.listdir(f"/proc/{process}/task"):
        with contextlib.suppress(ProcessLookupError):  # the thread has ended meanwhile
            os.sched_setaffinity(int(thread), {core})
