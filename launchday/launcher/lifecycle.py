"""``launchday run`` and ``up``: bring the backend up, do something with it, take it down, whatever happens in between."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from rich.console import Console

from launchday import child_processes
from launchday.launcher.backend import Backend, BackendError, single_instance
from launchday.settings import Settings

FAILED = 1
WATCH_S = 0.5
PREPARE_STOP_S = 1.0
INTERRUPTED = 130  # what shells expect after Ctrl-C

Play = Callable[[Settings, asyncio.Event, Backend], Awaitable[int]]


class ProgressPrinter:
    """Tells what is going on: a line a step with the seconds since the start, and a spinner on a terminal."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._started = time.monotonic()

    def __call__(self, text: str) -> None:
        """Tell one step."""
        self.console.print(
            f"[dim]{time.monotonic() - self._started:6.1f} s[/dim]  {text}", highlight=False, soft_wrap=True
        )

    @contextmanager
    def during(self, text: str) -> Iterator[None]:
        """Show that something longer is under way."""
        if self.console.is_terminal:
            with self.console.status(text):
                yield
        else:
            self(text)
            yield


def run_with_backend(
    settings: Settings,
    play: Play,
    console: Console,
    *,
    fresh: bool,
    prepare: Sequence[str] = (),
    store_proxy: bool = False,
) -> int:
    """Start the backend, run ``play`` with the completed settings, stop the backend; returns an exit code.

    ``prepare`` names a module to run on the other core meanwhile, with its arguments; ``play`` waits for its end.

    Ctrl-C and SIGTERM set the event given to ``play``, which then winds down and still sums up; before ``play`` has
    begun they end the start-up. Raises BackendError.
    """
    say = ProgressPrinter(console)
    stopping = _SignalPolicy()
    with single_instance(settings.state_dir), stopping.on_signals():
        backend = Backend(settings, fresh=fresh, store_proxy=store_proxy)
        preparing: subprocess.Popen[bytes] | None = None
        try:
            with say.during("starting the backend (the first start compiles the kernels: about a minute)"):
                if prepare:
                    log = settings.state_dir / "logs" / "prepare.log"
                    preparing = child_processes.spawn([sys.executable, "-m", *prepare], log=log)
                completed = backend.start(say)
                if preparing is not None and preparing.wait() != 0:
                    raise BackendError(f"{' '.join(prepare)} failed (log: {log})")
            return asyncio.run(_play(play, completed, backend, stopping, say))
        except KeyboardInterrupt:
            say("interrupted before anything was played")
            return INTERRUPTED
        finally:
            stopping.starting = False
            if preparing is not None:
                child_processes.stop(preparing, PREPARE_STOP_S)
            backend.stop()


async def _play(
    play: Play, settings: Settings, backend: Backend, stopping: _SignalPolicy, say: ProgressPrinter
) -> int:
    stop = stop_event_on_signals()
    stopping.starting = False
    watch = asyncio.create_task(_stop_when_a_process_exits(backend, stop, say))
    try:
        code = await play(settings, stop, backend)
        return FAILED if watch.done() and watch.result() else code
    finally:
        watch.cancel()


def stop_event_on_signals() -> asyncio.Event:
    """An event of the running loop that SIGINT and SIGTERM set."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


async def _stop_when_a_process_exits(backend: Backend, stop: asyncio.Event, say: ProgressPrinter) -> bool:
    """Stop the play once a service has ended by itself, and say so: what would follow measures nothing."""
    while not stop.is_set():
        if (ended := backend.exited_process()) is not None:
            say(f"[red]{ended}[/red]")
            stop.set()
            return True
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), WATCH_S)
    return False


class _SignalPolicy:
    """Where SIGINT and SIGTERM go: an exception while starting, an event while playing, nowhere while stopping."""

    def __init__(self) -> None:
        self.starting = True

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        before = {
            number: signal.signal(number, self._interrupt) for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _interrupt(self, _number: int, _frame: object) -> None:
        if self.starting:
            self.starting = False
            raise KeyboardInterrupt
