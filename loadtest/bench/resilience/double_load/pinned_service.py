"""A service alone on the last core; engines, stand-ins and the generator on the first.

Engines get real-time priority where that is allowed, because the generator spins beside them and would starve
them otherwise; where it is not, the generator sleeps, and the figures contain waking it.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import redis
from pydantic import SecretStr

from launchday import child_processes
from launchday.engines import EmbeddedServer, EngineError, Postgres, Valkey
from launchday.engines.base import exchange, free_port
from launchday.settings import Settings, environment
from loadtest.errors import BenchError
from meta_service.store import schema

START_S = 30.0
REAL_TIME_PRIORITY = 10
QUOTA_PERIOD_US = 10_000  # of the cgroup: with the usual 100 ms a service stands still for 50 ms at a time
CPU_CGROUPS = (Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup"))


@dataclass
class Pinned:
    """What runs, and how much processor time it has used.

    Attributes:
        settings: of the service.
        service: its process.
        port: where it listens.
        spin: whether the generator may spin.
        helpers: the engines' and stand-ins' processes.
    """

    settings: Settings
    service: psutil.Process
    port: int
    spin: bool
    helpers: list[psutil.Process]

    def service_cpu_s(self) -> float:
        """Processor time of the service and its children."""
        return _cpu_s([self.service])

    def others_cpu_s(self) -> float:
        """Processor time of everybody but us: neither the service, nor the engines, nor this process."""
        with open("/proc/stat") as file:
            user, nice, system, _, _, irq, soft = (int(field) for field in file.readline().split()[1:8])
        busy_s = (user + nice + system + irq + soft) / os.sysconf("SC_CLK_TCK")
        return busy_s - _cpu_s([self.service, *self.helpers]) - sum(os.times()[:2])


@contextlib.contextmanager
def pinned(
    module: str, settings: dict[str, object], *, store: bool = True, stub: str = "", quota: float = 0.0
) -> Iterator[Pinned]:
    """Start engines and a service, each on its core; end them afterwards.

    Args:
        module: of the service.
        settings: beyond the engines' addresses and the ports.
        store: whether it needs PostgreSQL.
        stub: module of a stand-in that gets a port as its argument, and is the service's ``meta_url``.
        quota: cores that the service may use; 0: all of its one. See `can_limit`.

    Raises:
        BenchError: something does not start, or this machine has one core.
    """
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise BenchError("this part needs two cores: one for the service, one for the generator")
    with tempfile.TemporaryDirectory(prefix="launchday-load-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        os.sched_setaffinity(0, cores[:1])
        stack.callback(os.sched_setaffinity, 0, cores)
        engines: list[EmbeddedServer] = [Valkey(folder / "valkey", folder / "valkey.log")]
        if store:
            engines.append(Postgres(folder / "postgres", folder / "postgres.log"))
        helpers = []
        for engine in engines:
            stack.callback(engine.stop)
            try:
                engine.start()
            except EngineError as error:
                raise BenchError(str(error)) from error
            assert engine.process is not None
            helpers.append(psutil.Process(engine.process.pid))
        _write_no_copies(engines[0].address)
        own = Settings(
            state_dir=folder,
            cache_url=engines[0].address,
            store_url=engines[1].address if store else "postgresql://127.0.0.1:1/none",
            kafka_bootstrap="127.0.0.1:1",  # never called
            meta_port=free_port(),
            matchmaker_port=free_port(),
            identity_secret=SecretStr("bench-" + "0" * 32),
            fleet_key=SecretStr("ab" * 32),
            log_level="error",
        )
        if store:
            schema.migrate(own.store_url)
        if stub:
            stub_port = free_port()
            own = own.model_copy(update={"meta_url": f"http://127.0.0.1:{stub_port}"})
            child = child_processes.spawn(
                [sys.executable, "-m", stub, str(stub_port)], log=folder / "stub.log"
            )
            stack.callback(child_processes.stop, child, 5.0)
            helpers.append(psutil.Process(child.pid))
            _await(lambda: _accepts(stub_port), child, folder / "stub.log")
        own = own.model_copy(update=settings)
        spin = _real_time(helpers)
        log = folder / "service.log"
        service = child_processes.spawn(
            [sys.executable, "-m", module], log=log, env={**os.environ, **environment(own)}
        )
        stack.callback(child_processes.stop, service, 8.0)
        os.sched_setaffinity(service.pid, cores[-1:])
        if quota:
            stack.enter_context(_limited(service.pid, quota))
        port = own.matchmaker_port if module == "matchmaker" else own.meta_port
        _await(lambda: _healthy(port), service, log)
        yield Pinned(own, psutil.Process(service.pid), port, spin, helpers)


def can_limit() -> bool:
    """Whether this user may hold a process to a part of a core with a cgroup."""
    try:
        folder = _new_cgroup()
    except OSError:
        return False
    folder.rmdir()
    return True


@contextlib.contextmanager
def _limited(pid: int, cores: float) -> Iterator[None]:
    folder = _new_cgroup()
    quota_us = round(cores * QUOTA_PERIOD_US)
    try:
        if (folder / "cpu.max").exists():
            (folder / "cpu.max").write_text(f"{quota_us} {QUOTA_PERIOD_US}")
            (folder / "cpu.weight").write_text("10000")  # the quota is to bind, not what else runs here
        else:
            (folder / "cpu.cfs_period_us").write_text(str(QUOTA_PERIOD_US))
            (folder / "cpu.cfs_quota_us").write_text(str(quota_us))
            (folder / "cpu.shares").write_text("262144")
        try:
            (folder / "cgroup.procs").write_text(str(pid))
        except OSError as error:  # a real-time process has no place in a group without such a budget
            raise BenchError(f"the service cannot be held to {cores:g} cores: {error}") from error
        yield
    finally:
        for left in (folder / "cgroup.procs").read_text().split():
            with contextlib.suppress(OSError):
                (folder.parent / "cgroup.procs").write_text(left)
        with contextlib.suppress(OSError):  # one that still has a process that is ending
            folder.rmdir()


def _new_cgroup() -> Path:
    root = next((path for path in CPU_CGROUPS if (path / "cgroup.procs").exists()), None)
    if root is None:
        raise OSError("no cgroup file system")
    folder = root / f"launchday-bench-{os.getpid()}"
    folder.mkdir(exist_ok=True)
    if not (folder / "cpu.max").exists() and not (folder / "cpu.cfs_quota_us").exists():
        folder.rmdir()
        raise OSError("no cpu controller")
    return folder


def _write_no_copies(cache_url: str) -> None:
    """Let the cache append only. A copy of all of it would be written on the generator's core, before it."""
    with redis.Redis.from_url(cache_url) as cache:
        cache.config_set("auto-aof-rewrite-percentage", "0", "save", "")


