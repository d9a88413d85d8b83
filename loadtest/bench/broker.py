"""The broker that a benchmark's events go to: the one in the settings, or one of its own beside the clients."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from launchday.embedded import Broker, ServerError
from launchday.settings import settings
from loadtest.bench.errors import BenchError


@contextlib.contextmanager
def broker() -> Iterator[str]:
    """Its address, for as long as it is needed. Raises BenchError where it cannot be started.

    An embedded one shares the clients' core: in earnest it is another machine's business.
    """
    given = settings().kafka_bootstrap
    if given:
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="launchday-bench-") as name:
        folder = Path(name)
        server = Broker(folder / "broker", folder / "broker.log")
        try:
            server.start()
        except ServerError as error:
            raise BenchError(str(error)) from None
        try:
            if server.process is not None:
                os.sched_setaffinity(server.process.pid, {min(os.sched_getaffinity(0))})
            yield server.address
        finally:
            server.stop()
