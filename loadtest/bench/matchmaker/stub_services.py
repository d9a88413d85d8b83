"""Stand-ins of the queue's benchmark: skills for the meta service, and servers for the fleet.

``python -m loadtest.bench.matchmaker.stub_services PORT`` serves them. Every player has the skill of a new
player, every region a server for each match; an allocation with the same key gets the same server.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import cast

import uvloop

from launchday import startup

FIRST_PORT = 7_000
PORTS = 50_000


class Answers(asyncio.Protocol):
    """One connection; requests come one after the other, as the clients send them."""

    servers: dict[str, int]  # idempotency key → number of the server; shared by all connections

    def __init__(self, servers: dict[str, int]) -> None:
        self.servers = servers
        self._got = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own has no such ancestor

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        self._got += data
        while (end := self._got.find(b"\r\n\r\n")) >= 0:
            lines = bytes(self._got[:end]).split(b"\r\n")
            headers = dict(line.lower().split(b": ", 1) for line in lines[1:])
            length = int(headers.get(b"content-length", b"0"))
            if len(self._got) < end + 4 + length:
                return
            body = bytes(self._got[end + 4 : end + 4 + length])
            del self._got[: end + 4 + length]
            answer = json.dumps(self._answer(lines[0], headers, body)).encode()
            self._transport.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
                % (len(answer), answer)
            )

    def _answer(self, request: bytes, headers: dict[bytes, bytes], body: bytes) -> object:
        if request.startswith(b"POST /v1/internal/skills"):
            skill = {"mu": 25.0, "sigma": 25.0 / 3}
            return {"skills": {str(player): skill for player in json.loads(body)["player_ids"]}, "held": {}}
        if request.startswith(b"POST /v1/internal/matches/"):
            return {"outcome": "closed"}
        if request.startswith(b"POST /gameserverallocation"):
            key = headers.get(b"idempotency-key", b"").decode()
            number = self.servers.setdefault(key, len(self.servers))
            port = FIRST_PORT + number % PORTS
            return {
                "gameServerName": f"stub-{number}",
                "address": "127.0.0.1",
                "ports": [{"name": "default", "port": port}],
            }
        return {"allocated": len(self.servers), "matches": list(self.servers)}


async def serve(port: int) -> None:
    """Serve on a loopback port until cancelled."""
    servers: dict[str, int] = {}
    server = await asyncio.get_running_loop().create_server(lambda: Answers(servers), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    startup.prepare()
    uvloop.run(serve(int(sys.argv[1])))
