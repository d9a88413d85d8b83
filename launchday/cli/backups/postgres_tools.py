"""pg_dump, pg_restore and psql of the wheel, told of a store without a password on any command line."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from launchday import child_processes
from launchday.cli.backups.manifest import BackupError
from launchday.engines import Postgres
from launchday.engines.base import engine_environment
from launchday.resilience import store_address

SERVICE = "store"
_COMPLAINT = re.compile(r"(?:error|fatal|ERROR|FATAL|PANIC):\s*(.+)")


def program(name: str) -> str:
    """The path of one of the wheel's programs. Raises EngineError where the wheel is not installed."""
    return str(Postgres.program().with_name(name))


def major_version() -> int:
    """The newest release of PostgreSQL that these programs know."""
    return int(Postgres.version().partition(".")[0])


@contextmanager
def environment(url: str, connected: Any = None) -> Iterator[dict[str, str]]:
    """What a program is started with so that it finds the store, and nobody reads a password in ``ps``.

    Args:
        url: of the store, as in the setting store_url.
        connected: (host, port) that the address led to, where it has several.
    """
    words = _words_of(url)
    if isinstance(connected, tuple):
        words |= {"host": str(connected[0]), "port": str(connected[1])}
    password = words.pop("password", "")
    if any("\n" in word or "\r" in word for word in words.values()):
        raise BackupError("the store's address has a line break in it: correct it")
    with tempfile.TemporaryDirectory(prefix="launchday-") as folder:  # only its owner may look into it
        service = Path(folder) / "service.conf"
        service.write_text("".join([f"[{SERVICE}]\n", *(f"{name}={word}\n" for name, word in words.items())]))
        found = {
            **engine_environment(),
            "PGSERVICEFILE": str(service),
            "PGSERVICE": SERVICE,
            "PGAPPNAME": "launchday backup",
            "PGCONNECT_TIMEOUT": "10",
            "LC_ALL": "C",
        }
        yield found | ({"PGPASSWORD": password} if password else {})


@asynccontextmanager
async def running(*argv: str, **options: Any) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a program while the block lasts; it is killed where the block, or this process, fails."""
    prepare = partial(_prepare, os.getpid())
    process = await asyncio.create_subprocess_exec(*argv, preexec_fn=prepare, **options)
    try:
        yield process
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def complaint(said: bytes, code: int | None) -> str:
    """What a program complained of first, in one line."""
    lines = said.decode(errors="replace").splitlines()
    for line in lines:
        if (found := _COMPLAINT.search(line)) is not None:
            return found[1].strip()
    return lines[-1].strip() if lines else f"it ended with code {code}"


def _prepare(parent_pid: int) -> None:
    """A program ends with this process, and one that may write no more says so and is not killed for it."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    os.setpgrp()  # Ctrl-C is ours to answer
    child_processes.die_with_parent(parent_pid)


def _words_of(url: str) -> dict[str, str]:
    """An address as libpq's words."""
    parts = urlsplit(store_address.parse(url).dsn)
    user, _, places = parts.netloc.rpartition("@")
    name, _, password = user.partition(":")
    hosts, ports = [], []
    for place in filter(None, places.split(",")):
        host, port = re.fullmatch(r"(\[[^]]*\]|[^:]*)(?::(\d*))?", place).groups()  # type: ignore[union-attr]
        hosts.append(unquote(host).strip("[]"))
        ports.append(port or str(store_address.DEFAULT_PORT))
    words = {
        "host": ",".join(hosts),
        "port": ",".join(ports),
        "user": unquote(name),
        "password": unquote(password),
        "dbname": unquote(parts.path.lstrip("/")),
    }
    words |= dict(parse_qsl(parts.query, keep_blank_values=True))
    return {word: value for word, value in words.items() if value}
