"""Locust's shoppers and a meta service that answers 503 at first: nobody is gone when it is back."""

from __future__ import annotations

import json
import sys
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import loadtest.locust
from launchday.settings import env_name
from loadtest.bench.environments.commands import run
from loadtest.bench.environments.harness import Case, Found
from loadtest.bench.options import Options

LOCUSTFILE = Path(loadtest.locust.__file__).with_name("locustfile.py")
USERS = 20
AWAY_S, AFTER_S = 6.0, 5.0
BACK_S = 3.0
START_S = 30.0


class StubMetaService(ThreadingHTTPServer):
    """Answers 503 for some seconds after the first request, then whatever is asked.

    Attributes:
        refused: requests that got 503.
        back_s: seconds from the end of the outage until each user got an answer, by session token.
    """

    daemon_threads = True
    request_queue_size = USERS

    def __init__(self, away_s: float) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.away_s = away_s
        self.began_s: float | None = None
        self.refused = 0
        self.back_s: dict[str, float] = {}
        self.lock = threading.Lock()


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: StubMetaService

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        stub, now_s = self.server, time.monotonic()
        with stub.lock:
            stub.began_s = stub.began_s or now_s
            since_s = now_s - stub.began_s - stub.away_s
            stub.refused += since_s < 0
            if since_s >= 0 and (token := self.headers.get("Authorization")):
                stub.back_s.setdefault(token, since_s)
            body = json.dumps({"session_token": str(time.monotonic_ns())}).encode()
        self.send_response(HTTPStatus.SERVICE_UNAVAILABLE if since_s < 0 else HTTPStatus.OK)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = _answer

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def outage(options: Options) -> Found:
    """Twenty shoppers of Locust arrive while the service is away."""
    away_s = options.seconds or AWAY_S
    with StubMetaService(away_s) as stub:
        threading.Thread(target=stub.serve_forever, daemon=True).start()
        arguments = [
            "-f",
            str(LOCUSTFILE),
            "--headless",
            "-u",
            str(USERS),
            "-r",
            str(USERS),
            "--only-summary",
        ]
        ran = run(
            [sys.executable, "-m", "locust", *arguments, "-t", f"{away_s + AFTER_S:.0f}s", "Shopper"],
            env={env_name("meta_url"): f"http://127.0.0.1:{stub.server_port}"},
            timeout_s=away_s + AFTER_S + START_S,
            cwd=Path.cwd(),
        )
        stub.shutdown()
    if ran.traceback:
        return Found(False, f"an exception of a user: {ran.last_line}")
    figures = {
        "refused": stub.refused,
        "back": len(stub.back_s),
        "back_s": round(max(stub.back_s.values(), default=0.0), 2),
    }
    said = f"{len(stub.back_s)} of {USERS} shoppers are back {figures['back_s']} s after {away_s:g} s of 503"
    return Found(
        len(stub.back_s) == USERS and figures["back_s"] <= BACK_S and stub.refused > 0, said, figures
    )


CASES = (Case("locust_outage", outage),)
