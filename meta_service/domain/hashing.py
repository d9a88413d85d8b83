"""Password hashes, computed in processes of their own, by turns between those who ask.

A hash costs as much as thirty reads. So there are few at once, and who waits takes turns: addresses between
each other, and names of one address between each other. A flood of guesses from a few addresses keeps
nobody else waiting for longer than one turn, nor a name's owner behind the same router. Who has waited for
`MAX_AGE_S` is told to try again: a client that still wants the answer repeats, and one that has gone costs
no hash.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import structlog

from launchday import machine
from launchday.clock import Clock
from launchday.resilience import deadline
from launchday.resilience.admission.waiting_line import LineLimits, WaitingLine
from meta_service.errors import HashingBusyError

MAX_PROCESSES = 4  # each takes a core and 19 MB while it hashes
MEMORY_A_PROCESS = 256 << 20  # of what the container grants: a process takes 60 MB of it, the API the rest
MAX_AGE_S = 0.3  # after the gate's 0.2 s: who is answered is answered within half a second
PATIENCE_S = 5.0  # for one hash, and for a process to start; a process that takes longer is ended
LINE = LineLimits(places=1000, age_s=MAX_AGE_S, standing_after_s=MAX_AGE_S, standing_age_s=MAX_AGE_S)

log = structlog.get_logger()


def processes_of(setting: int) -> int:
    """Return how many processes hash: as many as the setting says; 0: one for each core but the API's own."""
    memory = machine.memory_bytes() // MEMORY_A_PROCESS
    return setting or max(1, min(MAX_PROCESSES, machine.cores() - 1, memory))


class Passwords:
    """Hashes and checks passwords. One per event loop; its processes start when they are first needed.

    Args:
        clock: what is too old.
        processes: how many hash at once.
    """

    def __init__(self, clock: Clock, processes: int = 1) -> None:
        self._clock = clock
        self._hashers = [_Hasher() for _ in range(processes)]
        self._free = list(self._hashers)
        self._line: WaitingLine[asyncio.Future[_Hasher]] = WaitingLine(LINE)

    async def hash(self, password: str, sources: Sequence[str]) -> str:
        """Return the text to store: parameters, salt and hash.

        Args:
            password: the password.
            sources: whose turn it takes: the caller's address, and the account's name.

        Raises HashingBusyError.
        """
        answer = await self._do({"hash": password}, sources)
        return str(answer["kept"])

    async def matches(self, kept: str | None, password: str, sources: Sequence[str]) -> bool:
        """Whether ``password`` is the one whose hash is ``kept``.

        Takes as long when there is no hash, so that nobody learns which names exist. ``sources`` are those of
        `hash`.

        Raises HashingBusyError.
        """
        answer = await self._do({"verify": password, "kept": kept}, sources)
        return bool(answer["right"])

    async def close(self) -> None:
        """End the processes. Who still waits is told to try again."""
        for hasher in self._hashers:
            hasher.end()
        self._free = []
        while (turn := self._line.next(self._clock.monotonic())) is not None:
            _refuse(turn)

    async def _do(self, order: dict[str, Any], sources: Sequence[str]) -> dict[str, Any]:
        hasher = await self._turn(sources)
        try:
            # Not the request's own patience: a hash that was begun is finished, or its process is ended.
            async with asyncio.timeout(PATIENCE_S):
                return await hasher.do(order)
        except (OSError, EOFError, TimeoutError, ValueError) as error:
            hasher.end()
            log.warning("a process that hashes passwords has failed; another is started", reason=repr(error))
            raise HashingBusyError("passwords cannot be checked right now: try again") from error
        except asyncio.CancelledError:
            hasher.end()  # its answer would be taken for the next one's
            raise
        finally:
            self._give_back(hasher)

    async def _turn(self, sources: Sequence[str]) -> _Hasher:
        deadline.check(self._clock)
        if self._free:
            return self._free.pop()
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[_Hasher] = loop.create_future()
        place, pushed_out = self._line.join(sources, turn, self._clock.monotonic())
        if pushed_out is not None:
            _refuse(pushed_out)
        if place is None:
            _refuse(turn)
        else:
            loop.call_later(MAX_AGE_S + 0.01, self._refuse_the_old)
        try:
            async with deadline.within(self._clock, 2 * MAX_AGE_S):
                return await turn
        except BaseException:
            if place is not None:
                self._line.leave(place)
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._give_back(turn.result())
            raise

    def _give_back(self, hasher: _Hasher) -> None:
        self._refuse_the_old()
        while (turn := self._line.next(self._clock.monotonic())) is not None:
            if not turn.done():
                turn.set_result(hasher)
                return
        self._free.append(hasher)

    def _refuse_the_old(self) -> None:
        for turn in self._line.too_old(self._clock.monotonic()):
            _refuse(turn)


class _Hasher:
    """One process, started when it is first needed, and again after it has ended."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def do(self, order: dict[str, Any]) -> dict[str, Any]:
        """Have one order done. Raises OSError, EOFError or ValueError where the process fails."""
        if self._process is None:
            await self._start()
        self._writer.write(json.dumps(order).encode() + b"\n")
        line = await self._reader.readline()
        if not line.endswith(b"\n"):
            raise EOFError("the process has ended")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ValueError(answer["error"])
        return answer

    def end(self) -> None:
        """End the process. Ending twice is harmless."""
        process, self._process = self._process, None
        if process is not None:
            self._writer.transport.abort()
            process.kill()
            process.wait()

    async def _start(self) -> None:
        ours, its = socket.socketpair()
        with its:
            self._process = _spawn(its)
        ours.setblocking(False)
        self._reader, self._writer = await asyncio.open_connection(sock=ours)


def _spawn(orders: socket.socket) -> subprocess.Popen[bytes]:
    # From the event loop's own thread, which lives as long as the process does; it takes 2 ms, once.
    argv = [sys.executable, "-m", "meta_service.domain.hashing_process", str(os.getpid())]
    return subprocess.Popen(argv, stdin=orders.fileno(), stdout=subprocess.DEVNULL)


def _refuse(turn: asyncio.Future[_Hasher]) -> None:
    if not turn.done():
        turn.set_exception(HashingBusyError("too many passwords are being checked: try again"))
