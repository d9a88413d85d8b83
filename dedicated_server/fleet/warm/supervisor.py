"""The fleet's end of its warm parents: it starts them, sends them orders, and replaces those that end.

`WarmParentSupervisor` looks after one parent. `WarmParents` has several, each a node of its own, so that the
end of one takes no more than its share of the servers; it is the ``Spawner`` of the pool.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Protocol

import structlog

from dedicated_server.errors import DedicatedServerError
from dedicated_server.fleet.pool import metrics
from dedicated_server.fleet.pool.config import ForkRequest
from launchday.clock import Clock

PACKET_BYTES = 208 * 1024  # what a socket's buffer holds: a list of 8,000 servers
DEAF_S = 60.0  # a parent that was stopped for 30 s goes on; one that takes no order for longer hangs
FIRST_BACKOFF_S, MAX_BACKOFF_S = 0.2, 30.0  # between two starts of a parent that ends before it is warm

log = structlog.get_logger()


class WarmUpFailedError(DedicatedServerError):
    """Raised when the first warm parent ends before it is warm, so that no server can run.

    Its log says why.
    """


class WarmParentListener(Protocol):
    """Who learns what warm parents report: the pool. ``now`` is monotonic seconds."""

    def forked(self, name: str, pid: int, now: float) -> None:
        """Note that a server has a process."""

    def exited(self, name: str, how: str, now: float) -> None:
        """Note that a server's process has ended."""

    def parent_lost(self, node: str, now: float) -> None:
        """Note that all servers of a warm parent have ended."""

    def reconcile(self, node: str, alive: set[str], asked_at: float, now: float) -> None:
        """Compare with the servers that a warm parent says it had at ``asked_at`` (monotonic)."""

    def fill(self, now: float) -> None:
        """Start servers, because a warm parent takes orders again."""


