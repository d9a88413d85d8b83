"""The meta service on a real cluster goes on when a primary dies, and what was acknowledged is there."""

from __future__ import annotations

import asyncio
from pathlib import Path

from loadtest.bench.engines.cache_load import services
from loadtest.bench.engines.valkey_cluster import WAIT, OnCluster, kill_primary
from loadtest.bench.engines.valkey_nodes import Cluster, running


async def test_a_primary_dies_and_logins_loadouts_and_matches_go_on(tmp_path: Path) -> None:
    with running(Cluster(tmp_path / "cluster", options={"cluster-node-timeout": "1000"})) as cluster:
        async with services(tmp_path, cluster.address, WAIT, players=4) as load:
            subject = OnCluster(cluster, kill_primary, load)
            kinds = 4
            for number in range(kinds):
                assert await load.ask(number)
            await subject.inject()
            asking = [asyncio.create_task(load.ask(number)) for number in range(kinds, 2 * kinds)]
            await subject.heal()
            assert all(await asyncio.gather(*asking))
            audit = await subject.audit(range(2 * kinds))
    assert (audit.lost, audit.doubled, audit.balanced) == (0, 0, True)
