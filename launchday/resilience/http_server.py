"""The server of every HTTP service: it says that it stops before it does, and lets go of who vanished."""

from __future__ import annotations

import asyncio
import functools
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn

from launchday.clock import Clock
from launchday.resilience.acceptor import Acceptor
from launchday.resilience.descriptor_budget import DescriptorBudget
from launchday.resilience.health import STOP_TIMEOUT_S, begin_stop

# Of listeners, and inherited by what they accept: whoever vanished without a word is let go after 20 s. On
# mobile networks players are cut off for seconds: it is not the 3 s of connections between our processes.
LISTENER_OPTIONS = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 20_000),
)


class HttpServer(uvicorn.Server):
    """uvicorn's server.

    From SIGTERM on ``/readyz`` answers 503; for ``drain_s`` seconds everything else is still served, so that
    load balancers have time to ask and to send players elsewhere.

    Args:
        config: uvicorn's.
        clock: times the draining.
        drain_s: seconds; 0: it stops at once.
        budget: of descriptors.
    """

    def __init__(
        self, config: uvicorn.Config, clock: Clock, drain_s: float, budget: DescriptorBudget | None = None
    ) -> None:
        super().__init__(config)
        self._clock = clock
        self._drain_s = drain_s
        self._budget = budget
        self._leaving: tuple[int, float] | None = None
        self._acceptors: list[Acceptor] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, set `LISTENER_OPTIONS`, and take connections as fast as they come."""
        await super().startup(sockets=sockets)
        made_by: Callable[..., asyncio.Protocol] = self.config.http_protocol_class
        protocol = functools.partial(
            made_by, config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        for server in self.servers if self.started else ():
            for listener in server.sockets:
                for option in LISTENER_OPTIONS:
                    listener.setsockopt(*option)
                self._acceptors.append(Acceptor(listener, protocol, self.config.ssl, self._budget))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more connections, and stop."""
        for acceptor in self._acceptors:
            acceptor.close()
        await super().shutdown(sockets=sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop: at once, or after draining."""
        begin_stop(STOP_TIMEOUT_S + self._drain_s)
        if self._drain_s and self._leaving is None and self.started:
            self._leaving = (sig, self._clock.monotonic() + self._drain_s)
        else:
            super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: stop once the draining is over."""
        if self._leaving is not None and not self.should_exit:
            number, leaves_at = self._leaving
            if self._clock.monotonic() >= leaves_at:
                super().handle_exit(number, None)
        return await super().on_tick(counter)
