"""A whole backend on one of the hosts, and players who come to a match of it as any client does: over HTTP.

How it is used::

    with backend(server, {"LAUNCHDAY_GAME_PUBLIC_HOST": "203.0.113.10"}, folder) as running:
        tokens = seats(player, "203.0.113.10", 2, running, folder / "up.log")
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from launchday import child_processes
from loadtest.bench.paths.network import Host
from loadtest.errors import BenchError

META_PORT, MATCHMAKER_PORT = 8101, 8102  # the defaults of the settings
UP_S: Final = 400.0  # kernels may have to be compiled
SEAT_S: Final = 120.0
STOP_S: Final = 30.0
RETRY_S: Final = 0.5
CALL_S: Final = 10.0
REGION: Final = "west-europe"
MODE: Final = "battle_royale"


@contextlib.contextmanager
def backend(host: Host, environment: Mapping[str, str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``launchday up`` on ``host`` meanwhile, with these settings; its data and log are in ``folder``."""
    env = {**os.environ, "LAUNCHDAY_STATE_DIR": str(folder / "state"), **environment}
    command = host.command(sys.executable, "-m", "launchday.cli", "up")
    process = child_processes.spawn(command, log=folder / "up.log", env=env)
    try:
        yield process
    finally:
        child_processes.stop(process, STOP_S)


def seats(player: Host, address: str, count: int, running: subprocess.Popen[bytes], log: Path) -> list[bytes]:
    """Log so many players in from ``player``, let them queue, and return their connect tokens.

    Raises BenchError where the backend ends, or they are assigned to no match in time.
    """
    meta, matchmaker = f"http://{address}:{META_PORT}", f"http://{address}:{MATCHMAKER_PORT}"
    until_s = time.monotonic() + UP_S
    with player.entered():
        while not all(_is_ready(url) for url in (meta, matchmaker)):
            if running.poll() is not None or time.monotonic() > until_s:
                raise BenchError(f"the backend did not come up: {child_processes.last_line(log)}")
            time.sleep(RETRY_S)
        tickets = []
        for _ in range(count):
            device = {"device_id": secrets.token_hex(16)}
            session = _call("POST", f"{meta}/v1/login/device", device)["session_token"]
            wish = {"mode": MODE, "latencies_ms": {REGION: 20}, "platform": "pc", "cross_play": True}
            ticket = _call("POST", f"{matchmaker}/v1/tickets", wish, session)["ticket_id"]
            tickets.append((ticket, session))
        until_s = time.monotonic() + SEAT_S
        return [
            _token(f"{matchmaker}/v1/tickets/{ticket}?wait_s=5", mine, until_s) for ticket, mine in tickets
        ]


def _token(ticket: str, session: str, until_s: float) -> bytes:
    while time.monotonic() < until_s:
        view = _call("GET", ticket, None, session)
        if view["state"] == "assigned":
            return base64.b64decode(view["assignment"]["connect_token"])
    raise BenchError(f"no match within {SEAT_S:g} s")


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=CALL_S):
            return True
    except OSError:
        return False


def _call(method: str, url: str, body: Any, session: str = "") -> dict[str, Any]:
    headers = {"content-type": "application/json"} | (
        {"authorization": f"Bearer {session}"} if session else {}
    )
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=CALL_S) as answer:
            found: dict[str, Any] = json.load(answer)
            return found
    except urllib.error.HTTPError as error:
        said = error.read().decode(errors="replace")[:200]
        raise BenchError(f"{method} {url}: HTTP {error.code}: {said}") from None
    except OSError as error:
        raise BenchError(f"{method} {url}: {error}") from None
