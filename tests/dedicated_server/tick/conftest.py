"""An engine on a free port, and clients for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from dedicated_server.protocol.server.wire import SECRET_BYTES
from dedicated_server.tick.engine import Engine
from dedicated_server.transport import Transport, TransportKind, open_transport
from tests.dedicated_server.tick.swarm import FLEET_KEY, Lay, Policy, Swarm, Table, config, stand_still


@pytest.fixture
async def lay() -> AsyncIterator[Lay]:
    """Lay a table: an engine on a free port, and clients for it."""
    transports: list[Transport] = []
    swarms: list[Swarm] = []

    async def lay_one(
        players: int,
        policy: Policy = stand_still,
        *,
        kind: TransportKind = "mmsg",
        here: Any = None,
        **changes: Any,
    ) -> Table:
        transports.append(await open_transport("127.0.0.1", 0, kind))
        engine = Engine(config(players, **changes), FLEET_KEY, transports[-1], secret=bytes(SECRET_BYTES))
        swarms.append(Swarm(engine, policy, here))
        return Table(engine, swarms[-1])

    yield lay_one
    for swarm in swarms:
        swarm.close()
    for transport in transports:
        await transport.close()
