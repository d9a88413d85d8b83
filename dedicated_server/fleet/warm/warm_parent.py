"""The warm parent: a process that has loaded and run everything a game server needs, and forks servers.

A cold server takes seconds and 165 MB. A child forked from here takes milliseconds, and shares the memory of
this process until it writes to it. The process must have one thread for that: a fork copies the calling
thread alone, so a lock that another thread held would stay locked in the child for ever.

``python -m dedicated_server.fleet.warm.warm_parent --channel FD --fleet PID [--server MODULE]``. Over the
channel, a socket pair that keeps packets apart, come orders as JSON: ``{"order": "fork", "name", "sdk_port",
"log"}``, ``{"order": "signal", "name", "number"}`` and ``{"order": "list", "asked_at"}``; and go reports:
``{"report": "warm", "seconds"}``, ``{"report": "forked", "name", "pid"}``, ``{"report": "fork failed",
"name", "reason"}``, ``{"report": "exited", "name", "how"}`` and ``{"report": "servers", "names",
"asked_at"}``. It alone reaps its children, and so it alone signals them: no process id can have been used
again.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn, Protocol, cast

from launchday import startup
from launchday.child_processes import die_with_parent
from launchday.clock import SystemClock

PACKET_BYTES = 64 * 1024
EXIT_FAULT = 70  # sysexits.h: EX_SOFTWARE


class ServerModule(Protocol):
    """What a module needs to be run by forked game servers, such as ``dedicated_server.server``."""

    def warm_up(self) -> None:
        """Load and run all that a server needs, and leave no thread and no event loop behind."""

    def main(self) -> int:
        """Be a game server until it ends; return the exit code. ``AGONES_SDK_HTTP_PORT`` is set."""


class WarmParent:
    """The parent's loop: it takes orders, forks servers, and reports on them.

    Args:
        channel: our end of the socket pair.
        module: the module that servers run.
    """

    def __init__(self, channel: socket.socket, module: ServerModule) -> None:
        self._channel = channel
        self._module = module
        self._names: dict[int, str] = {}
        self._pids: dict[str, int] = {}
        self._wake_up, self._waker = socket.socketpair()
        self._selector = selectors.DefaultSelector()

    def run(self) -> None:
        """Serve orders until the fleet closes the channel."""
        for end in (self._wake_up, self._waker):
            end.setblocking(False)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _on_signal)
        self._selector.register(self._channel, selectors.EVENT_READ)
        self._selector.register(self._wake_up, selectors.EVENT_READ)
        while True:
            ready = {key.fileobj for key, _ in self._selector.select()}
            if self._wake_up in ready:
                self._wake_up.recv(PACKET_BYTES)
                self._reap()
            if self._channel in ready:
                packet = self._channel.recv(PACKET_BYTES)
                if not packet:
                    return
                self._run_order(json.loads(packet))

    def report(self, kind: str, **details: Any) -> None:
        """Send a report to the fleet."""
        self._channel.send(json.dumps({"report": kind, **details}).encode())

    def _run_order(self, order: dict[str, Any]) -> None:
        match order["order"]:
            case "fork":
                self._fork(order["name"], int(order["sdk_port"]), Path(order["log"]))
            case "signal":
                if (pid := self._pids.get(order["name"])) is not None:
                    os.kill(pid, int(order["number"]))
            case "list":
                self._reap()  # so that every end before this is reported before it
                self.report("servers", names=list(self._pids), asked_at=order["asked_at"])

    def _fork(self, name: str, sdk_port: int, log: Path) -> None:
        parent = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:  # no memory, or too many processes; the fleet tries again later
            self.report("fork failed", name=name, reason=str(error))
            return
        if pid == 0:
            self._become_server(parent, name, sdk_port, log)
        self._names[pid] = name
        self._pids[name] = pid
        self.report("forked", name=name, pid=pid)

    def _reap(self) -> None:
        while self._names:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            name = self._names.pop(pid)
            del self._pids[name]
            self.report("exited", name=name, how=_exit_reason(os.waitstatus_to_exitcode(status)))

    def _become_server(self, parent: int, name: str, sdk_port: int, log: Path) -> NoReturn:
        """In the child: close what is the parent's, and be a game server. Never returns."""
        code = EXIT_FAULT
        try:
            die_with_parent(parent)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._selector.close()
            for end in (self._channel, self._wake_up, self._waker):
                end.close()
            _write_output_to(log)
            os.environ["AGONES_SDK_HTTP_PORT"] = str(sdk_port)
            code = self._module.main()
        except BaseException:  # whatever happens, the child must not go on as a second parent
            with contextlib.suppress(OSError):  # a full disk takes no traceback
                traceback.print_exc()
        finally:
            try:
                sys.stdout.flush()
                sys.stderr.flush()
            finally:
                os._exit(code)


def main(argv: list[str] | None = None) -> int:
    """Warm up, then fork servers until the fleet ends; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="warm_parent", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--channel", type=int, required=True, help="descriptor of our end of the socket pair")
    parser.add_argument("--fleet", type=int, required=True, help="process id of the fleet")
    parser.add_argument("--server", default="dedicated_server.server", help="module that servers run")
    options = parser.parse_args(argv)

    die_with_parent(options.fleet)
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # the fleet acts on the terminal's Ctrl-C; children inherit this
    channel = socket.socket(fileno=options.channel)
    clock = SystemClock()
    began = clock.monotonic()
    module = cast(ServerModule, importlib.import_module(options.server))
    module.warm_up()
    _require_one_thread()
    gc.collect()
    gc.freeze()  # otherwise a child's first collection would write to every object, and copy every page
    parent = WarmParent(channel, module)
    parent.report("warm", seconds=round(clock.monotonic() - began, 3))
    parent.run()
    return 0


def _require_one_thread() -> None:
    threads = [path.joinpath("comm").read_text().strip() for path in Path("/proc/self/task").iterdir()]
    if len(threads) > 1:
        raise RuntimeError(f"the warm parent must have one thread to be forked safely, it has {threads}")


def _write_output_to(log: Path) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    try:
        descriptor = os.open(log, flags, 0o644)
    except OSError:  # a full disk costs a server its log, not its life
        descriptor = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    for standard in (1, 2):
        os.dup2(descriptor, standard)
    os.close(descriptor)


def _on_signal(_number: int, _frame: object) -> None:
    """Do nothing: the signal's number reaches the loop through the wake-up socket."""


def _exit_reason(code: int) -> str:
    """Return an exit code in words; a negative one is the signal that ended the process."""
    return f"exited with code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"


if __name__ == "__main__":
    startup.prepare()
    sys.exit(main())