class WarmParentSupervisor:
    """Keeps one warm parent running.

    Args:
        node: its name, and that of the node that its servers are on.
        server_module: the module that the forked servers run.
        env: the environment of the parent and of its servers.
        log: the file with the parent's own output.
        clock: waits between starts, and dates the reports.

    Attributes:
        warm: whether it takes orders now.
        warm_s: seconds that its last warm-up took; None before the first.
        restarts: how many parents were started after the first.
        pid: its process; None while it has none.
    """

    def __init__(
        self, *, server_module: str, env: Mapping[str, str], log: Path, clock: Clock, node: str = "local"
    ) -> None:
        self.node = node
        self._server_module = server_module
        # One thread a process: threads of OpenBLAS or OpenMP would make the fork unsafe, and nothing here
        # uses them.
        self._env = {**env, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        self._log = log
        self._clock = clock
        self._channel: socket.socket | None = None
        self._unsent: deque[bytes] = deque()
        self._full_since = 0.0
        self._ended = asyncio.Event()
        self._first_warm_up: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.warm = False
        self.warm_s: float | None = None
        self.restarts = 0
        self.pid: int | None = None

    def fork(self, request: ForkRequest) -> str:
        """Order a server; return the node that it is on."""
        self._send(
            {"order": "fork", "name": request.name, "sdk_port": request.sdk_port, "log": str(request.log)}
        )
        return self.node

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a server."""
        self._send({"order": "signal", "name": name, "number": int(number)})

    def list_servers(self, now: float) -> None:
        """Ask for its servers; ``reconcile`` follows. ``now`` is monotonic seconds."""
        if self.warm and not self._unsent:
            self._send({"order": "list", "asked_at": now})

    def as_json(self) -> dict[str, Any]:
        """Return what the admin API shows of it."""
        return {
            "node": self.node,
            "warm": self.warm,
            "warm_s": self.warm_s,
            "pid": self.pid,
            "restarts": self.restarts,
        }

    async def first_warm_up(self) -> None:
        """Return once the first parent is warm; raises WarmUpFailedError when it ends before."""
        await self._first_warm_up

    async def supervise(self, listener: WarmParentListener) -> None:
        """Keep a warm parent running until cancelled, which ends the parent and all its servers."""
        backoff_s = FIRST_BACKOFF_S
        while True:
            was_warm = await self._run_one(listener)
            if not self._first_warm_up.done():
                self._first_warm_up.set_exception(
                    WarmUpFailedError(f"the warm parent ended (log: {self._log})")
                )
                return
            self.restarts += 1
            metrics.parent_restarts.inc()
            backoff_s = FIRST_BACKOFF_S if was_warm else min(backoff_s * 2, MAX_BACKOFF_S)
            log.error("the warm parent ended: starting another", log=str(self._log), in_s=backoff_s)
            await self._clock.sleep(backoff_s)

    async def _run_one(self, listener: WarmParentListener) -> bool:
        """Run one parent to its end; return whether it got warm."""
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._channel.setblocking(False)
        self._ended.clear()
        loop = asyncio.get_running_loop()
        with theirs:
            process = self._launch(theirs)
        self.pid = process.pid
        loop.add_reader(self._channel, self._receive, listener)
        try:
            await self._ended.wait()
            return self.warm
        finally:
            self.warm = False
            loop.remove_reader(self._channel)
            loop.remove_writer(self._channel)
            self._unsent.clear()
            self._channel.close()
            self._channel = None
            # SIGKILL, not SIGTERM: its children are tied to it and end in the same instant. The pool has
            # asked them to leave before, where there was time for that.
            process.kill()
            process.wait()
            self.pid = None
            listener.parent_lost(self.node, self._clock.monotonic())

    def _launch(self, channel: socket.socket) -> subprocess.Popen[bytes]:
        # No preexec_fn, which is unsafe in a process with threads: the parent ties itself to the id given
        # here.
        self._log.parent.mkdir(parents=True, exist_ok=True)
        argv = [sys.executable, "-m", "dedicated_server.fleet.warm.warm_parent"]
        argv += ["--channel", str(channel.fileno()), "--fleet", str(os.getpid())]
        argv += ["--server", self._server_module]
        with _opened(self._log) as output:
            return subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._env,
                pass_fds=(channel.fileno(),),
                start_new_session=True,
            )

    def _receive(self, listener: WarmParentListener) -> None:
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
            try:
                self._apply(json.loads(packet), listener)
            except Exception:  # the reports behind it are of other servers
                log.exception("a report of the warm parent could not be used")

    def _apply(self, report: dict[str, Any], listener: WarmParentListener) -> None:
        now = self._clock.monotonic()
        match report["report"]:
            case "warm":
                self.warm, self.warm_s = True, report["seconds"]
                if not self._first_warm_up.done():
                    self._first_warm_up.set_result(None)
                log.info("the warm parent is warm", seconds=self.warm_s)
                listener.fill(now)
            case "forked":
                listener.forked(report["name"], report["pid"], now)
            case "exited":
                listener.exited(report["name"], report["how"], now)
            case "fork failed":
                metrics.fork_failures.inc()
                listener.exited(report["name"], f"fork failed: {report['reason']}", now)
            case "servers":
                listener.reconcile(self.node, set(report["names"]), float(report["asked_at"]), now)

    def _send(self, order: dict[str, Any]) -> None:
        if self._channel is not None:
            self._unsent.append(json.dumps(order).encode())
            if len(self._unsent) == 1:
                self._full_since = self._clock.monotonic()
                self._send_waiting()

    def _send_waiting(self) -> None:
        """Send what waits, in order.

        A parent that was stopped reads again once it goes on, so it is given time: see `end_if_deaf`.
        """
        assert self._channel is not None
        loop = asyncio.get_running_loop()
        while self._unsent:
            try:
                self._channel.send(self._unsent[0])
            except BlockingIOError:
                loop.add_writer(self._channel, self._send_waiting)
                return
            except ConnectionError as error:
                log.error("the warm parent takes no orders: ending it", error=str(error))
                self._unsent.clear()
                self._ended.set()
                break
            self._unsent.popleft()
            self._full_since = self._clock.monotonic()
        loop.remove_writer(self._channel)

    def end_if_deaf(self, now: float) -> None:
        """End a parent that has taken no order for `DEAF_S`: without orders no server starts or ends.

        ``now`` is monotonic seconds.
        """
        if self._unsent and now - self._full_since > DEAF_S:
            log.error("the warm parent takes no orders: ending it", waiting=len(self._unsent))
            self._unsent.clear()
            self._ended.set()


def _opened(log_file: Path) -> IO[bytes]:
    """Open a log to append to; where the disk refuses that, what is written is lost and nothing else."""
    try:
        return log_file.open("ab")
    except OSError:
        metrics.disk_errors.labels("warm parent's log").inc()
        return open(os.devnull, "ab")


class WarmParents:
    """A ``Spawner`` that gives each order to the warm parent with the fewest servers."""

    def __init__(self, supervisors: Sequence[WarmParentSupervisor]) -> None:
        self._supervisors = {supervisor.node: supervisor for supervisor in supervisors}
        self._node_of: dict[str, str] = {}
        self._servers = dict.fromkeys(self._supervisors, 0)
        self._began = False

    @property
    def warm(self) -> bool:
        """Whether any takes orders. At the start all must, or the first would fork every server."""
        return self._began and any(supervisor.warm for supervisor in self._supervisors.values())

    def fork(self, request: ForkRequest) -> str:
        """Order a server; return the node that it is on."""
        warm = (node for node, supervisor in self._supervisors.items() if supervisor.warm)
        node = min(warm, key=self._servers.__getitem__)
        self._node_of[request.name] = node
        self._servers[node] += 1
        return self._supervisors[node].fork(request)

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a server."""
        if (node := self._node_of.get(name)) is not None:
            self._supervisors[node].signal(name, number)

    def as_json(self) -> list[dict[str, Any]]:
        """Return what the admin API shows of them."""
        return [
            {**supervisor.as_json(), "servers": self._servers[node]}
            for node, supervisor in self._supervisors.items()
        ]

    async def first_warm_up(self) -> None:
        """Return once all are warm; raises WarmUpFailedError."""
        waits = [
            asyncio.ensure_future(supervisor.first_warm_up()) for supervisor in self._supervisors.values()
        ]
        try:
            await asyncio.gather(*waits)
            self._began = True
        finally:
            for wait in waits:
                wait.cancel()

    async def supervise(self, listener: WarmParentListener) -> None:
        """Keep all of them running until cancelled."""
        counting = _CountingListener(self, listener)
        async with asyncio.TaskGroup() as tasks:
            for supervisor in self._supervisors.values():
                tasks.create_task(supervisor.supervise(counting), name=supervisor.node)

    def list_servers(self, now: float) -> None:
        """Ask every warm parent for its servers, and end those that take no orders."""
        for supervisor in self._supervisors.values():
            supervisor.end_if_deaf(now)
            supervisor.list_servers(now)

    def server_gone(self, name: str) -> None:
        """Count a server no more."""
        if (node := self._node_of.pop(name, None)) is not None:
            self._servers[node] -= 1

    def servers_of(self, node: str) -> list[str]:
        """Return the names of a node's servers."""
        return [name for name, on in self._node_of.items() if on == node]


class _CountingListener:
    """Passes reports on to the pool, and counts the servers that are gone."""

    def __init__(self, parents: WarmParents, listener: WarmParentListener) -> None:
        self._parents = parents
        self._listener = listener
        self.forked = listener.forked
        self.fill = listener.fill

    def exited(self, name: str, how: str, now: float) -> None:
        """Note that a server's process has ended."""
        self._parents.server_gone(name)
        self._listener.exited(name, how, now)

    def reconcile(self, node: str, alive: set[str], asked_at: float, now: float) -> None:
        """Compare with the servers that a warm parent says it had."""
        self._listener.reconcile(node, alive, asked_at, now)

    def parent_lost(self, node: str, now: float) -> None:
        """Note that all servers of a warm parent have ended."""
        for name in self._parents.servers_of(node):
            self._parents.server_gone(name)
        self._listener.parent_lost(node, now)
