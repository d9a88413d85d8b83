"""The fleet's end of its web page: a socket that listens, and a process that the first visit starts.

The page costs nothing until somebody opens it, and the first visitor waits two seconds in the socket's queue
instead of being refused.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse

from launchday.problems import ProblemError
from launchday.settings import Settings, environment, in_url

log = structlog.get_logger()
router = APIRouter(tags=["console"])


class ConsoleProcess:
    """The web page's process and its socket. Raises OSError where the port is taken.

    Args:
        settings: the host and port to listen on, and the folder for what visitors' sessions keep.
        fleet_url: the fleet's address, for the page.
    """

    def __init__(self, settings: Settings, fleet_url: str) -> None:
        self._settings = settings
        self._fleet_url = fleet_url
        self._process: subprocess.Popen[bytes] | None = None
        host = settings.bind_host
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, settings.console_port), family=family, backlog=128)
        self.port: int = self._socket.getsockname()[1]

    def open(self) -> None:
        """Start the process where none runs."""
        if self._process is not None and self._process.poll() is None:
            return
        if self._process is not None:
            log.warning("the console ended: starting another", code=self._process.returncode)
        folder = self._settings.state_dir.absolute() / "console"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # it keeps visitors' tokens
        env = {**os.environ, **environment(self._settings), "NICEGUI_STORAGE_PATH": str(folder)}
        descriptor = self._socket.fileno()
        argv = [sys.executable, "-m", "dedicated_server.fleet.console"]
        argv += ["--socket", str(descriptor), "--fleet", str(os.getpid()), "--url", self._fleet_url]
        path: Path = self._settings.state_dir / "logs" / "console.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as output:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=env,
                pass_fds=(descriptor,),
                start_new_session=True,
            )

    def close(self) -> None:
        """End the process and free the port."""
        self._socket.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@router.get("/", include_in_schema=False)
async def index(request: Request) -> RedirectResponse:
    """Redirect to the web page."""
    console: ConsoleProcess = request.app.state.console
    try:
        console.open()
    except OSError as error:
        log.error("the console cannot be started: make room in the state folder", reason=str(error))
        raise ProblemError(503, "console-not-started", f"make room in the state folder: {error}") from error
    host = request.url.hostname or "127.0.0.1"
    return RedirectResponse(f"http://{in_url(host)}:{console.port}/", status_code=307)
