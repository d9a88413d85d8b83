"""The gate: who is let in, who waits, who is refused, before a request is parsed.

Once a request has become a task, it cannot be dropped cheaply any more, and tasks take their turns in the
order in which they came: with twice the load everybody is then served at the age at which they give up. So
requests under way are bounded for each class, and what waits are bytes. A refusal costs a fiftieth of the
cheapest answer.

`protocol` is the end of the gate at a connection.
"""

from __future__ import annotations

import asyncio
import functools
import ipaddress
from collections.abc import Callable, Hashable
from typing import Any, Protocol

import structlog
from uvicorn._types import HTTPScope
from uvicorn.middleware.proxy_headers import _TrustedHosts

from launchday.clock import Clock
from launchday.rate_limit import RateLimit
from launchday.resilience.admission.classes import AdmissionClass, AdmissionClasses
from launchday.resilience.admission.direct import Exchange
from launchday.resilience.admission.refusals import CROWDED, OVERLOADED, SLOW, Refusal
from launchday.resilience.admission.request_bytes import Head
from launchday.resilience.admission.waiting_line import Waiting, WaitingLine
from launchday.resilience.deadline import MAX_REQUEST_S
from launchday.resilience.descriptor_budget import DescriptorBudget
from launchday.resilience.request_metrics import Stamp

TICK_S = 0.05  # how soon whoever waits too long is told, and how long a pause of the process must be to count
PARTIAL_S = MAX_REQUEST_S  # for all of a request to arrive
MAX_PARTIAL_BYTES = 32 * 1024 * 1024  # of requests that are not whole yet, all connections together
MAX_WAITING_BYTES = 16 * 1024 * 1024  # of requests that wait, all classes together
LIMITED_BURST_S = 4.0
IPV6_SOURCE_BITS = 64  # one customer has at least so many addresses
QUIET_S = 60.0  # without a refusal; the next is said in the log again
UNBOUNDED = DescriptorBudget()
EXEMPT_SOURCES = ("127.0.0.1", "::1", "")

log = structlog.get_logger()


class Waiter(Protocol):
    """A connection whose request waits."""

    request: bytes | bytearray

    def begin(self, now: float) -> None:
        """Start the request, or refuse it where its deadline has passed."""

    def refuse(self, refusal: Refusal) -> None:
        """Answer with constant bytes."""


class Lane:
    """One class of requests at the gate: what is under way and who waits.

    Attributes:
        kind: the class.
        running: requests under way.
        admitted, refused, late, limited, gone: requests so far that were started; refused because too many
            were under way or waited; dropped because their deadline had passed; refused because their source
            asked too often; or whose client hung up while they waited.
    """

    def __init__(self, kind: AdmissionClass, gate: Gate) -> None:
        self.kind = kind
        self.running = 0
        self.admitted = self.refused = self.late = self.limited = self.gone = 0
        self._gate = gate
        self._most = kind.limit if kind.limit is not None else 1 << 60
        self._line: WaitingLine[Waiter] = WaitingLine(kind.line)
        self._per_source = (
            RateLimit(kind.per_source_s, burst_s=LIMITED_BURST_S) if kind.per_source_s else None
        )

    @property
    def queued(self) -> int:
        """How many wait."""
        return len(self._line)

    def has_room(self) -> bool:
        """Whether a request may start at once: nobody waits where there is room."""
        return self.running < self._most

    def too_often(self, source: str, now: float) -> bool:
        """Count a request of a source, and say whether it is one too many."""
        if self._per_source is None or source in EXEMPT_SOURCES or not self._per_source.wait_s(source, now):
            return False
        self.limited += 1
        return True

    def wait(self, source: Hashable, waiter: Waiter, now: float) -> Waiting[Waiter] | None:
        """Let a request wait; None: there is no place for it."""
        for old in self._line.too_old(now):
            old.refuse(OVERLOADED)
        if self._gate.waiting_bytes + len(waiter.request) > MAX_WAITING_BYTES:
            return None
        place, pushed_out = self._line.join((source,), waiter, now)
        if pushed_out is not None:
            pushed_out.refuse(OVERLOADED)
        return place

    def leave(self, place: Waiting[Waiter]) -> None:
        """Take a request out whose client has hung up."""
        self._line.leave(place)
        self.gone += 1

    def finished(self, task: asyncio.Task[None]) -> None:
        """Count a request out whose task has ended, and start who is next."""
        self._gate.tasks.discard(task)
        self.left()

    def left(self) -> None:
        """Count a request out that is answered, and start who is next."""
        self.running -= 1
        if len(self._line):
            self.advance(self._gate.now())

    def advance(self, now: float) -> None:
        """Refuse who has waited for too long, and start who is next where there is room."""
        for old in self._line.too_old(now):
            old.refuse(OVERLOADED)
        while self.running < self._most and (waiter := self._line.next(now)) is not None:
            waiter.begin(now)


