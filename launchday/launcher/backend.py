"""The whole backend on this machine: engines, schema, services.

They are started in order, checked, and stopped in reverse order. The launcher is the parent of all of them,
and the operating system ends them when it ends, however that happens.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from launchday import child_processes, kernel_cache
from launchday.engines import EmbeddedServer, EngineError, free_port
from launchday.engines.stack import EngineStack, ProgressCallback
from launchday.errors import LaunchdayError
from launchday.settings import Settings, env_name, environment

# for a machine that is busy; an idle one takes 2 s. Time in which kernels are compiled does not count.
READY_TIMEOUT_S = 120.0
READY_POLL_S = 0.05
STOP_TIMEOUT_S = 8.0
STORE_PROXY = "store proxy"


class BackendError(LaunchdayError):
    """Raised when the backend cannot be started. The message is one line that says what to do."""


@dataclass(frozen=True)
class Service:
    """One of our processes.

    Attributes:
        name: as it is printed.
        module: runs as ``python -m module``.
        port_setting: the setting that holds its port; empty where it has none.
        url_setting: the setting by which others find it; empty where nobody calls it.
    """

    name: str
    module: str
    port_setting: str = ""
    url_setting: str = ""


# In the order of starting; stopped in reverse, so that rewards can take what the game servers sent last.
SERVICES = (
    Service("rewards", "rewards", "rewards_port", "rewards_url"),
    Service("analytics", "rewards.analytics"),
    Service("meta service", "meta_service", "meta_port", "meta_url"),
    Service("write-behind", "meta_service.writebehind"),
    Service("fleet", "dedicated_server.fleet", "fleet_port", "fleet_url"),
    Service("matchmaker", "matchmaker", "matchmaker_port", "matchmaker_url"),
    Service("director", "matchmaker.director"),
)


class Backend:
    """The engines and services that players use.

    Args:
        settings: addresses given there replace embedded engines.
        fresh: begin with empty data.
        store_proxy: put a proxy before the store that ``slow_store`` can slow down.
    """

    def __init__(self, settings: Settings, *, fresh: bool = False, store_proxy: bool = False) -> None:
        self.settings = settings
        self._store_proxy = store_proxy
        self._store_proxy_port = 0
        self._stack = EngineStack(settings, fresh=fresh)
        self._fresh = fresh
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, progress: ProgressCallback = lambda _: None) -> Settings:
        """Start engines and services and wait until all are ready; returns the settings in force.

        Raises BackendError after having stopped what was already up.
        """
        if self._fresh:
            shutil.rmtree(self.settings.state_dir / "analytics", ignore_errors=True)
            (self.settings.state_dir / "fleet" / "policies.json").unlink(missing_ok=True)
        try:
            self._check_ports()
            settings = self._stack.start(progress)
            if self._store_proxy:
                settings = self._start_store_proxy(settings)
            self.settings = _with_urls(settings)
            self._migrate(progress)
            for service in SERVICES:
                self._spawn(service)
            self._await_ready(progress)
        except EngineError as error:
            self.stop()
            raise BackendError(str(error)) from error
        except BaseException:
            self.stop()
            raise
        return self.settings

    def stop(self, progress: ProgressCallback = lambda _: None) -> None:
        """Stop services, then engines. Safe to call twice."""
        for name in reversed(list(self._processes)):
            progress(f"stopping {name}")
            child_processes.stop(self._processes.pop(name), STOP_TIMEOUT_S)
        self._stack.stop()

    @property
    def processes(self) -> dict[str, int]:
        """Process ids by service and engine name."""
        engines = {role: server.process for role, server in self._stack.servers.items()}
        return {
            name: process.pid
            for name, process in {**self._processes, **engines}.items()
            if process is not None
        }

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
        command = [sys.executable, "-m", "loadtest.flood.latency_proxy", str(self._store_proxy_port)]
        command.append(f"{store.hostname}:{store.port or 5432}")
        self._processes[STORE_PROXY] = child_processes.spawn(command, log=self._log(STORE_PROXY))
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

    def exited_process(self) -> str | None:
        """Say which service has ended by itself, its last words and its log's path; None while all run."""
        for name, process in self._processes.items():
            if process.poll() is not None:
                said = child_processes.last_line(self._log(name))
                return f"{name} ended with code {process.returncode}: {said} (log: {self._log(name)})"
        return None

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

        Raises BackendError: a port is busy, or an engine that the settings name does not answer.
        """
        self._check_ports()
        try:
            self._stack.check_given()
        except EngineError as error:
            raise BackendError(str(error)) from error

    def _check_ports(self) -> None:
        for service in SERVICES:
            if not service.port_setting:
                continue
            port = getattr(self.settings, service.port_setting)
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((self.settings.bind_host, port))
                except OSError as error:
                    raise BackendError(
                        f"port {port} for the {service.name} is busy: stop what uses it, or set "
                        f"{env_name(service.port_setting)}"
                    ) from error

    def _spawn(self, service: Service) -> None:
        env = {**os.environ, **environment(self.settings)}
        command = [sys.executable, "-m", service.module]
        self._processes[service.name] = child_processes.spawn(command, log=self._log(service.name), env=env)

    def _log(self, name: str) -> Path:
        return (self.settings.state_dir / "logs" / f"{name.replace(' ', '-')}.log").absolute()

    def _await_ready(self, progress: ProgressCallback) -> None:
        deadline = time.monotonic() + READY_TIMEOUT_S
        waits_for_kernels = False
        for service in SERVICES:
            if not service.port_setting:
                continue
            port = getattr(self.settings, service.port_setting)
            while not _is_up(f"http://{self.settings.bind_host}:{port}/healthz"):
                self._require_running()
                if compiled := kernel_cache.parts_being_compiled():
                    if not waits_for_kernels:
                        progress(f"waiting for kernels that are being compiled: {', '.join(compiled)}")
                    waits_for_kernels = True
                    deadline = time.monotonic() + READY_TIMEOUT_S
                if time.monotonic() > deadline:
                    raise BackendError(
                        f"{service.name} was not ready after {READY_TIMEOUT_S:g} s (log: "
                        f"{self._log(service.name)})"
                    )
                time.sleep(READY_POLL_S)
            progress(f"{service.name}: ready on port {port}")
        self._require_running()

    def _require_running(self) -> None:
        if (exited := self.exited_process()) is not None:
            raise BackendError(exited)


@contextmanager
def single_instance(state_dir: Path) -> Iterator[None]:
    """Hold the state folder for this process alone; raises BackendError when another backend has it."""
    state_dir.mkdir(parents=True, exist_ok=True)
    with (state_dir / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.seek(0)
            holder = lock.read().strip() or "another process"
            raise BackendError(
                f"a backend already runs in {state_dir} (process {holder}): stop it, or set "
                f"{env_name('state_dir')}"
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _with_urls(settings: Settings) -> Settings:
    urls = {
        service.url_setting: f"http://{settings.bind_host}:{getattr(settings, service.port_setting)}"
        for service in SERVICES
        if service.url_setting
    }
    return settings.model_copy(update=urls)


def _is_up(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1.0) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
