"""What a process reads again without a restart: on SIGHUP, or when it is asked to in another way.

Each part is read and checked whole before it takes the place of what was in force. One that is wrong is
refused whole, in one line of the log, and changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable

import structlog
from prometheus_client import Counter

READS = Counter(
    "launchday_reloads_total",
    "Times that a part of the configuration was read again: taken, or refused because it was wrong.",
    ["part", "outcome"],
)

Read = Callable[[], Awaitable[None]]

log = structlog.get_logger()


class Reloading:
    """The parts of one process that can be read again."""

    def __init__(self) -> None:
        self._parts: dict[str, Read] = {}
        self._asked = asyncio.Event()

    def add(self, part: str, read: Read) -> None:
        """Have a part read again with the others.

        Args:
            part: its name, in metrics and in the log.
            read: reads and checks it, and puts it in force; what it raises says in one line what is wrong,
                and then nothing has changed.
        """
        self._parts[part] = read

    async def reload(self) -> dict[str, str]:
        """Read every part again, in the order in which they were added.

        Returns why a part was refused, by its name; {}: all of them are in force.
        """
        refused: dict[str, str] = {}
        for part, read in self._parts.items():
            try:
                await read()
            except Exception as error:
                refused[part] = str(error) or repr(error)
                log.error("not read again: what was in force stays", part=part, reason=refused[part])
            else:
                log.info("read again", part=part)
            READS.labels(part, "refused" if part in refused else "taken").inc()
        return refused

    async def run(self) -> None:
        """Read everything again on each SIGHUP, until cancelled."""
        loop = asyncio.get_running_loop()
        with contextlib.suppress(ValueError, RuntimeError):  # not the main thread, which alone has signals
            loop.add_signal_handler(signal.SIGHUP, self._asked.set)
        try:
            while True:
                await self._asked.wait()
                self._asked.clear()
                await self.reload()
        finally:
            with contextlib.suppress(ValueError, RuntimeError):
                loop.remove_signal_handler(signal.SIGHUP)
