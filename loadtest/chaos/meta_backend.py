"""What is killed or stopped in the chaos run of the meta service: Valkey, PostgreSQL, the API and two
write-behind workers.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Self

import asyncpg
import psutil
from pydantic import SecretStr
from redis import Redis

from launchday import child_processes
from launchday.engines import Postgres, Valkey
from launchday.engines.base import free_port
from launchday.launcher.children import answers_ok
from launchday.settings import Settings, environment
from loadtest.chaos.meta_load import CRATE, SKINS
from loadtest.errors import ChaosError
from meta_service.store import catalogue, schema

POLL_S = 0.02
RECOVERY_TIMEOUT_S = 60.0  # for a killed part to come back, on a busy machine
KILLS = ("api", "writebehind", "valkey", "postgres")  # targets of kill -9
PAUSES = ("pause-api", "pause-writebehind")  # targets of SIGSTOP: what they were sent meanwhile, they do late
TARGETS = KILLS + PAUSES
PAUSE_S = 6.0  # beyond every client's patience, and beyond CLAIM_IDLE_S of another worker
WORKERS = 2


class MetaBackend:
    """The parts that are killed, and the load that runs all the while. Use it as a context manager in the
    main thread.

    Args:
        folder: of data, logs and the log of operations.
        seed: of every random draw.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.operations = folder / "operations.jsonl"
        self._random = Random(seed)
        self._seed = seed
        self._valkey = Valkey(folder / "valkey", folder / "valkey.log")
        self._postgres = Postgres(folder / "postgres", folder / "postgres.log")
        self._started: list[subprocess.Popen[bytes]] = []
        self._api: subprocess.Popen[bytes]
        self._load: subprocess.Popen[bytes]
        self._workers: list[subprocess.Popen[bytes]]

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._stop()

    @property
    def addresses(self) -> list[str]:
        """The checker's arguments with the addresses of the store and the cache."""
        return ["--store", self._postgres.address, "--cache", self._valkey.address]

    def hit(self, target: str, pause_s: float = PAUSE_S) -> None:
        """Hit a target at a random moment, and wait until every kind of client gets answers again.

        It is killed with kill -9 and started again, or stopped for ``pause_s`` seconds.

        Raises:
            ChaosError: where that takes more than RECOVERY_TIMEOUT_S.
        """
        time.sleep(self._random.uniform(0.02, 0.5))
        match target:
            case "api":
                self._kill(self._api)
                self._api = self._spawn("meta_service")
                self._await(self._api_answers, "meta_service")
            case "writebehind":
                number = self._random.randrange(WORKERS)
                self._kill(self._workers[number])
                starts = self._worker_starts()
                self._workers[number] = self._worker(number)
                self._await(lambda: self._worker_starts() > starts, "meta_service.writebehind")
            case "valkey":
                port = self._valkey.port
                self._valkey.kill()
                self._valkey.start(port)
            case "pause-api":
                self._pause(self._api, pause_s)
            case "pause-writebehind":
                self._pause(self._workers[self._random.randrange(WORKERS)], pause_s)
            case "postgres":
                self._kill_postgres()
                self._postgres.start(self._postgres.port)
            case _:
                raise ValueError(f"no such target: {target}")
        self._await_progress()

    def drain(self) -> None:
        """End the load, and wait until everything that was accepted is in the store. Raises ChaosError."""
        child_processes.stop(self._load, RECOVERY_TIMEOUT_S)
        if self._load.returncode != 0:
            raise ChaosError(
                f"the load ended with {self._load.returncode}: {self._last('loadtest.chaos.meta_load')}"
            )
        cache = Redis.from_url(self._valkey.address)
        try:
            streams = list(cache.scan_iter(match="{meta*}:writebehind"))
            self._await(lambda: not any(map(cache.xlen, streams)), "meta_service.writebehind")
        finally:
            cache.close()

    def check(self) -> subprocess.CompletedProcess[str]:
        """Run the checker over the operations, the store and the cache."""
        command = [sys.executable, "-m", "loadtest.chaos.meta_checker", str(self.operations), *self.addresses]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def _start(self) -> None:
        self._valkey.start()
        self._postgres.start()
        schema.migrate(self._postgres.address)
        asyncio.run(self._stock())
        port = free_port()
        self._settings = Settings(
            state_dir=self.folder,
            cache_url=self._valkey.address,
            store_url=self._postgres.address,
            kafka_bootstrap="127.0.0.1:1",  # never used: the meta service has no broker
            meta_port=port,
            meta_url=f"http://127.0.0.1:{port}",
            writebehind_port=0,  # several workers
            identity_secret=SecretStr(secrets.token_hex(32)),
            requests_per_player_s=0.0,
            session_ttl_s=24 * 3600.0,
        )
        self._api = self._spawn("meta_service")
        self._workers = [self._worker(number) for number in range(WORKERS)]
        self._await(self._api_answers, "meta_service")
        self._load = self._spawn("loadtest.chaos.meta_load", str(self.operations), "--seed", str(self._seed))
        self._await_progress()

    async def _stock(self) -> None:
        store = await asyncpg.connect(self._postgres.address)
        try:
            await catalogue.put(store, [CRATE, *SKINS])
        finally:
            await store.close()

    def _stop(self) -> None:
        for child in reversed(self._started):
            self._kill(child)
        self._valkey.stop()
        self._postgres.stop()

    def _worker(self, number: int) -> subprocess.Popen[bytes]:
        return self._spawn("meta_service.writebehind", "--name", f"worker-{number}")

    def _spawn(self, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        env = {**os.environ, **environment(self._settings)}
        command = [sys.executable, "-m", module, *arguments]
        child = child_processes.spawn(command, log=self.folder / f"{module}.log", env=env)
        self._started.append(child)
        return child

    def _pause(self, child: subprocess.Popen[bytes], seconds: float) -> None:
        child.send_signal(signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            child.send_signal(signal.SIGCONT)

    def _kill(self, child: subprocess.Popen[bytes]) -> None:
        child.kill()
        child.wait()
        self._started.remove(child)

    def _kill_postgres(self) -> None:
        """Kill all its processes at once, as a power cut would: left alone, its children would finish their
        work.
        """
        process = self._postgres.process
        assert process is not None
        family = psutil.Process(process.pid).children(recursive=True)
        self._postgres.kill()
        for child in family:
            try:
                child.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(family, timeout=RECOVERY_TIMEOUT_S)

    def _api_answers(self) -> bool:
        return answers_ok(f"{self._settings.meta_url}/healthz")

    def _await_progress(self) -> None:
        """Wait until every kind of client has got a new answer."""
        wanted = {op: count + 1 for op, count in self._acknowledged().items()}
        self._await(
            lambda: all(self._acknowledged()[op] >= count for op, count in wanted.items()),
            "loadtest.chaos.meta_load",
        )

    def _worker_starts(self) -> int:
        log = self.folder / "meta_service.writebehind.log"
        return log.read_bytes().count(b"write-behind started") if log.exists() else 0

    def _acknowledged(self) -> dict[str, int]:
        written = self.operations.read_bytes() if self.operations.exists() else b""
        return {
            op: written.count(f'"op": "{op}", "phase": "ack"'.encode())
            for op in ("set_loadout", "buy", "checkout", "commit", "close")
        }

    def _await(self, holds: Callable[[], bool], whose_log: str) -> None:
        deadline = time.monotonic() + RECOVERY_TIMEOUT_S
        while not holds():
            if time.monotonic() > deadline:
                raise ChaosError(f"no progress in {RECOVERY_TIMEOUT_S:g} s: {self._last(whose_log)}")
            time.sleep(POLL_S)

    def _last(self, module: str) -> str:
        log = self.folder / f"{module}.log"
        return f"{child_processes.last_line(log)} (log: {log})"