def _real_time(processes: list[psutil.Process]) -> bool:
    """Give processes, and those that they will start, real-time priority; whether that was allowed."""
    try:
        for process in processes:
            for thread in process.threads():
                os.sched_setscheduler(thread.id, os.SCHED_RR, os.sched_param(REAL_TIME_PRIORITY))
            for child in process.children(recursive=True):
                os.sched_setscheduler(child.pid, os.SCHED_RR, os.sched_param(REAL_TIME_PRIORITY))
    except PermissionError:
        return False
    return True


def _cpu_s(processes: list[psutil.Process]) -> float:
    total = 0.0
    for process in processes:
        for each in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                times = each.cpu_times()
                total += times.user + times.system
    return total


def _await(condition: object, child: subprocess.Popen[bytes], log: Path) -> None:
    assert callable(condition)
    deadline = time.monotonic() + START_S
    while not condition():
        if child.poll() is not None or time.monotonic() > deadline:
            raise BenchError(f"a process did not start: {child_processes.last_line(log)}")
        time.sleep(0.02)


def _accepts(port: int) -> bool:
    return bool(exchange(port, b"GET / HTTP/1.1\r\nhost: m\r\ncontent-length: 0\r\n\r\n", 4))


def _healthy(port: int) -> bool:
    return exchange(port, b"GET /healthz HTTP/1.1\r\nhost: m\r\n\r\n", 12) == b"HTTP/1.1 200"