class Gate:
    """All lanes of one process, and what its connections share. Used from one event loop.

    Args:
        classes: of the service.
        clock: time.
        trusted_proxies: comma-separated addresses whose X-Forwarded-For is believed.
        budget: of descriptors: connections beyond it are told to go, but for whoever asks for health.
        max_body_bytes: longer bodies are not waited for: the application refuses them.

    Attributes:
        direct: answers requests before any parser, or says that one is nothing for it (False); None: the
            parser gets all of them.
    """

    def __init__(
        self,
        classes: AdmissionClasses,
        clock: Clock,
        *,
        trusted_proxies: str = "127.0.0.1",
        budget: DescriptorBudget = UNBOUNDED,
        max_body_bytes: int = 512 * 1024,
    ) -> None:
        self.now = clock.monotonic
        self.stamp = Stamp(clock)
        self.direct: Callable[[Exchange], bool] | None = None
        self.classes = classes
        self.lanes = [Lane(kind, self) for kind in classes.all]
        self.operations = self.lanes[0]
        self.budget = budget
        self.max_body_bytes = max_body_bytes
        self.connections_refused = 0
        self.crowd: dict[Any, None] = {}  # connections that are to be told to go, the oldest first
        self.tasks: set[asyncio.Task[None]] = set()
        self.partial: dict[Any, float] = {}  # connections whose request is not whole yet, and since when
        self.partial_bytes = 0
        self.waiting_bytes = 0
        self._proxies = _TrustedHosts(trusted_proxies)
        self._forwarded = functools.lru_cache(maxsize=4096)(self._address_of)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._last_turn = 0.0
        self._stood_still_s = 0.0
        self._refused_at = -QUIET_S
        self._headers: list[tuple[bytes, bytes]] = []
        self._header_lines = b""

    def lane_of(self, data: bytes | bytearray) -> Lane:
        """Return the lane of the request whose bytes begin ``data``."""
        return self.lanes[self.classes.number_of(data)]

    def source_of(self, peer: str, head: Head) -> str:
        """Return the address that a request comes from: the peer's, or the one that a trusted proxy names."""
        if head.forwarded_for and peer in self._proxies:
            peer = self._forwarded(head.forwarded_for) or peer
        return network_of(peer)

    def tell_client(self, scope: HTTPScope, head: Head) -> None:
        """Put what a trusted proxy says of the client into an ASGI scope.

        uvicorn's middleware for that costs every request 3 µs; the gate has read the headers anyway.
        """
        peer = scope["client"]
        if peer is None or peer[0] not in self._proxies:
            return
        if head.forwarded_for and (address := self._forwarded(head.forwarded_for)):
            scope["client"] = (address, 0)
        if head.forwarded_proto in (b"http", b"https"):
            scope["scheme"] = head.forwarded_proto.decode()

    def header_lines(self, headers: list[tuple[bytes, bytes]]) -> bytes:
        """Return the lines of headers; the server makes a new list each second, and the last is kept."""
        if headers is not self._headers:
            self._headers = headers
            self._header_lines = b"".join(b"%b: %b\r\n" % each for each in headers)
        return self._header_lines

    def stood_still_s(self, now: float) -> float:
        """Return the seconds that what is read now may have lain in the socket because this process was
        stopped or busy."""
        return max(self._stood_still_s, now - self._last_turn - TICK_S, 0.0)

    def opened(self, loop: asyncio.AbstractEventLoop, tasks: set[asyncio.Task[None]]) -> None:
        """Begin to tick, with the first connection; ``tasks`` are the server's."""
        if self._loop is None:
            self._loop = loop
            self.tasks = tasks
            self._last_turn = self.now()
            loop.call_later(TICK_S, self._tick)

    def too_many_connections(self, descriptor: int, connections: int) -> bool:
        """Whether a new connection is one too many.

        Args:
            descriptor: its number, which says how many descriptors are in use.
            connections: how many there are, for the log.
        """
        if descriptor < self.budget.refuse_from:
            return False
        self.connections_refused += 1
        now = self.now()
        if now - self._refused_at >= QUIET_S:
            log.warning(
                "as many connections as the descriptors allow: raise ulimit -Hn, or start another process",
                connections=connections,
                descriptors_in_use=descriptor,
            )
        self._refused_at = now
        return True

    def join_crowd(self, connection: Any) -> None:
        """Let a connection wait until it has asked for something; the oldest makes room where many do."""
        self.crowd[connection] = None
        if len(self.crowd) > self.budget.crowd:
            oldest = next(iter(self.crowd))
            del self.crowd[oldest]
            oldest.end(CROWDED, at_once=True)

    def _tick(self) -> None:
        now = self.now()
        stood_still_s = now - self._last_turn - TICK_S
        self._last_turn = now
        assert self._loop is not None
        self._loop.call_later(TICK_S, self._tick)
        if stood_still_s > TICK_S:
            # What is read next has lain there: in the coming turn of the loop what connections had sent, in
            # the one after it what connections had sent that were accepted meanwhile.
            self._stood_still_s = stood_still_s
            self._in_turns(3)
        for lane in self.lanes:
            if lane.queued:
                lane.advance(now)
        while self.partial:
            connection, since = next(iter(self.partial.items()))
            if now - since < PARTIAL_S:
                break
            connection.end(SLOW)

    def _in_turns(self, turns: int) -> None:
        if not turns:
            self._stood_still_s = 0.0
        elif self._loop is not None:
            self._loop.call_soon(self._in_turns, turns - 1)

    def _address_of(self, forwarded_for: bytes) -> str:
        address, _ = self._proxies.get_trusted_client_address(forwarded_for.decode("latin-1"))
        return address


@functools.lru_cache(maxsize=4096)
def network_of(address: str) -> str:
    """Return an IPv4 address as it is, and the network that one customer has of an IPv6 address."""
    if ":" not in address:
        return address
    try:
        whole = ipaddress.IPv6Address(address)
    except ValueError:
        return address
    if whole.ipv4_mapped is not None:
        return str(whole.ipv4_mapped)
    return (
        address if whole.is_loopback else str(ipaddress.IPv6Network((whole, IPV6_SOURCE_BITS), strict=False))
    )
