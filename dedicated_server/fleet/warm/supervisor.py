"""The fleet's end of the warm parent: starts it, gives it orders, hears its reports, and starts it again when it ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import structlog

from dedicated_server.fleet.pool.config import ForkRequest

PACKET_BYTES = 64 * 1024
STOP_S = 2.0
FIRST_BACKOFF_S, MAX_BACKOFF_S = 0.2, 30.0  # between two starts of a parent that ends before it is warm

log = structlog.get_logger()

Clock = Callable[[], float]


class WarmUpFailedError(Exception):
    """Raised when the first warm parent ends before it is warm: nothing of ours can run. Its log says why."""


class WarmParentListener(Protocol):
    """Who is told about servers: the pool."""

    def forked(self, name: str, pid: int, now: float) -> None:
        """A server has a process."""

    def exited(self, name: str, how: str, now: float) -> None:
        """A server's process has ended."""

    def parent_lost(self, node: str, now: float) -> None:
        """All servers of a warm parent have ended."""

    def fill(self, now: float) -> None:
        """Orders are taken again."""


class WarmParentSupervisor:
    """A warm parent under supervision; a ``Forker`` for the pool.

    Args:
        node: its name, and so that of the node its servers are on.
        server_module: what the forked servers run.
        env: the parent's environment, its servers' too.
        log: where the parent's own output goes.
        clock: Unix seconds.
    """

    def __init__(
        self, *, server_module: str, env: Mapping[str, str], log: Path, clock: Clock, node: str = "local"
    ) -> None:
        self.node = node
        self._server_module = server_module
        # One thread a process: a pool of OpenBLAS or OpenMP threads would make the fork unsafe, and nothing here uses them.
        self._env = {**env, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        self._log = log
        self._clock = clock
        self._channel: socket.socket | None = None
        self._ended = asyncio.Event()
        self._first_warm_up: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.warm = False
        self.warm_s: float | None = None
        self.restarts = 0
        self.pid: int | None = None

    def fork(self, order: ForkRequest) -> str:
        """Ask for a server; returns the node it is on."""
        self._send({"order": "fork", "name": order.name, "sdk_port": order.sdk_port, "log": str(order.log)})
        return self.node

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a server."""
        self._send({"order": "signal", "name": name, "number": int(number)})

    def as_json(self) -> dict[str, Any]:
        """What the admin API shows of it."""
        return {
            "node": self.node,
            "warm": self.warm,
            "warm_s": self.warm_s,
            "pid": self.pid,
            "restarts": self.restarts,
        }

    async def first_warm_up(self) -> None:
        """Return once the first parent is warm; raises WarmUpFailed when it ends before."""
        await self._first_warm_up

    async def supervise(self, reports: WarmParentListener) -> None:
        """Keep a warm parent running until this is cancelled, which ends the parent and every server of it."""
        backoff_s = FIRST_BACKOFF_S
        while True:
            was_warm = await self._run_one(reports)
            if not self._first_warm_up.done():
                self._first_warm_up.set_exception(
                    WarmUpFailedError(f"the warm parent ended (log: {self._log})")
                )
                return
            self.restarts += 1
            backoff_s = FIRST_BACKOFF_S if was_warm else min(backoff_s * 2, MAX_BACKOFF_S)
            log.error("the warm parent ended: starting another", log=str(self._log), in_s=backoff_s)
            await asyncio.sleep(backoff_s)

    async def _run_one(self, reports: WarmParentListener) -> bool:
        """Run one parent to its end; returns whether it got warm."""
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._channel.setblocking(False)
        self._ended.clear()
        loop = asyncio.get_running_loop()
        with theirs:
            process = self._launch(theirs)
        self.pid = process.pid
        loop.add_reader(self._channel, self._receive, reports)
        try:
            await self._ended.wait()
            return self.warm
        finally:
            self.warm = False
            loop.remove_reader(self._channel)
            self._channel.close()
            self._channel = None
            # SIGKILL, not SIGTERM: its children are tied to it and go in the same instant. The pool has asked them to
            # leave before, where there was time for that.
            process.kill()
            process.wait()
            self.pid = None
            reports.parent_lost(self.node, self._clock())

    def _launch(self, channel: socket.socket) -> subprocess.Popen[bytes]:
        # No preexec_fn, which is unsafe in a process with threads: the parent ties itself to us by the id given here.
        self._log.parent.mkdir(parents=True, exist_ok=True)
        argv = [sys.executable, "-m", "dedicated_server.fleet.warm.warm_parent"]
        argv += [
            "--channel",
            str(channel.fileno()),
            "--fleet",
            str(os.getpid()),
            "--server",
            self._server_module,
        ]
        with self._log.open("ab") as output:
            return subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._env,
                pass_fds=(channel.fileno(),),
                start_new_session=True,
            )

    def _receive(self, reports: WarmParentListener) -> None:
        """Take every report that has arrived."""
        assert self._channel is not None
        while True:
            try:
                packet = self._channel.recv(PACKET_BYTES)
            except BlockingIOError:
                return
            except ConnectionError:
                packet = b""
            if not packet:
                asyncio.get_running_loop().remove_reader(self._channel)
                self._ended.set()
                return
            self._apply(json.loads(packet), reports)

    def _apply(self, report: dict[str, Any], reports: WarmParentListener) -> None:
        now = self._clock()
        match report["report"]:
            case "warm":
                self.warm, self.warm_s = True, report["seconds"]
                if not self._first_warm_up.done():
                    self._first_warm_up.set_result(None)
                log.info("the warm parent is warm", seconds=self.warm_s)
                reports.fill(now)
            case "forked":
                reports.forked(report["name"], report["pid"], now)
            case "exited":
                reports.exited(report["name"], report["how"], now)

    def _send(self, order: dict[str, Any]) -> None:
        if self._channel is None:
            return
        try:
            self._channel.send(json.dumps(order).encode())
        except (BlockingIOError, ConnectionError) as error:
            # It does not read: it hangs or is dying. Without it no server can be started or ended, so it must go.
            log.error("the warm parent takes no orders", error=str(error))
            self._ended.set()
