"""A bare ASGI route behind the server of our services: it reads a request's body, and answers the same bytes
each time.

What it costs is the least that a request costs on that server: sockets, the gate, the parser, a task. So what
a service costs divided by that says what its own work costs, whatever the machine.

``python -m loadtest.bench.control.bare_route PORT SERVICE FILE`` serves it with the admission of a service
(``matchmaker`` or ``fleet``) and the answer in FILE, as `Answer.write` writes it.
"""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import Final

import msgspec
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from dedicated_server.fleet import admission as fleet_admission
from launchday import service, startup
from launchday.clock import SystemClock
from launchday.settings import Settings, settings
from matchmaker.api import admission as matchmaker_admission

ADMISSION: Final = {"matchmaker": matchmaker_admission.CLASSES, "fleet": fleet_admission.CLASSES}
OF_THE_SERVER: Final = (b"date", b"server")  # headers that uvicorn adds to every answer


class Answer(msgspec.Struct):
    """What the route answers.

    Attributes:
        status: of HTTP.
        headers: those that the application gives, in lower case.
        body: its bytes.
    """

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes

    @classmethod
    def like(cls, received: bytes) -> Answer:
        """The same answer as one that a service gave, as it came from the socket."""
        head, _, body = received.partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        headers = [(name.lower(), value) for name, _, value in (line.partition(b": ") for line in lines)]
        return cls(int(first[9:12]), [each for each in headers if each[0] not in OF_THE_SERVER], body)

    def write(self, path: Path) -> None:
        """Write it for `read`."""
        path.write_bytes(msgspec.msgpack.encode(self))

    @classmethod
    def read(cls, path: Path) -> Answer:
        """Read what `write` wrote."""
        return msgspec.msgpack.decode(path.read_bytes(), type=cls)


class BareRoute(FastAPI):
    """The application: one answer to every path; health is answered, too.

    Args:
        configured: all settings, those of the server among them.
        service_name: whose admission stands before it.
        answer: what it answers.
    """

    def __init__(self, configured: Settings, service_name: str, answer: Answer) -> None:
        super().__init__()
        self.state.settings = configured
        self.state.clock = SystemClock()
        self.state.admission = ADMISSION[service_name]
        self._start = {"type": "http.response.start", "status": answer.status, "headers": answer.headers}
        self._body = {"type": "http.response.body", "body": answer.body}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body, and answer."""
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        while (await receive()).get("more_body"):
            pass
        await send(self._start)
        await send(self._body)


def main() -> None:
    """Serve until SIGTERM."""
    port, service_name, answer = sys.argv[1:]
    configured = settings()
    app = BareRoute(configured, service_name, Answer.read(Path(answer)))
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 50)  # as the matchmaker has it
    service.serve(app, configured.bind_host, int(port))


if __name__ == "__main__":
    startup.prepare()
    main()
