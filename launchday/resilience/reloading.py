"""What a process reads again without a restart: on SIGHUP, or when it is asked to in another way.

Each part is read and checked whole before it takes the place of what was in force. One that is wrong is
refused whole, in one line of the log, and changes nothing. Each process reads for itself: where several
serve, each is asked, or each is sent the signal.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Iterable

import structlog
from prometheus_client import Counter

from launchday.errors import LaunchdayError

READS = Counter(
    "launchday_reloads_total",
    "Times that a part of the configuration was read again: taken, or refused because it was wrong.",
    ["part", "outcome"],
)

Read = Callable[[], Awaitable[None]]

log = structlog.get_logger()


class ReloadRefusedError(LaunchdayError):
    """Raised by what reads a part that makes no sense: what was in force stays. Mend what each line names.

    Attributes:
        mistakes: one line each, with file and place.
    """

    def __init__(self, mistakes: Iterable[str]) -> None:
        self.mistakes = list(mistakes)
        super().__init__("\n".join(self.mistakes))


class Reloading:
    """The parts of one process that can be read again. One is read at a time."""

    def __init__(self) -> None:
        self._parts: dict[str, Read] = {}
        self._asked = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()

    def add(self, part: str, read: Read) -> None:
        """Have a part read again with the others.

        Args:
            part: its name, in metrics and in the log.
            read: reads and checks it, and puts it in force; what it raises says in one line what is wrong,
                and then nothing has changed.
        """
        self._parts[part] = read

    async def read(self, part: str) -> None:
        """Read one part again, and put it in force.

        Raises what its ``read`` does: ReloadRefusedError where it is wrong, or whatever says that it cannot
        be read now. Then what was in force stays.
        """
        async with self._one_at_a_time:
            try:
                await self._parts[part]()
            except Exception as error:
                log.error("not read again: what was in force stays", part=part, reason=_reason(error))
                READS.labels(part, "refused").inc()
                raise
        log.info("read again", part=part)
        READS.labels(part, "taken").inc()

    async def reload(self) -> dict[str, str]:
        """Read every part again, in the order in which they were added.

        Returns why a part was refused, by its name; {}: all of them are in force.
        """
        refused: dict[str, str] = {}
        for part in self._parts:
            try:
                await self.read(part)
            except Exception as error:  # one that is wrong stops no other
                refused[part] = _reason(error)
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


def _reason(error: Exception) -> str:
    return str(error) or repr(error)
