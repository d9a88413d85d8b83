"""Players who come to the queue whether it keeps up or not: each makes a ticket over HTTP at his time and follows it to its end.

Everything is measured from the time at which a request was meant to go out, so that a generator which falls behind makes figures
worse, not better; how late it was is among the figures.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

STEP_S = 0.001  # between two looks at who is due
GIVE_UP_S = 90.0  # after the last arrival


@dataclass
class Fates:
    """What became of the players, an entry each. Times are seconds: ``due``, ``made`` and ``told`` on the generator's clock."""

    due: NDArray[np.float64]
    sent: NDArray[np.float64]
    made: NDArray[np.float64]
    told: NDArray[np.float64]
    tell_s: NDArray[np.float64]  # from the writing of the end to the telling
    seat: dict[tuple[bytes, bytes], int] = field(default_factory=dict)  # (match, entity) → players told so
    refused: int = 0
    other_ends: int = 0


class Call(asyncio.Protocol):
    """One connection: a request at a time."""

    def __init__(self, crowd: Crowd) -> None:
        self._crowd = crowd
        self._got = bytearray()
        self.transport: asyncio.Transport
        self.player = -1
        self.following = False

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        if self.player >= 0:
            self._crowd.broken(self)

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        self._got += data
        if self.following:
            self._follow()
        elif (end := self._got.find(b"\r\n\r\n")) >= 0:
            at = self._got.lower().find(b"content-length:", 0, end)
            length = int(self._got[at + 15 : self._got.find(b"\r\n", at)])
            if len(self._got) >= end + 4 + length:
                status, body = int(self._got[9:12]), bytes(self._got[end + 4 : end + 4 + length])
                self._got.clear()
                self._crowd.made(self, status, body)

    def _follow(self) -> None:
        if self._got.endswith(b"0\r\n\r\n"):
            events = bytes(self._got)
            self._got.clear()
            self.following = False
            self._crowd.told(self, events)


class Crowd:
    """The players.

    Args:
        host, port: the matchmaker.
        tokens: a session token for each player.
        wishes: a JSON body for each player.
        due_s: seconds after the start at which each comes, ascending.
    """

    def __init__(
        self, host: str, port: int, tokens: list[str], wishes: list[bytes], due_s: NDArray[np.float64]
    ) -> None:
        self._address = (host, port)
        self._tokens = [token.encode() for token in tokens]
        self._wishes = wishes
        count = len(tokens)
        missing = np.full(count, np.nan)
        self.fates = Fates(due_s.copy(), missing.copy(), missing.copy(), missing.copy(), missing.copy())
        self._idle: deque[Call] = deque()
        self._calls: list[Call] = []
        self._opening: set[asyncio.Task[None]] = set()
        self._done = 0
        self._begun = 0.0

    async def run(self) -> Fates:
        """Let all come; returns when all have an end, or GIVE_UP_S after the last came."""
        self._begun = time.perf_counter()
        due = self.fates.due
        count, following = len(due), 0
        while following < count:
            now = time.perf_counter() - self._begun
            while following < count and due[following] <= now:
                self._send(following)
                following += 1
            await asyncio.sleep(STEP_S)
        give_up = time.perf_counter() + GIVE_UP_S
        while self._done < count and time.perf_counter() < give_up:  # noqa: ASYNC110 - a look now and then costs nothing
            await asyncio.sleep(0.05)
        for call in self._calls:
            call.transport.abort()
        await asyncio.sleep(STEP_S)  # for the loop to close them
        return self.fates

    def _now(self) -> float:
        return time.perf_counter() - self._begun

    def _send(self, player: int) -> None:
        self.fates.sent[player] = self._now()
        while self._idle:
            call = self._idle.popleft()
            if not call.transport.is_closing():
                self._create(call, player)
                return
        task = asyncio.create_task(self._connect(player))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _connect(self, player: int) -> None:
        try:
            transport, call = await asyncio.get_running_loop().create_connection(
                lambda: Call(self), *self._address
            )
        except OSError:
            self.fates.refused += 1
            self._done += 1
            return
        call.transport = transport
        self._calls.append(call)
        self._create(call, player)

    def _create(self, call: Call, player: int) -> None:
        call.player = player
        body = self._wishes[player]
        call.transport.write(
            b"POST /v1/tickets HTTP/1.1\r\nhost: m\r\nauthorization: Bearer %b\r\ncontent-type: application/json\r\n"
            b"content-length: %d\r\n\r\n%b" % (self._tokens[player], len(body), body)
        )

    def made(self, call: Call, status: int, body: bytes) -> None:
        """A creation was answered."""
        player = call.player
        if status != 201:
            self.fates.refused += 1
            self._finish(call)
            return
        self.fates.made[player] = self._now()
        at = body.find(b'"ticket_id":"') + 13
        call.following = True
        call.transport.write(
            b"GET /v1/tickets/%b/events HTTP/1.1\r\nhost: m\r\nauthorization: Bearer %b\r\n\r\n"
            % (body[at : at + 36], self._tokens[player])
        )

    def told(self, call: Call, events: bytes) -> None:
        """An event stream came to its end."""
        wall_s = time.time()
        at = events.rfind(b'"state":"assigned"')
        if at < 0:
            self.fates.other_ends += 1
        else:
            self.fates.told[call.player] = self._now()
            match = _between(events, b'"match_id":"', b'"', at)
            entity = _between(events, b'"entity":', b"}", at).split(b",")[0]
            self.fates.seat[match, entity] = self.fates.seat.get((match, entity), 0) + 1
            if (written := _between(events, b"\nid: ", b"-", 0)) or (
                written := _between(events, b"id: ", b"-", 0)
            ):
                self.fates.tell_s[call.player] = max(0.0, wall_s - int(written) / 1000)
        self._finish(call)

    def broken(self, call: Call) -> None:
        """A connection was lost with a player on it."""
        self.fates.other_ends += 1
        call.player = -1
        self._done += 1

    def _finish(self, call: Call) -> None:
        call.player = -1
        self._done += 1
        self._idle.append(call)


def figures(fates: Fates, percentiles: Any) -> dict[str, Any]:
    """Waits, creations and tellings in the units of the benchmark."""
    ended = ~np.isnan(fates.told)
    return {
        "wait_s": percentiles((fates.told - fates.due)[ended], 50, 95, 99, digits=3),
        "create_ms": percentiles(1e3 * (fates.made - fates.due)[~np.isnan(fates.made)], 50, 99, digits=2),
        "tell_ms": percentiles(1e3 * fates.tell_s[~np.isnan(fates.tell_s)], 50, 99, digits=2),
        "late_ms": percentiles(1e3 * (fates.sent - fates.due), 50, 99, digits=2),
    }


def _between(text: bytes, before: bytes, after: bytes, start: int) -> bytes:
    at = text.find(before, start)
    if at < 0:
        return b""
    at += len(before)
    return text[at : text.find(after, at)]
