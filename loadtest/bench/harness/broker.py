"""The broker that a benchmark's events go to: the one in the settings, or one of its own beside the clients, Apache Kafka where it is."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from launchday.engines import ApacheKafka, Broker, EmbeddedServer, EngineError
from launchday.settings import settings
from loadtest.bench.errors import BenchError


@contextlib.contextmanager
def broker() -> Iterator[tuple[str, str]]:
    """Its address and its name, for as long as it is needed. Raises BenchError where it cannot be started.

    One of its own shares the clients' core: in earnest it is another machine's business.
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
                _move(server.process.pid, min(os.sched_getaffinity(0)))
            yield server.address, f"{server.name} {server.version()}"
        finally:
            server.stop()


def broker_kind() -> type[EmbeddedServer]:
    """Apache Kafka where it is (``make kafka``), else the embedded broker."""
    try:
        ApacheKafka.program()
    except EngineError:
        return Broker
    return ApacheKafka


def _move(process: int, core: int) -> None:
    """Confine a process, all threads that it has by now included, to one core."""
    for thread in os.listdir(f"/proc/{process}/task"):
        with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
            os.sched_setaffinity(int(thread), {core})
