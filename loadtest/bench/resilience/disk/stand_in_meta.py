"""A stand-in of the meta service for game servers: it leases everybody, and takes results when told to."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import uvicorn
from starlette.types import Receive, Scope, Send

from meta_service.client import CheckedOut, CheckoutResponse, CommitResponse
from meta_service.messages.base import PlayerId, decode, encode
from meta_service.messages.leases import CheckoutRequest, CloseResponse, CommitRequest

CHECK_OUTS, COMMITS = "/v1/internal/checkouts", "/v1/internal/commits"


class StandInMeta:
    """A plain ASGI application on ``port``.

    Attributes:
        takes_results: whether commits are answered; otherwise they get 503.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.takes_results = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body", False):
                break
        status, answer = self._answer(scope["path"], body)
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    def _answer(self, path: str, body: bytes) -> tuple[int, bytes]:
        if path == CHECK_OUTS:
            asked = decode(body, CheckoutRequest)
            leased = [CheckedOut(PlayerId(id_), 1, "default", 1) for id_ in asked.player_ids]
            return 200, encode(CheckoutResponse(leased, []))
        if path == COMMITS and self.takes_results:
            result = decode(body, CommitRequest)
            return 200, encode(CommitResponse([PlayerId(row.player_id) for row in result.players], []))
        if path.endswith("/close"):
            return 200, encode(CloseResponse("closed"))
        return 503, b"{}"

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Serve while the context lasts."""
        config = uvicorn.Config(
            self, host="127.0.0.1", port=self.port, lifespan="off", log_config=None, access_log=False
        )
        server = _Server(config)
        task = asyncio.create_task(server.serve(), name="stand-in of the meta service")
        try:
            yield
        finally:
            server.should_exit = True
            await task


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave SIGINT and SIGTERM alone."""
        yield
