"""An open load: players create tickets over HTTP at given times, whether the queue keeps up or not, and
follow them to the end.

Everything is measured from the time at which a request was due, so a generator that falls behind makes the
figures worse and not better; how late it was is among the figures.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadtest.bench.harness.statistics import percentiles

POLL_S = 0.001  # between two looks at which players are due
TIMEOUT_S = 90.0  # after the last arrival


@dataclass
class PlayerTimings:
    """The times of all players, and what they ended with.

    Attributes:
        due, sent, created, notified: float64[P], seconds since the start: when the request was due and was
            sent, when its answer came, and when the end of the ticket came. NaN where it did not.
        notify_s: float64[P], from the writing of the ticket's end to its arrival at the player.
        notified_by_slot: (match, entity) → number of players who were told that slot.
        refused: tickets that were not created.
        other_ends: tickets that ended without an assignment, and lost connections.
    """

    due: NDArray[np.float64]
    sent: NDArray[np.float64]
    created: NDArray[np.float64]
    notified: NDArray[np.float64]
    notify_s: NDArray[np.float64]
    notified_by_slot: dict[tuple[bytes, bytes], int] = field(default_factory=dict)
    refused: int = 0
    other_ends: int = 0


class Connection(asyncio.Protocol):
    """One connection, with one request at a time."""

    def __init__(self, load: TicketLoad) -> None:
        self._load = load
        self._got = bytearray()
        self.transport: asyncio.Transport
        self.player = -1
        self.following = False

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        if self.player >= 0:
            self._load.on_connection_lost(self)

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
                if not self._load.first_answer:
                    self._load.first_answer = bytes(self._got)
                self._got.clear()
                self._load.on_created(self, status, body)

    def _follow(self) -> None:
        if self._got.endswith(b"0\r\n\r\n"):
            events = bytes(self._got)
            self._got.clear()
            self.following = False
            self._load.on_notified(self, events)


class TicketLoad:
    """The players of a run.

    Args:
        host, port: the matchmaker.
        tokens: a session token for each player.
        bodies: a JSON body for each player.
        due_s: float64[P], seconds after the start at which each player is due, ascending.
        follow: whether players follow their ticket to its end; else the answer to its creation is the end.
        connections: that are opened before the first player is due, and take turns. Who follows keeps one
            for long, so a load that does not needs them to have as many.

    Attributes:
        first_answer: to the creation of a ticket, as it came from the socket.
    """

    def __init__(
        self,
        host: str,
        port: int,
        tokens: list[str],
        bodies: list[bytes],
        due_s: NDArray[np.float64],
        *,
        follow: bool = True,
        connections: int = 0,
    ) -> None:
        self._address = (host, port)
        self._tokens = [token.encode() for token in tokens]
        self._bodies = bodies
        count = len(tokens)
        missing = np.full(count, np.nan)
        self.timings = PlayerTimings(
            due_s.copy(), missing.copy(), missing.copy(), missing.copy(), missing.copy()
        )
        self._idle: deque[Connection] = deque()
        self._connections: list[Connection] = []
        self._opening: set[asyncio.Task[None]] = set()
        self._done = 0
        self._began = 0.0
        self._follow = follow
        self.first_answer = b""
        self._opened_before = connections

    @property
    def connections(self) -> int:
        """How many were opened so far."""
        return len(self._connections)

    async def run(self) -> PlayerTimings:
        """Send all players; return when all have an end, or TIMEOUT_S after the last was sent."""
        for _ in range(self._opened_before):
            self._idle.append(await self._open())
        self._began = time.perf_counter()
        due = self.timings.due
        count, next_player = len(due), 0
        while next_player < count:
            now = time.perf_counter() - self._began
            while next_player < count and due[next_player] <= now:
                self._send(next_player)
                next_player += 1
            await asyncio.sleep(POLL_S)
        give_up = time.perf_counter() + TIMEOUT_S
        while self._done < count and time.perf_counter() < give_up:  # noqa: ASYNC110 - costs nothing
            await asyncio.sleep(0.05)
        for call in self._connections:
            call.transport.abort()
        await asyncio.sleep(POLL_S)  # for the loop to close them
        return self.timings

    def _now(self) -> float:
        return time.perf_counter() - self._began

    def _send(self, player: int) -> None:
        self.timings.sent[player] = self._now()
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
            call = await self._open()
        except OSError:
            self.timings.refused += 1
            self._done += 1
            return
        self._create(call, player)

    async def _open(self) -> Connection:
        call: Connection
        transport, call = await asyncio.get_running_loop().create_connection(
            lambda: Connection(self), *self._address
        )
        call.transport = transport
        self._connections.append(call)
        return call

    def _create(self, call: Connection, player: int) -> None:
        call.player = player
        body = self._bodies[player]
        call.transport.write(
            b"POST /v1/tickets HTTP/1.1\r\nhost: m\r\nauthorization: Bearer %b\r\n"
            b"content-type: application/json\r\n"
            b"content-length: %d\r\n\r\n%b" % (self._tokens[player], len(body), body)
        )

    def on_created(self, call: Connection, status: int, body: bytes) -> None:
        """Take the answer to the creation of a ticket."""
        player = call.player
        if status != 201:
            self.timings.refused += 1
            self._finish(call)
            return
        self.timings.created[player] = self._now()
        if not self._follow:
            self._finish(call)
            return
        at = body.find(b'"ticket_id":"') + 13
        call.following = True
        call.transport.write(
            b"GET /v1/tickets/%b/events HTTP/1.1\r\nhost: m\r\nauthorization: Bearer %b\r\n\r\n"
            % (body[at : at + 36], self._tokens[player])
        )

    def on_notified(self, call: Connection, events: bytes) -> None:
        """Take an event stream that has ended."""
        wall_s = time.time()
        at = events.rfind(b'"state":"assigned"')
        if at < 0:
            self.timings.other_ends += 1
        else:
            self.timings.notified[call.player] = self._now()
            match = _between(events, b'"match_id":"', b'"', at)
            entity = _between(events, b'"entity":', b"}", at).split(b",")[0]
            self.timings.notified_by_slot[match, entity] = (
                self.timings.notified_by_slot.get((match, entity), 0) + 1
            )
            if (written := _between(events, b"\nid: ", b"-", 0)) or (
                written := _between(events, b"id: ", b"-", 0)
            ):
                self.timings.notify_s[call.player] = max(0.0, wall_s - int(written) / 1000)
        self._finish(call)

    def on_connection_lost(self, call: Connection) -> None:
        """Count a player whose connection was lost."""
        self.timings.other_ends += 1
        call.player = -1
        self._done += 1

    def _finish(self, call: Connection) -> None:
        call.player = -1
        self._done += 1
        self._idle.append(call)


def joined(parts: Sequence[PlayerTimings]) -> PlayerTimings:
    """The players of several loads together."""
    names = ("due", "sent", "created", "notified", "notify_s")
    due, sent, created, notified, notify_s = (
        np.concatenate([getattr(part, name) for part in parts]) for name in names
    )
    slots: Counter[tuple[bytes, bytes]] = Counter()
    for part in parts:
        slots.update(part.notified_by_slot)
    refused = sum(part.refused for part in parts)
    other_ends = sum(part.other_ends for part in parts)
    return PlayerTimings(due, sent, created, notified, notify_s, dict(slots), refused, other_ends)


def figures(timings: PlayerTimings) -> dict[str, Any]:
    """Return waits, creations, notifications and lateness in the units of the benchmark."""
    ended = ~np.isnan(timings.notified)
    return {
        "wait_s": percentiles((timings.notified - timings.due)[ended], 50, 95, 99, digits=3),
        "create_ms": percentiles(
            1e3 * (timings.created - timings.due)[~np.isnan(timings.created)], 50, 99, digits=2
        ),
        "notify_ms": percentiles(1e3 * timings.notify_s[~np.isnan(timings.notify_s)], 50, 99, digits=2),
        "late_ms": percentiles(1e3 * (timings.sent - timings.due), 50, 99, digits=2),
    }


def _between(text: bytes, before: bytes, after: bytes, start: int) -> bytes:
    at = text.find(before, start)
    if at < 0:
        return b""
    at += len(before)
    return text[at : text.find(after, at)]
