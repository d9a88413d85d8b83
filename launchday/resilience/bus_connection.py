"""aiokafka's connection to a broker, as ours; importing this puts it in the place of aiokafka's own."""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from typing import Any

from aiokafka import conn
from aiokafka.errors import SaslAuthenticationFailed
from aiokafka.protocol.admin import SaslAuthenticateRequest

from launchday.resilience import sockets
from launchday.resilience.bus import Bus

RENEW_SHARE = 0.8  # of a login's time, after which its connection is closed as soon as nothing is awaited


async def connect(bus: Bus, host: str, port: int, *, answer_ms: int, **other: Any) -> Any:
    """Connect to one broker, and log in.

    Args:
        bus: how.
        host, port: of the broker, whatever addresses the bus has.
        answer_ms: for each request.
        other: options that replace those of the bus.

    Raises aiokafka's errors, and those of the network and of TLS.
    """
    options = bus.options() | other
    del options["bootstrap_servers"]
    return await conn.create_conn(host, port, request_timeout_ms=answer_ms, **options)


class HardenedConnection(conn.AIOKafkaConnection):  # type: ignore[misc]
    """A connection with our socket options from its first byte on, and logins that are renewed in time.

    Where a login is good for some time alone (``connections.max.reauth.ms``, a token's end), the broker cuts
    the connection at the first request after that (KIP-368), which is lost then. So the connection is closed
    before, between two requests, and aiokafka opens another one, with a new login, for the next.

    A token that the broker refuses is answered with a text and no error (RFC 7628, 3.2.2), which aiokafka
    takes for a success: it logs that it is authenticated, and knows no broker. Here it is a refusal.
    """

    _renew_due = False

    def close(self, reason: Any = None, exc: BaseException | None = None) -> Any:
        """As aiokafka's, but without TLS's farewell, which a broker that is stopped would not answer."""
        writer = self._writer
        closed = super().close(reason, exc)
        if writer is not None and self._ssl_context is not None:
            writer.transport.abort()
        return closed

    def _create_reader_task(self) -> Any:
        sockets.harden(self._writer)
        return super()._create_reader_task()

    def send(self, request: Any, expect_response: bool = True) -> Any:
        """As aiokafka's; of a login's last request the answer is looked at."""
        answer = super().send(request, expect_response)
        return self._logged_in(answer) if isinstance(request, SaslAuthenticateRequest) else answer

    async def _logged_in(self, answer: Awaitable[Any]) -> Any:
        found = await answer
        if self._sasl_mechanism == "OAUTHBEARER" and not found.error_code and found.sasl_auth_bytes:
            raise SaslAuthenticationFailed("the broker refuses the token")
        if (lifetime_ms := getattr(found, "session_lifetime_ms", 0)) > 0:
            self._loop.call_later(RENEW_SHARE * lifetime_ms / 1000, self._login_is_old)
        return found

    def _login_is_old(self) -> None:
        self._renew_due = True
        self._close_if_idle()

    def _handle_frame(self, resp: bytes) -> None:
        super()._handle_frame(resp)
        self._close_if_idle()

    def _close_if_idle(self) -> None:
        if self._renew_due and not self._requests and self.connected():
            self.close(reason=conn.CloseReason.IDLE_DROP)


class _NoLogins(logging.Filter):
    """Keeps passwords and tokens out of logs: at the level debug aiokafka writes down whole requests."""

    def filter(self, record: logging.LogRecord) -> bool:
        said = record.args if isinstance(record.args, tuple) else (record.args,)
        return not any(type(each).__name__.startswith("SaslAuthenticate") for each in said)


logging.getLogger(conn.__name__).addFilter(_NoLogins())
# aiokafka has no option for it; ``create_conn``, through which all clients connect, finds this one.
conn.AIOKafkaConnection = HardenedConnection
