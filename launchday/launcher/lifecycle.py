"""Brings a backend up, does something with it, and takes it down again, whatever happens in between."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import chain, count, islice
from pathlib import Path

from rich.text import Text

from launchday.launcher.backend import Backend, BackendError, StateFolderHeldError, single_instance
from launchday.launcher.free_ports import free_ports
from launchday.launcher.kernels import BACKEND_PARTS, GAME_SERVER_PART, compile_kernels
from launchday.settings import Settings, env_name
from launchday.terminal import Terminal, data

FAILED = 1
INTERRUPTED = 130  # what shells expect after Ctrl-C
MAX_BESIDE = 99  # state folders that are tried beside the one of the settings

Play = Callable[[Settings, asyncio.Event, Backend], Awaitable[int]]


class ProgressPrinter:
    """Prints each step with the seconds since the start, and shows a spinner on a terminal."""

    def __init__(self, console: Terminal) -> None:
        self.console = console
        self._started = time.monotonic()

    def __call__(self, text: str, style: str = "") -> None:
        """Print one step."""
        passed = Text(f"{time.monotonic() - self._started:6.1f} s", "dim")
        self.console.print(Text.assemble(passed, "  ", data(text, style)))

    @contextmanager
    def during(self, text: str) -> Iterator[None]:
        """Show that something longer is under way, until the block ends."""
        if self.console.is_terminal:
            with self.console.status(text):
                yield
        else:
            self(text)
            yield


def run_with_backend(
    settings: Settings,
    play: Play,
    console: Terminal,
    *,
    fresh: bool,
    kernel_parts: Collection[str] = BACKEND_PARTS,
    store_proxy: bool = False,
    judges: bool = False,
    other_folders: Path | None = None,
) -> int:
    """Compile what is not compiled yet, start the backend, run ``play``, stop the backend.

    Meanwhile a process that dies is started again; see `launchday.launcher.supervisor`.

    Ctrl-C and SIGTERM set the event that ``play`` is given; it then winds down and still sums up. Before
    ``play`` has begun they end the start.

    Args:
        settings: addresses given there replace embedded engines.
        play: is awaited with the completed settings, the event that asks it to stop, and the backend; returns
            an exit code.
        console: where progress is printed.
        fresh: begin with empty data.
        kernel_parts: names of the kernels that the backend and ``play`` need.
        store_proxy: put a proxy before the store that ``Backend.slow_store`` can slow down.
        judges: a process that died unplanned makes an exit code of 0 a 1, for then the backend did not hold.
        other_folders: run beside other backends: take free ports and, where one of them holds the state
            folder, this one with a number: ``-2``, ``-3`` and so on. None: the settings decide.

    Returns:
        The exit code: that of ``play``; 1 where a process died at each of its starts; 130 where the start was
        interrupted.

    Raises:
        BackendError: the backend cannot be started.
        CompileError: a kernel does not compile.
    """
    progress = ProgressPrinter(console)
    signals = _SignalPolicy()
    with ExitStack() as held:
        if other_folders is None:
            _hold(held, settings)
        else:
            settings = _beside_others(held, settings, other_folders)
            progress(f"beside others: state folder {settings.state_dir}, free ports")
        held.enter_context(signals.installed())
        backend = Backend(settings, fresh=fresh, store_proxy=store_proxy)
        try:
            backend.check()  # before a minute is spent on compiling
            foreign = {GAME_SERVER_PART} if settings.game_server_command else set()
            compile_kernels(progress, set(kernel_parts) - foreign)
            with progress.during("starting the backend"):
                completed = backend.start(progress)
            code = asyncio.run(_play(play, completed, backend, signals, progress))
            return _judged(code, backend, progress) if judges else code
        except KeyboardInterrupt:
            progress("interrupted before anything was played")
            return INTERRUPTED
        finally:
            signals.starting = False
            backend.stop()


def _hold(held: ExitStack, settings: Settings) -> None:
    """Hold the state folder. Raises BackendError, which then names the ports that are taken as well: whoever
    goes beside the other backend needs both.
    """
    try:
        held.enter_context(single_instance(settings.state_dir))
    except StateFolderHeldError as error:
        raise BackendError(*error.lines, *Backend(settings).why_not_listening()) from error


def _beside_others(held: ExitStack, settings: Settings, other_folders: Path) -> Settings:
    """Hold a state folder that no other backend has, and return the settings with it and with free ports.

    Raises BackendError, and EngineError where no port is free.
    """
    numbered = (other_folders.with_name(f"{other_folders.name}-{number}") for number in count(2))
    for folder in chain([settings.state_dir], islice(numbered, MAX_BESIDE)):
        with suppress(StateFolderHeldError):
            held.enter_context(single_instance(folder))
            return settings.model_copy(update={**free_ports(settings), "state_dir": folder})
    raise BackendError(
        f"{MAX_BESIDE + 1} backends run in {settings.state_dir} and beside it: stop some, or set "
        f"{env_name('state_dir')}"
    )


async def _play(
    play: Play, settings: Settings, backend: Backend, signals: _SignalPolicy, progress: ProgressPrinter
) -> int:
    stop = stop_event_on_signals()
    signals.starting = False
    supervision = asyncio.create_task(_supervise(backend, stop, progress))
    try:
        code = await play(settings, stop, backend)
        return FAILED if supervision.done() and supervision.result() else code
    finally:
        supervision.cancel()


async def _supervise(backend: Backend, stop: asyncio.Event, progress: ProgressPrinter) -> bool:
    """Start again what dies; returns whether ``play`` was stopped because something cannot be started."""
    given_up = await backend.supervisor.run(backend.children, lambda line: progress(line, "yellow"), stop)
    if given_up is not None:
        progress(f"{given_up}: mend that, and start again", "red")
        stop.set()
    return given_up is not None


def _judged(code: int, backend: Backend, progress: ProgressPrinter) -> int:
    if not backend.deaths:
        return code
    names = [death.partition(" died: ")[0] for death in backend.deaths]
    progress(
        f"{len(names)} process{'es' if len(names) > 1 else ''} died unplanned: {', '.join(names)}", "red"
    )
    return code or FAILED


def stop_event_on_signals() -> asyncio.Event:
    """Return an event of the running loop that SIGINT and SIGTERM set."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


class _SignalPolicy:
    """Decides what SIGINT and SIGTERM do.

    While the backend starts they raise KeyboardInterrupt, while it is used they set an event, while it stops
    they do nothing.
    """

    def __init__(self) -> None:
        self.starting = True

    @contextmanager
    def installed(self) -> Iterator[None]:
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
