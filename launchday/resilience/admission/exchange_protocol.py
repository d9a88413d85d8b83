"""What a connection does for requests that are answered without the parser: uvicorn's protocol, with a place
for one `Exchange`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from launchday.resilience import deadline
from launchday.resilience.admission.direct import Exchange, takes
from launchday.resilience.admission.gate import Gate, Lane
from launchday.resilience.admission.request_bytes import Head


class ExchangeProtocol(HttpToolsProtocol):
    """One connection; `protocol.GateProtocol` is made of it.

    Attributes:
        gate: of the process.
    """

    gate: Gate

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head: Head | None = None  # of the request that is let in next, or waits
        self._held: bytes | bytearray = b""  # not yet given to the parser
        self._deadline: float | None = None  # of that request
        self._crowded = False
        self._heard_at = 0.0
        self._exchange: Exchange | None = None  # the request that is answered without the parser
        self._exchange_lane: Lane | None = None
        self._closes_after = False  # the exchange: the process ends

    def server_headers(self) -> bytes:
        """The lines of the headers that every answer has."""
        return self.gate.header_lines(self.server_state.default_headers)

    def write_exchange(self, data: bytes) -> None:
        """Send a part of the answer to the request that is answered without the parser."""
        if not self.transport.is_closing():
            self.transport.write(data)

    def end_exchange(self) -> None:
        """Go on: the answer is complete."""
        self._leave_exchange()
        self.server_state.total_requests += 1
        if self._closes_after:
            self.transport.close()
        if self.transport.is_closing():
            return
        # The timer for silence runs on: to set one anew for each request costs 5 µs.
        self._heard_at = self.gate.now()
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
        self.flow.resume_reading()
        if self._held:
            self.loop.call_soon(self._go_on)

    def abort_exchange(self) -> None:
        """Close the connection: the answer cannot be completed."""
        self._leave_exchange()
        self.transport.close()

    def _leave_exchange(self) -> None:
        self._exchange = None
        lane, self._exchange_lane = self._exchange_lane, None
        if lane is not None:  # not at once: who is next may be answered at once too, and so on without end
            self.loop.call_soon(lane.left)

    def _goes_direct(
        self, direct: Callable[[Exchange], bool], request: bytes | bytearray, lane: Lane
    ) -> bool:
        """Offer a request to whoever answers without the parser; whether it is answered, or will be."""
        head = self._head
        if self._crowded or head is None or not takes(request, head):
            return False
        exchange = Exchange(self, bytes(request), head, self.gate.now, self.gate.stamp)
        self._exchange, self._exchange_lane = exchange, lane
        with deadline.serving(self._deadline):
            try:
                taken = direct(exchange)
            except Exception as error:
                exchange.fail(error)
                return True
        if not taken:
            self._exchange = self._exchange_lane = None
        return taken

    @abstractmethod
    def _go_on(self) -> None:
        """Take the next request out of what is held."""
