"""Several warm parents: each a node of its own, so that the end of one takes no more than its share of the servers."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence
from typing import Any

from dedicated_server.fleet.pool.config import ForkRequest
from dedicated_server.fleet.warm.supervisor import WarmParentListener, WarmParentSupervisor


class WarmParents:
    """A ``Forker`` that gives each order to the warm parent with the fewest servers."""

    def __init__(self, supervisors: Sequence[WarmParentSupervisor]) -> None:
        self._nurseries = {nursery.node: nursery for nursery in supervisors}
        self._node_of: dict[str, str] = {}
        self._servers = dict.fromkeys(self._nurseries, 0)
        self._began = False

    @property
    def warm(self) -> bool:
        """Whether any takes orders now; at the start not before all do, or the first would fork everything."""
        return self._began and any(nursery.warm for nursery in self._nurseries.values())

    def fork(self, order: ForkRequest) -> str:
        """Ask for a server; returns the node it is on."""
        node = min(
            (node for node, nursery in self._nurseries.items() if nursery.warm), key=self._servers.__getitem__
        )
        self._node_of[order.name] = node
        self._servers[node] += 1
        return self._nurseries[node].fork(order)

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a server."""
        if (node := self._node_of.get(name)) is not None:
            self._nurseries[node].signal(name, number)

    def as_json(self) -> list[dict[str, Any]]:
        """What the admin API shows of them."""
        return [
            {**nursery.as_json(), "servers": self._servers[node]} for node, nursery in self._nurseries.items()
        ]

    async def first_warm_up(self) -> None:
        """Return once all are warm; raises WarmUpFailed."""
        waits = [asyncio.ensure_future(nursery.first_warm_up()) for nursery in self._nurseries.values()]
        try:
            await asyncio.gather(*waits)
            self._began = True
        finally:
            for wait in waits:
                wait.cancel()

    async def supervise(self, reports: WarmParentListener) -> None:
        """Keep all of them running until this is cancelled."""
        told = _RoutingListener(self, reports)
        async with asyncio.TaskGroup() as tasks:
            for nursery in self._nurseries.values():
                tasks.create_task(nursery.supervise(told), name=nursery.node)

    def server_gone(self, name: str) -> None:
        """A server is gone."""
        if (node := self._node_of.pop(name, None)) is not None:
            self._servers[node] -= 1


class _RoutingListener:
    """Passes reports on to the pool, and learns of the servers that are gone."""

    def __init__(self, nurseries: WarmParents, reports: WarmParentListener) -> None:
        self._nurseries = nurseries
        self._reports = reports
        self.forked = reports.forked
        self.fill = reports.fill

    def exited(self, name: str, how: str, now: float) -> None:
        """A server's process has ended."""
        self._nurseries.server_gone(name)
        self._reports.exited(name, how, now)

    def parent_lost(self, node: str, now: float) -> None:
        """All servers of a warm parent have ended."""
        for name in [name for name, on in self._nurseries._node_of.items() if on == node]:
            self._nurseries.server_gone(name)
        self._reports.parent_lost(node, now)
