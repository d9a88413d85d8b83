"""The meta service and write-behind on a store that fails: each request changes money, and is asked until it
is answered.

A request is a grant or a purchase under an idempotency key of its own, which a game server repeats with the
same key until it has an answer; every eighth changes a loadout, too, which write-behind carries to the store.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from launchday.engines import Valkey
from launchday.resilience import store_address
from loadtest.bench.engines.measuring import Audit
from loadtest.bench.engines.meta_services import (
    CRATE,
    REPEAT_S,
    SKINS,
    all_stored,
    meta_services,
    prepare_store,
)
from loadtest.bench.harness.store_books import WALLETS_OFF
from meta_service.client import MetaClient, MetaUnavailableError, Session

PLAYERS = 16
GRANT = 100
SETTLE_S = 20.0

_ONCE = "SELECT transfer_id FROM ledger WHERE account > 0 GROUP BY transfer_id HAVING count(*) = 1"
_BOOKED = "SELECT count(*) FROM ledger WHERE account > 0"
_KEYS = "SELECT count(*) FROM idempotency WHERE answer IS NOT NULL"


@dataclass
class Load:
    """Players, and what they were told.

    Attributes:
        transfers: what each acknowledged request is called in the ledger.
    """

    client: MetaClient
    players: list[Session] = field(default_factory=list)
    transfers: dict[int, str] = field(default_factory=dict)
    skins: dict[int, str] = field(default_factory=dict)

    async def change_money(self, number: int) -> None:
        """Grant or buy, and repeat it with the same key until it is answered."""
        player = self.players[number % len(self.players)]
        key = f"bench-request-{number}"
        while True:
            try:
                if number % 2:
                    bought = await self.client.purchase(player.session_token, key, CRATE.item_id)
                    self.transfers[number] = str(bought.purchase_id)
                else:
                    given = await self.client.grant(key, player.player_id, "coins", GRANT, "bench")
                    self.transfers[number] = str(given.transfer_id)
                break
            except MetaUnavailableError:
                await asyncio.sleep(REPEAT_S)
        if number % 8 == 0:
            skin = SKINS[number // 8 % 2]
            await self.client.set_loadout(player.session_token, skin)

    async def read_older(self, number: int) -> int:
        """Read the second page of a player's statement; returns how many rows it has."""
        token = self.players[number % len(self.players)].session_token
        newest = await self.client.statement(token, limit=1)
        return len(await self.client.statement(token, before=newest[0].entry_no, limit=1))

    async def audit(self, store_url: str, acknowledged: Sequence[int]) -> Audit:
        """Compare what was acknowledged with a store's ledger, once write-behind has stored all."""
        await all_stored(self.client, SETTLE_S)
        store = await store_address.connect(store_url, timeout_s=10.0)
        try:
            once = {str(row[0]) for row in await store.fetch(_ONCE)}
            doubled = await store.fetchval(_BOOKED) - await store.fetchval(_KEYS)
            unbalanced = await store.fetchval(WALLETS_OFF)
        finally:
            store.terminate()
        lost = sum(self.transfers[number] not in once for number in acknowledged)
        counters = await self.client.counters()
        behind = counters.writebehind_depth + counters.writebehind_rejected
        return Audit(lost=lost, doubled=max(doubled, 0), balanced=not unbalanced and not behind)


@asynccontextmanager
async def services(
    folder: Path, store_url: str, direct_url: str, replica_url: str = ""
) -> AsyncIterator[Load]:
    """Start a cache and our services on a store, with players who have money; end them.

    Args:
        folder: for the cache, the logs and the spools.
        store_url: as the services get it.
        direct_url: of the server itself, for the schema.
        replica_url: of a replica; empty: there is none.

    Raises BenchError where a service does not start.
    """
    valkey = Valkey(folder / "valkey", folder / "valkey.log")
    try:
        await asyncio.to_thread(valkey.start)
        await prepare_store(direct_url)
        async with meta_services(
            folder,
            cache_url=valkey.address,
            store_url=store_url,
            store_direct_url=direct_url,
            store_replica_url=replica_url,
        ) as client:
            load = Load(client)
            for number in range(PLAYERS):
                load.players.append(await client.login_device(f"bench-device-{number}"))
                await client.grant(
                    f"bench-first-{number}", load.players[-1].player_id, "coins", 10**9, "bench"
                )
            yield load
    finally:
        valkey.stop()


async def ledger_of(url: str) -> set[str]:
    """The transfers in a store's ledger."""
    store: asyncpg.Connection = await store_address.connect(url, timeout_s=10.0)
    try:
        return {str(row[0]) for row in await store.fetch("SELECT DISTINCT transfer_id FROM ledger")}
    finally:
        store.terminate()
