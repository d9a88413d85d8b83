"""The meta service and write-behind on a cache that fails: logins, loadouts, matches and purchases.

Each is asked until it is answered.

A request that got no answer is asked again as it was, as our clients and game servers do: the same match, the
same idempotency key. A player has one request at a time, so that the last loadout that was acknowledged is
the newest.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from uuid import NAMESPACE_OID, UUID, uuid5

import asyncpg

from launchday.engines import Postgres
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
from loadtest.errors import BenchError
from meta_service.client import MetaClient, MetaUnavailableError, PlayerCommit, Session

T = TypeVar("T")

PLAYERS = 48
COINS = 10**9
LEASE_S = 600.0
REGION = "west-europe"
SERVER = "bench-server"
SETTLE_S = 30.0
GIVE_UP_S = 30.0  # a request that is not answered for so long has failed

_BOOKED = "SELECT transfer_id::text, count(*) FROM ledger WHERE account > 0 GROUP BY 1"
_PLAYED = "SELECT match_id::text, count(*) FROM match_history WHERE outcome = 'committed' GROUP BY 1"
_LOADOUTS = "SELECT player_id, skin, version FROM loadouts"


@dataclass
class CacheLoad:
    """Players, and what they were told.

    Attributes:
        matches: asked for, by the number of the request.
        transfers: purchases as the ledger calls them, by the number of the request.
        loadouts: the newest that was acknowledged, skin and version, by player.
        changed: which request that was, by player.
    """

    client: MetaClient
    store_url: str
    free: asyncio.Queue[Session] = field(default_factory=asyncio.Queue)
    matches: dict[int, UUID] = field(default_factory=dict)
    transfers: dict[int, str] = field(default_factory=dict)
    loadouts: dict[int, tuple[str, int]] = field(default_factory=dict)
    changed: dict[int, int] = field(default_factory=dict)

    async def ask(self, number: int) -> bool:
        """A login and a loadout, a match from check-out to commit, or a purchase."""
        player = await self.free.get()
        try:
            match number % 4:
                case 0:
                    player = await self._change_loadout(number, player)
                case 1:
                    await self._buy(number, player)
                case _:
                    await self._play(number, player)
        finally:
            self.free.put_nowait(player)
        return True

    async def open_accounts(self, players: int) -> None:
        """Log everybody in, and give them money. Raises what the client does."""
        for number in range(players):
            player = await self.client.login_device(f"bench-device-{number}")
            await self.client.grant(f"bench-first-{number}", player.player_id, "coins", COINS, "bench")
            self.free.put_nowait(player)

    async def audit(self, acknowledged: Sequence[int]) -> Audit:
        """Compare what was acknowledged with the store, once write-behind has stored all of it."""
        settled = await all_stored(self.client, SETTLE_S)
        store = await asyncpg.connect(self.store_url)
        try:
            booked = {str(row[0]): int(row[1]) for row in await store.fetch(_BOOKED)}
            played = {str(row[0]): int(row[1]) for row in await store.fetch(_PLAYED)}
            stored = {int(row[0]): (str(row[1]), int(row[2])) for row in await store.fetch(_LOADOUTS)}
            unbalanced = await store.fetchval(WALLETS_OFF)
        finally:
            await store.close()
        known = set(acknowledged)
        lost = [number for number, transfer in self.transfers.items() if transfer not in booked]
        lost += [number for number, match in self.matches.items() if str(match) not in played]
        for player, (skin, version) in self.loadouts.items():
            has_skin, has_version = stored.get(player, ("", 0))
            if has_version < version or (has_version == version and has_skin != skin):
                lost.append(self.changed[player])
        asked = {str(match) for match in self.matches.values()}
        doubled = sum(count - 1 for count in booked.values()) + sum(count - 1 for count in played.values())
        doubled += max(0, settled.commits - len(asked)) if settled is not None else 0
        even = settled is not None and (
            settled.checkouts == settled.commits + settled.expired + settled.closed + settled.open
            and not settled.writebehind_rejected
        )
        return Audit(len(known.intersection(lost)), doubled, even and not unbalanced)

    async def _change_loadout(self, number: int, player: Session) -> Session:
        device = f"bench-guest-{number}"
        await self._until_answered(lambda: self.client.login_device(device))
        skin = SKINS[number // 4 % 2]
        change = await self._until_answered(lambda: self.client.set_loadout(player.session_token, skin))
        self.loadouts[player.player_id] = skin, change.version
        self.changed[player.player_id] = number
        return player

    async def _buy(self, number: int, player: Session) -> None:
        key = f"bench-request-{number}"
        bought = await self._until_answered(
            lambda: self.client.purchase(player.session_token, key, CRATE.item_id)
        )
        self.transfers[number] = str(bought.purchase_id)

    async def _play(self, number: int, player: Session) -> None:
        match = self.matches[number] = uuid5(NAMESPACE_OID, f"bench-match-{number}")
        ids = [player.player_id]
        given = await self._until_answered(lambda: self.client.check_out(match, SERVER, REGION, LEASE_S, ids))
        if given.refused:
            raise BenchError(f"the check-out was refused: {given.refused[0].reason}")
        rows = [PlayerCommit(player.player_id, given.checked_out[0].fence, 1, 0, 1.0)]
        done = await self._until_answered(lambda: self.client.commit(match, rows))
        if done.refused:
            raise BenchError(f"the commit was refused: {done.refused[0].reason}")

    async def _until_answered(self, call: Callable[[], Awaitable[T]]) -> T:
        deadline = time.monotonic() + GIVE_UP_S
        while True:
            try:
                return await call()
            except MetaUnavailableError:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(REPEAT_S)


@asynccontextmanager
async def services(
    folder: Path, cache_url: str, more: Mapping[str, Any] | None = None, players: int = PLAYERS
) -> AsyncIterator[CacheLoad]:
    """Start a store and our services on a cache, with players who have money; end them.

    Args:
        folder: for the store and the logs.
        cache_url: of the cache.
        more: further settings.
        players: how many there are.

    Raises BenchError where a service does not start.
    """
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    postgres = Postgres(folder / "postgres", folder / "postgres.log")
    try:
        postgres.start()
        await prepare_store(postgres.address)
        async with meta_services(
            folder, cache_url=cache_url, store_url=postgres.address, **(more or {})
        ) as client:
            load = CacheLoad(client, postgres.address)
            await load.open_accounts(players)
            yield load
    finally:
        postgres.stop()
