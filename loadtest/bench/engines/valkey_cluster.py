"""``valkey_cluster``: the meta service on six nodes, of which some die, stop, or hand their slots on.

A change is acknowledged once a replica has it (``LAUNCHDAY_CACHE_WAIT_REPLICAS=1``), so all that was
acknowledged has to be there afterwards. A primary whose only replica was promoted takes no change until it
has one again: the nodes that were killed are started again, as whoever rents a cluster out does.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from redis.crc import key_slot

from loadtest.bench.engines import cache_checkouts
from loadtest.bench.engines.cache_load import CacheLoad, services
from loadtest.bench.engines.measuring import Audit, EngineFault
from loadtest.bench.engines.node_faults import NodeFaults
from loadtest.bench.engines.valkey_nodes import PASSWORD, USER, Cluster, Node, make_certificates, running
from loadtest.bench.options import Options

ENGINE = "valkey cluster"
WAIT = {"cache_wait_replicas": 1, "cache_wait_ms": 500}
PAUSE_S = 10.0
MOVED_SLOTS = 48
SLOT_PAUSE_S = 0.02  # for which a slot is half here and half there

Inject = Callable[["OnCluster"], None]


@dataclass
class OnCluster(NodeFaults):
    """Services on a cluster; see `measuring.Subject`."""

    load: CacheLoad

    @property
    def home(self) -> Node:
        """The primary of the keys that belong to no player."""
        return self.cluster.primary_of(key_slot(b"{meta}"))

    async def ask(self, number: int) -> bool:
        """See `CacheLoad.ask`."""
        return await self.load.ask(number)

    async def audit(self, acknowledged: Sequence[int]) -> Audit:
        """See `CacheLoad.audit`."""
        await asyncio.to_thread(self.cluster.settled)
        return await self.load.audit(acknowledged)


def kill_primary(subject: OnCluster) -> None:
    """The home primary dies."""
    subject.kill(subject.home)


def pause_primary(subject: OnCluster) -> None:
    """The home primary stops, and goes on after its replica was promoted."""
    subject.pause(subject.home)


def kill_two(subject: OnCluster) -> None:
    """A primary dies, and the replica of another one."""
    home = subject.home
    other = next(node for node in subject.cluster.primaries() if node is not home)
    replica = subject.cluster.replica_of(other)
    subject.kill(home)
    subject.kill(replica)


def move_slots(subject: OnCluster) -> None:
    """Slots with keys move from the home primary to another one, the home slot among them, under load."""
    cluster, home = subject.cluster, subject.home
    other = next(node for node in cluster.primaries() if node is not home)
    first, last = next(
        (first, last) for first, last, owner, *_ in home.ask("CLUSTER", "SLOTS") if owner[1] == home.port
    )
    with home.client() as client:
        counts = client.pipeline(transaction=False)
        for slot in range(first, last + 1):
            counts.execute_command("CLUSTER", "COUNTKEYSINSLOT", slot)
        filled = [first + at for at, count in enumerate(counts.execute()) if count]
    home_slot = key_slot(b"{meta}")
    chosen = [home_slot, *(slot for slot in filled if slot != home_slot)][:MOVED_SLOTS]
    cluster.migrate(chosen, home, other, SLOT_PAUSE_S)


@contextlib.asynccontextmanager
async def on_cluster(inject: Inject, *, secured: bool = False) -> AsyncIterator[OnCluster]:
    """A cluster with the services on it.

    Args:
        inject: what happens.
        secured: over TLS with client certificates, as an ACL user whose password is in the address.
    """
    with tempfile.TemporaryDirectory(prefix="launchday-bench-") as name:
        folder = Path(name)
        files = make_certificates(folder / "certificates") if secured else None
        with running(Cluster(folder / "cluster", files)) as cluster:
            more: dict[str, object] = dict(WAIT)
            if files is not None:
                more |= {
                    "cache_ca": str(files.ca),
                    "cache_certificate": str(files.certificate),
                    "cache_certificate_key": str(files.key),
                }
            async with services(folder, address_of(cluster), more) as load:
                yield OnCluster(cluster, inject, load)


def address_of(cluster: Cluster) -> str:
    """The setting ``cache_url``, with user and password where the cluster has TLS."""
    if cluster.certificates is None:
        return cluster.address
    places = cluster.address.partition("://")[2]
    return f"rediss+cluster://{USER}:{quote(PASSWORD, safe='')}@{places}"


FAULTS: Sequence[EngineFault] = (
    EngineFault(ENGINE, "primary killed", functools.partial(on_cluster, kill_primary)),
    EngineFault(
        ENGINE,
        "primary paused for 10 s",
        functools.partial(on_cluster, pause_primary),
        lasts_s=PAUSE_S,
        ends_outside=True,
    ),
    EngineFault(ENGINE, "slots moved", functools.partial(on_cluster, move_slots)),
    EngineFault(ENGINE, "primary and another's replica killed", functools.partial(on_cluster, kill_two)),
    EngineFault(
        ENGINE, "TLS, ACL user: primary killed", functools.partial(on_cluster, kill_primary, secured=True)
    ),
)


def figures(options: Options) -> Iterator[dict[str, Any]]:
    """What a check-out costs on a cluster, see `cache_checkouts`."""
    yield cache_checkouts.measured(options.rounds or cache_checkouts.ROUNDS)
