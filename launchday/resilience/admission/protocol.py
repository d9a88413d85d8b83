"""The end of the gate at a connection: uvicorn's protocol, which is given one whole request at a time.

What comes is held until a request is whole, so that nobody holds a place by sending slowly. Then the gate
lets it in, makes it wait or refuses it, and only what is let in reaches the parser. What comes behind it on
the same connection is held until it is answered.

uvicorn's protocol class is no public API: pyproject.toml holds its version, and a test names what is used
here.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from launchday.resilience import deadline
from launchday.resilience.admission.exchange_protocol import ExchangeProtocol
from launchday.resilience.admission.gate import MAX_PARTIAL_BYTES, Gate, Lane
from launchday.resilience.admission.refusals import (
    CROWDED,
    LATE,
    LONG_HEAD,
    OVERLOADED,
    SLOW,
    TOO_MANY,
    Refusal,
)
from launchday.resilience.admission.request_bytes import (
    MAX_HEAD_BYTES,
    NOT_YET,
    UNKNOWN_END,
    Head,
    goes_on,
    read_head,
    request_end,
)
from launchday.resilience.admission.waiting_line import Waiting

LINGER_S = 1.0  # after a refusal that ends the connection: closing at once would reset it before it is read
MAX_HELD_BYTES = 1024 * 1024  # behind a request that is not answered yet; who sends more is cut off
# Whoever asks too often is told so late: a thousand connections that guess passwords and ask again at once
# made the service say so 40,000 times a second, which left no time for anybody else.
LIMITED_ANSWER_S = 0.5
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class GateProtocol(ExchangeProtocol):
    """One connection. Make a subclass of it with `guarded_by`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.request: bytes | bytearray = b""  # the one that waits
        self._partial_bytes = 0
        self._place: Waiting[Any] | None = None
        self._lane: Lane | None = None  # of the request that waits
        self._late_refusal: asyncio.TimerHandle | None = None
        self._let_in: Lane | None = None  # of the request that the parser is about to begin
        self._in_message = False  # the parser has a request that is not whole
        self._continued = False
        self._ending = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, unless there are too many."""
        super().connection_made(transport)
        gate = self.gate
        gate.opened(self.loop, self.tasks)
        self._heard_at = gate.now()
        descriptor = transport.get_extra_info("socket").fileno()
        if gate.too_many_connections(descriptor, len(self.connections)):
            self._crowded = True
            if descriptor >= gate.budget.cut_from:
                self._ending = True
                transport.abort()
                return
            gate.join_crowd(self)
        # uvicorn itself waits for ever for a connection's first request.
        wait_s = LINGER_S if self._crowded else self.timeout_keep_alive
        self.timeout_keep_alive_task = self.loop.call_later(wait_s, self.timeout_keep_alive_handler)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget what waits: a client that has hung up costs nothing more."""
        self._stop_waiting()
        self._refuse_no_later()
        self._whole()
        if (exchange := self._exchange) is not None:
            self._leave_exchange()
            exchange.gone()
        self.gate.crowd.pop(self, None)
        self._held = b""
        self._ending = True
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes: of the request that the parser has, of one that is not whole yet, or of the next."""
        if self._ending:
            return
        self._heard_at = self.gate.now()
        if self._in_message:
            super().data_received(data)
            return
        if self._held:
            self._held += data
        else:
            self._held = data
        if self._busy():
            if len(self._held) > HIGH_WATER_LIMIT:
                self.flow.pause_reading()
                if len(self._held) > MAX_HELD_BYTES:
                    self.transport.abort()
            elif isinstance(self._held, bytes):
                self._held = bytearray(self._held)
            return
        self._go_on()

    def on_message_complete(self) -> None:
        """See httptools."""
        self._in_message = False
        HttpToolsProtocol.on_message_complete(self)

    def on_response_complete(self) -> None:
        """Go on with what was held behind the request that is answered."""
        super().on_response_complete()
        if self._held:
            self.loop.call_soon(self._go_on)

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection that has been silent for too long; a refusal has not set the timer anew."""
        wait_s = 0.0 if self._crowded else self._heard_at + self.timeout_keep_alive - self.gate.now()
        if wait_s > 0.0 or self._answering():
            self.timeout_keep_alive_task = self.loop.call_later(
                max(wait_s, LINGER_S), self.timeout_keep_alive_handler
            )
        else:
            super().timeout_keep_alive_handler()

    def shutdown(self) -> None:
        """Refuse what waits: the process ends."""
        if self._place is not None or self._late_refusal is not None:
            self._stop_waiting()
            self.end(OVERLOADED)
        if self._exchange is not None:
            self._closes_after = True
            return
        super().shutdown()

    def begin(self, now: float) -> None:
        """Let the request in that waited, or drop it where its time is over."""
        request, lane = self.request, self._lane
        self._place = None
        self.gate.waiting_bytes -= len(request)
        assert lane is not None
        if self._deadline is not None and self._deadline <= now:
            lane.late += 1
            self._answer(LATE)
        else:
            self._start(request, lane)
        if self._held:
            self.loop.call_soon(self._go_on)

    def refuse(self, refusal: Refusal) -> None:
        """Refuse the request that waited."""
        assert self._lane is not None
        self._place = None
        self.gate.waiting_bytes -= len(self.request)
        self._lane.refused += 1
        self._answer(refusal)
        if self._held:
            self.loop.call_soon(self._go_on)

    def end(self, refusal: Refusal, *, at_once: bool = False) -> None:
        """Answer with constant bytes, and end the connection.

        Args:
            refusal: the answer.
            at_once: nothing more is awaited from the client, so its descriptor is free at once.
        """
        self._whole()
        self._refuse_no_later()
        if self._ending or self.transport.is_closing():
            return
        self._ending = True
        self._held = b""
        self.transport.write(refusal.closing)
        if at_once:
            self.transport.close()
            return
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.flow.resume_reading()  # what still comes is read and dropped
        self.loop.call_later(LINGER_S, self.transport.close)

    def _answering(self) -> bool:
        """Whether a request waits, or is answered without the parser."""
        return self._place is not None or self._late_refusal is not None or self._exchange is not None

    def _busy(self) -> bool:
        if self._answering():
            return True
        return self.cycle is not None and not self.cycle.response_complete

    def _go_on(self) -> None:
        """Take whole requests out of what is held, until one is let in or waits, or bytes are missing."""
        while self._held and not self._in_message and not self._ending and not self._busy():
            if self.transport.is_closing():
                return
            data = self._held
            if data[0] in b"\r\n":  # the parser passes over empty lines before a request
                self._held = data.lstrip(b"\r\n")
                continue
            head = read_head(data)
            end = NOT_YET if head is None else request_end(data, head, self.gate.max_body_bytes)
            if head is None or end == NOT_YET:
                self._wait_for_more(head)
                return
            if self._partial_bytes:
                self._whole()
            if end in (UNKNOWN_END, len(data)):
                self.request, self._held = data, b""
            else:
                self.request, self._held = data[:end], data[end:]
            self._decide(head)

    def _decide(self, head: Head) -> None:
        """Let the request in, make it wait, or refuse it."""
        gate, now = self.gate, self.gate.now()
        lane = gate.lane_of(self.request)
        self._lane, self._head = lane, head
        granted_s = deadline.MAX_REQUEST_S if head.granted_s is None else head.granted_s
        until = now + granted_s - gate.stood_still_s(now)
        if lane is gate.operations:
            gate.crowd.pop(self, None)
            self._deadline = None
            self._start(self.request, lane)
            return
        if self._crowded:
            lane.refused += 1
            self.end(CROWDED, at_once=not self._held and goes_on(self.request, head))
            return
        if until <= now:
            lane.late += 1
            self._answer(LATE)
            return
        self._deadline = until if lane.kind.bounded else None
        peer = self.client[0] if self.client else ""
        if lane.kind.per_source_s and lane.too_often(gate.source_of(peer, head), now):
            self._late_refusal = self.loop.call_later(LIMITED_ANSWER_S, self._refuse_late)
        elif lane.has_room():
            self._start(self.request, lane)
        elif (place := lane.wait(gate.source_of(peer, head), self, now)) is not None:
            self._place = place
            gate.waiting_bytes += len(self.request)
        else:
            lane.refused += 1
            self._answer(OVERLOADED)

    def _start(self, request: bytes | bytearray, lane: Lane) -> None:
        """Give a request to the parser, which starts its task."""
        lane.running += 1
        lane.admitted += 1
        self.request = b""
        if self.gate.direct is not None and self._goes_direct(self.gate.direct, request, lane):
            return
        self._let_in = lane
        HttpToolsProtocol.data_received(self, request)  # type: ignore[arg-type]  # it takes any buffer
        if self._let_in is not None:  # malformed: the parser has answered it
            self._let_in = None
            lane.running -= 1
        elif self.cycle.more_body and not self.cycle.response_complete:
            self._in_message = True  # its end was unknown to the gate, or the parser sees another

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Start a request's task, with its deadline, and with its lane's count."""
        lane, self._let_in = self._let_in, None
        until = self._deadline
        if lane is None:  # the parser saw two requests in what was one to the gate
            lane, until = self._lane_of_parsed(cycle), self.gate.now() + deadline.MAX_REQUEST_S
            if not lane.has_room():
                lane.refused += 1
                lane, app = self.gate.operations, OVERLOADED
            lane.running += 1
            lane.admitted += 1
        elif (head := self._head) is not None and (head.forwarded_for or head.forwarded_proto):
            self.gate.tell_client(cycle.scope, head)
        if self._crowded:
            cycle.keep_alive = False
        if self._continued:
            self._continued = cycle.waiting_for_100_continue = False
        with deadline.serving(until):
            task = self.loop.create_task(cycle.run_asgi(app))
        self.tasks.add(task)
        task.add_done_callback(lane.finished)

    def _answer(self, refusal: Refusal) -> None:
        """Answer the request with constant bytes; the connection goes on where that is safe."""
        request, head = self.request, self._head
        self.request = b""
        if self._ending or self.transport.is_closing():
            return
        if head is None or not goes_on(request, head):
            self.end(refusal)
        else:
            self.transport.write(refusal.headless if request[:5] == b"HEAD " else refusal.going_on)

    def _refuse_late(self) -> None:
        """Tell whoever asks too often."""
        self._late_refusal = None
        self._answer(TOO_MANY)
        if self._held:
            self.loop.call_soon(self._go_on)

    def _refuse_no_later(self) -> None:
        if self._late_refusal is not None:
            self._late_refusal.cancel()
            self._late_refusal = None

    def _wait_for_more(self, head: Head | None) -> None:
        """Hold what is there of a request until the rest comes, for a while."""
        gate = self.gate
        if head is None and len(self._held) > MAX_HEAD_BYTES:
            self.end(LONG_HEAD)
            return
        if not isinstance(self._held, bytearray):
            self._held = bytearray(self._held)
        gate.partial_bytes += len(self._held) - self._partial_bytes
        self._partial_bytes = len(self._held)
        gate.partial.setdefault(self, self._heard_at)
        if gate.partial_bytes > MAX_PARTIAL_BYTES:
            self.end(SLOW)
        elif head is not None and head.expects and not self._continued:
            self._continued = True
            self.transport.write(CONTINUE)

    def _whole(self) -> None:
        """The request that came in parts is whole, or will never be."""
        if self._partial_bytes:
            self.gate.partial_bytes -= self._partial_bytes
            self._partial_bytes = 0
            self.gate.partial.pop(self, None)

    def _stop_waiting(self) -> None:
        if self._place is not None and self._lane is not None:
            self.gate.waiting_bytes -= len(self.request)
            self._lane.leave(self._place)
            self._place, self.request = None, b""

    def _lane_of_parsed(self, cycle: RequestResponseCycle) -> Lane:
        scope = cycle.scope
        target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
        return self.gate.lane_of(b"%s %s HTTP/1.1\r\n" % (scope["method"].encode(), target))


def guarded_by(gate: Gate) -> type[GateProtocol]:
    """Return the protocol class whose connections belong to ``gate``, for uvicorn's option ``http``."""
    return type("GuardedProtocol", (GateProtocol,), {"gate": gate})
