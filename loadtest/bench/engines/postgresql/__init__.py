"""``postgresql``: a primary with a synchronous replica, and a pooler in transaction mode, under load.

Promotions, with the old primary dead and with it hanging and going on later; a pooler that is started again,
and one that hangs; a replica that dies while reads go to it. The services are started with one address and
are told nothing of what happens.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from launchday.engines.postgres import USER
from loadtest.bench.engines.measuring import Audit, EngineFault
from loadtest.bench.engines.postgresql.backend import Load, ledger_of, services
from loadtest.bench.engines.postgresql.servers import (
    SYNCHRONOUS,
    PgBouncer,
    Server,
    Standby,
    kill_at_once,
    pause,
    resume,
    until_streaming,
)

ENGINE = "postgresql"
NOTICED_S = 1.0  # until whoever promotes has noticed


@dataclass
class MoneyChanging:
    """Services that players change money with."""

    load: Load

    async def ask(self, number: int) -> bool:
        """As in Subject."""
        await self.load.change_money(number)
        return True


@dataclass
class Pair(MoneyChanging):
    """A primary and its replica, and services that know both."""

    primary: Server
    standby: Standby
    pauses: bool = False

    async def inject(self) -> None:
        """The primary dies or hangs; the replica is promoted."""
        if self.pauses:
            pause(self.primary)
        else:
            kill_at_once(self.primary)
        await asyncio.sleep(NOTICED_S)
        await self.standby.promote()

    async def heal(self) -> None:
        """The old primary goes on, where it only hung: it does not know that it was replaced."""
        if self.pauses:
            resume(self.primary)

    async def audit(self, acknowledged: Sequence[int]) -> Audit:
        """As in Subject; what the old primary alone has booked counts as lost."""
        audit = await self.load.audit(self.standby.address, acknowledged)
        if not self.pauses:
            return audit
        strays = await ledger_of(self.primary.address) - await ledger_of(self.standby.address)
        told = {self.load.transfers[number] for number in acknowledged}
        return Audit(audit.lost + len(strays & told), audit.doubled, audit.balanced)


@dataclass
class Pooled(MoneyChanging):
    """A server behind a pooler, and services that know the pooler."""

    server: Server
    pooler: PgBouncer
    pauses: bool = False

    async def inject(self) -> None:
        """The pooler hangs, or is killed and started again."""
        if self.pauses:
            pause(self.pooler)
            return
        port = self.pooler.port
        kill_at_once(self.pooler)
        await asyncio.to_thread(self.pooler.start, port)

    async def heal(self) -> None:
        """The pooler goes on, where it hung."""
        if self.pauses:
            resume(self.pooler)

    async def audit(self, acknowledged: Sequence[int]) -> Audit:
        """As in Subject."""
        return await self.load.audit(self.server.address, acknowledged)


@dataclass
class Read(MoneyChanging):
    """A primary, and a replica that services read from."""

    primary: Server
    standby: Standby

    async def ask(self, number: int) -> bool:
        """Change money, and read an older page of a statement, which must have its row."""
        await super().ask(number)
        return await self.load.read_older(number) == 1

    async def inject(self) -> None:
        """The replica dies."""
        kill_at_once(self.standby)

    async def heal(self) -> None:
        """Nothing: the primary is asked."""

    async def audit(self, acknowledged: Sequence[int]) -> Audit:
        """As in Subject."""
        return await self.load.audit(self.primary.address, acknowledged)


@contextlib.asynccontextmanager
async def pair(*, pauses: bool = False) -> AsyncIterator[Pair]:
    """A primary with a synchronous replica, and services with an address of both."""
    async with _folder() as folder:
        primary = Server(folder / "primary", folder / "primary.log", SYNCHRONOUS)
        standby = Standby(folder / "standby", folder / "standby.log", primary)
        try:
            await asyncio.to_thread(primary.start)
            await asyncio.to_thread(standby.start)
            await until_streaming(primary)
            both = f"postgresql://{USER}@{primary.place()},{standby.place()}/postgres?sslmode=disable"
            async with services(folder, both, both) as load:
                yield Pair(load, primary, standby, pauses)
        finally:
            for server in (standby, primary):
                kill_at_once(server)


@contextlib.asynccontextmanager
async def pooled(*, pauses: bool = False) -> AsyncIterator[Pooled]:
    """A server behind PgBouncer in transaction mode, and services with the pooler's address."""
    async with _folder() as folder:
        server = Server(folder / "server", folder / "server.log")
        pooler = PgBouncer(folder / "pooler", folder / "pooler.log", server)
        try:
            await asyncio.to_thread(server.start)
            await asyncio.to_thread(pooler.start)
            async with services(folder, pooler.pooled, server.address) as load:
                yield Pooled(load, server, pooler, pauses)
        finally:
            kill_at_once(pooler)
            server.stop()


@contextlib.asynccontextmanager
async def read() -> AsyncIterator[Read]:
    """A primary with a replica that follows it, and services that read from that."""
    async with _folder() as folder:
        primary = Server(folder / "primary", folder / "primary.log")
        standby = Standby(folder / "standby", folder / "standby.log", primary)
        try:
            await asyncio.to_thread(primary.start)
            await asyncio.to_thread(standby.start)
            await until_streaming(primary)
            async with services(folder, primary.address, primary.address, standby.address) as load:
                yield Read(load, primary, standby)
        finally:
            kill_at_once(standby)
            primary.stop()


@contextlib.asynccontextmanager
async def _folder() -> AsyncIterator[Path]:
    with tempfile.TemporaryDirectory(prefix="launchday-bench-") as name:
        yield Path(name)


FAULTS: Sequence[EngineFault] = (
    EngineFault(ENGINE, "primary killed, replica promoted", pair),
    EngineFault(ENGINE, "primary hangs, replica promoted, old one goes on", lambda: pair(pauses=True)),
    EngineFault(ENGINE, "pooler started again", pooled),
    EngineFault(ENGINE, "pooler hangs for 5 s", lambda: pooled(pauses=True), ends_outside=True),
    EngineFault(ENGINE, "replica killed while it is read", read),
)
