"""The whole backend on this machine: engines, schema, services.

They are started in order, checked, and stopped in reverse order. The launcher is the parent of all of them,
and the operating system ends them when it ends, however that happens.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from launchday import folders, machine
from launchday.engines import EmbeddedServer, EngineError, free_port
from launchday.engines.stack import EngineStack, ProgressCallback
from launchday.errors import LaunchdayError
from launchday.launcher.children import Child, EngineChild, ServiceChild, module_command
from launchday.launcher.listening import why_not_listening
from launchday.launcher.readiness import (
    READY_POLL_S,
    READY_TIMEOUT_S,
    NotReadyError,
    await_ready,
    await_servers,
)
from launchday.launcher.services import SERVICES, Service, why_not_given, with_urls
from launchday.launcher.supervisor import Supervisor
from launchday.settings import Settings, env_name, environment

LOCK_TEXT, LOCK_BYTES = re.compile(rb"[0-9]{0,20}"), 64  # what the state folder's lock holds: a process
STOP_TIMEOUT_S = 8.0  # of one process; its own bound is a second less, so that it says where it hangs
STORE_PROXY = "store proxy"
FLEET = "fleet"
PROCESSES_NEEDED = 100  # processes and threads; 78 measured with two game servers on two cores
# What a fresh start removes of what services left in folders of the state folder; they mark these.
CLEARED = {"analytics": folders.ANALYTICS_NAMES, "fleet": ("policies.json",)}


class BackendError(LaunchdayError):
    """Raised when the backend cannot be started. The message says what to do.

    Attributes:
        lines: one for each thing that is in the way.
    """

    def __init__(self, *lines: str) -> None:
        super().__init__("; ".join(lines))
        self.lines = lines


class Backend:
    """The engines and services that players use.

    Args:
        settings: addresses given there replace embedded engines, and services.
        fresh: begin with empty data.
        store_proxy: put a proxy before the store that ``slow_store`` can slow down.

    Attributes:
        supervisor: starts again what dies, while `launchday.launcher.lifecycle` lets it.
    """

    def __init__(self, settings: Settings, *, fresh: bool = False, store_proxy: bool = False) -> None:
        self.settings = settings
        self._store_proxy = store_proxy
        self._store_proxy_port = 0
        self._stack = EngineStack(settings, fresh=fresh)
        self._fresh = fresh
        self._given = {service.name: service.given(settings) for service in SERVICES}
        self._engines: dict[str, EngineChild] = {}
        self._services: dict[str, ServiceChild] = {}
        self.supervisor = Supervisor()

    def start(self, progress: ProgressCallback = lambda _: None) -> Settings:
        """Start engines and services and wait until all are ready; returns the settings in force.

        Raises BackendError after having stopped what was already up.
        """
        try:
            self._check_ports()
            if self._fresh:
                self._clear()
            settings = self._stack.start(progress)
            self._engines = {
                role: EngineChild(role, server, self._stack.write_running_file)
                for role, server in self._stack.servers.items()
            }
            if self._store_proxy:
                settings = self._start_store_proxy(settings)
            self.settings = with_urls(settings)
            self._migrate(progress)
            for service in SERVICES:
                if given := self._given[service.name]:
                    progress(f"{service.name}: {given} (from {env_name(service.replaced_by)})")
                else:
                    self._start_service(service)
            self._await_ready(progress)
        except (EngineError, folders.FolderError) as error:
            self.stop()
            raise BackendError(str(error)) from error
        except BaseException:
            self.stop()
            raise
        return self.settings

    def stop(self, progress: ProgressCallback = lambda _: None) -> None:
        """Stop services, then engines. Safe to call twice."""
        for name in reversed(list(self._services)):
            progress(f"stopping {name}")
            self._services.pop(name).stop(STOP_TIMEOUT_S)
        self._engines.clear()
        self._stack.stop()

    @property
    def children(self) -> dict[str, Child]:
        """All processes that the backend has started, by name; engines by their role."""
        return {**self._engines, **self._services}

    @property
    def processes(self) -> dict[str, int]:
        """Process ids by service and engine name."""
        return {name: child.process.pid for name, child in self.children.items() if child.process is not None}

    @property
    def deaths(self) -> Sequence[str]:
        """One line for each process that died by itself while it was supervised."""
        return self.supervisor.deaths

    def planned_outage(self, name: str) -> AbstractContextManager[None]:
        """Let a process be killed or stopped on purpose, see `Supervisor.planned_outage`."""
        return self.supervisor.planned_outage(name)

    def engine(self, role: str) -> EmbeddedServer | None:
        """The embedded server of a role (cache, store, bus); None where the settings name the user's own."""
        return self._stack.servers.get(role)

    def slow_store(self, by_ms: float) -> None:
        """Delay every answer of the store by so many milliseconds; 0 ends it. Needs ``store_proxy``."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(str(by_ms).encode(), ("127.0.0.1", self._store_proxy_port))

    def _start_store_proxy(self, settings: Settings) -> Settings:
        """Start the proxy, and return settings whose store address is the proxy's."""
        store = urlsplit(settings.store_url)
        self._store_proxy_port = free_port()
        command = [*module_command("loadtest.flood.injection.latency_proxy"), str(self._store_proxy_port)]
        command.append(f"{store.hostname}:{store.port or 5432}")
        proxy = ServiceChild(STORE_PROXY, command, self._log(STORE_PROXY), {}, "")
        self._services[STORE_PROXY] = proxy
        proxy.start()
        user = store.netloc.rpartition("@")[0]
        netloc = (
            f"{user}@127.0.0.1:{self._store_proxy_port}" if user else f"127.0.0.1:{self._store_proxy_port}"
        )
        deadline = time.monotonic() + READY_TIMEOUT_S
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self._store_proxy_port)) == 0:
                    break
            self._require_running()
            if time.monotonic() > deadline:
                raise BackendError(f"the {STORE_PROXY} was not ready (log: {self._log(STORE_PROXY)})")
            time.sleep(READY_POLL_S)
        return settings.model_copy(update={"store_url": urlunsplit(store._replace(netloc=netloc))})

    def _migrate(self, progress: ProgressCallback) -> None:
        if importlib.util.find_spec("meta_service") is None:
            raise BackendError("meta_service is not installed: run make setup")
        progress("store: bringing the schema up to date")
        command = [sys.executable, "-m", "meta_service.store.schema"]
        done = subprocess.run(
            command, env={**os.environ, **environment(self.settings)}, capture_output=True, text=True
        )
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or ["no output"])[-1]
            raise BackendError(f"the store's schema could not be migrated: {last}")

    def check(self) -> None:
        """Look for what would make the start fail, before anything is started or compiled.

        Raises BackendError: a port is busy, an engine or a service that the settings name does not answer, or
        a folder that is to be cleared was not made by us.
        """
        if (left := machine.processes_left()) < PROCESSES_NEEDED:
            raise BackendError(
                f"this user may start {left} more processes and threads, and a backend has about "
                f"{PROCESSES_NEEDED}: raise ulimit -Hu, or the container's limit on processes"
            )
        self._check_ports()
        if (reason := why_not_given(self.settings)) is not None:
            raise BackendError(reason)
        for name, own in CLEARED.items() if self._fresh else ():
            if reason := folders.why_not_cleared(self.settings.state_dir / name, own):
                raise BackendError(f"{reason}: move it away, or set {env_name('state_dir')}")
        try:
            self._stack.check_folders()
            self._stack.check_given()
        except EngineError as error:
            raise BackendError(str(error)) from error

    def _clear(self) -> None:
        """Remove what services have left, as far as it is ours. Raises FolderError."""
        for name, own in CLEARED.items():
            folders.clear(self.settings.state_dir / name, own)

    def why_not_listening(self) -> list[str]:
        """Say all that keeps its processes from listening, a line each; see `listening.why_not_listening`."""
        return why_not_listening(self.settings, self._given)

    def _check_ports(self) -> None:
        if reasons := self.why_not_listening():
            raise BackendError(*reasons)

    def _start_service(self, service: Service) -> None:
        base_url = service.base_url(self.settings)
        child = ServiceChild(
            service.name,
            module_command(service.module),
            self._log(service.name),
            environment(self.settings),
            f"{base_url}/readyz" if base_url else "",
        )
        self._services[service.name] = child
        child.start()

    def _log(self, name: str) -> Path:
        return (self.settings.state_dir / "logs" / f"{name.replace(' ', '-')}.log").absolute()

    def _await_ready(self, progress: ProgressCallback) -> None:
        try:
            await_ready(self._services.values(), progress, self._require_running)
        except NotReadyError as error:
            raise BackendError(str(error)) from error
        for service in SERVICES:
            if service.name in self._services and not service.base_url(self.settings):
                port = env_name(service.port_setting)
                progress(f"{service.name}: runs, and is not asked whether it is ready: {port} is 0")
        if (fleet := self._services.get(FLEET)) is not None:
            await_servers(fleet, progress, self._require_running)

    def _require_running(self) -> None:
        for child in self._services.values():
            if child.process is not None and (code := child.process.poll()) is not None:
                raise BackendError(
                    f"{child.label} ended with code {code}: {child.last_words()} (log: {child.log})"
                )


class StateFolderHeldError(BackendError):
    """Raised where another backend runs in the state folder: stop it, or take another folder."""


@contextmanager
def single_instance(state_dir: Path) -> Iterator[None]:
    """Hold the state folder for this process alone; raises BackendError where that cannot be.

    It is a StateFolderHeldError where another backend has it.
    """
    path = state_dir / "lock"
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise BackendError(
            f"the state folder cannot be used: {error.strerror}: {error.filename}; make it writable, or set "
            f"{env_name('state_dir')}"
        ) from error
    try:
        holder = os.read(lock, LOCK_BYTES)
        if not LOCK_TEXT.fullmatch(holder):
            raise BackendError(
                f"{path} is not a lock of launchday's: move it away, or set {env_name('state_dir')}"
            )
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StateFolderHeldError(
                f"a backend already runs in {state_dir} (process {holder.decode() or 'another'}): "
                f"stop it, or set {env_name('state_dir')}"
            ) from error
        with contextlib.suppress(OSError):  # a full disk: it is held, and nobody can read by whom
            os.ftruncate(lock, 0)
            os.pwrite(lock, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(lock)
