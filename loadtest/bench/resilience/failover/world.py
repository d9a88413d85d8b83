"""The reliable lane inside the namespace, and players who have what a failover can take."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from loadtest.bench.harness.reliable_lane import World, reliable_lane
from meta_service.store.catalogue import Item

MONEY = 10**9
CRATE = Item(item_id="crate", kind="consumable", title="Crate", currency="coins", price=1, max_owned=10**9)
PASSWORD = "correct horse battery staple"


@contextlib.asynccontextmanager
async def world(folder: Path, players: int) -> AsyncIterator[World]:
    """Run the reliable lane; ``players`` are logged in, with money.

    Raises BenchError where a service does not start.
    """
    async with reliable_lane(folder, [CRATE]) as made:
        client = made.client
        for number in range(players):
            player = await client.login_device(f"failover-device-{number}")
            await client.grant(f"to-begin-with-{number}", player.player_id, "coins", MONEY, "to begin with")
            made.players.append(player)
        named = await client.login_device("failover-named")  # their logins end their session each time
        await client.set_password(named.session_token, "failover", PASSWORD)
        yield made
