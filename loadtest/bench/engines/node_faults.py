"""What happens to nodes of a cluster: they are killed, or stopped, and come back when it is over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from loadtest.bench.engines.valkey_nodes import Cluster, Node


@dataclass
class NodeFaults:
    """The half of a `measuring.Subject` that breaks the cluster, and mends it.

    Attributes:
        cluster: whose nodes they are.
        inject_it: what happens; it is given this object, and calls `kill` and `pause`.
    """

    cluster: Cluster
    inject_it: Callable[[Any], None]
    _killed: list[Node] = field(default_factory=list, init=False)
    _paused: list[Node] = field(default_factory=list, init=False)

    async def inject(self) -> None:
        """Let it happen."""
        await asyncio.to_thread(self.inject_it, self)

    async def heal(self) -> None:
        """Start again what was killed; let go on what was stopped."""
        for node in self._killed:
            node.start()
        for node in self._paused:
            node.resume()

    def kill(self, node: Node) -> None:
        """It dies."""
        self._killed.append(node)
        node.kill()

    def pause(self, node: Node) -> None:
        """It stops, and goes on after its replica was promoted."""
        self._paused.append(node)
        node.pause()
