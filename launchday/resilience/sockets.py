"""Options of every TCP connection of ours: a peer that is gone without a word is noticed within seconds.

A store that fails over, or a NAT that forgot, drops an established connection's packets without an answer.
Linux then repeats them for a quarter of an hour (``tcp_retries2``) while new connections work at once. With
``TCP_USER_TIMEOUT`` the kernel ends a connection whose data stays unacknowledged, and keep-alive asks an idle
one whether it is still there; `USER_TIMEOUT_MS` bounds both. A peer that is merely stopped acknowledges: its
kernel goes on.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from redis.asyncio import Redis

# redis-py is imported inside the functions: it costs 0.2 s, and most processes ask no cache.

USER_TIMEOUT_MS = 3000  # six resends on a path of 20 ms; a store 300 ms away still has four
KEEP_IDLE_S = (
    2  # so that an idle connection is known dead KEEP_IDLE_S + USER_TIMEOUT_MS after its last packet
)
KEEP_INTERVAL_S = 1
KEEP_COUNT = 3

TCP_OPTIONS: dict[int, int] = {
    socket.TCP_NODELAY: 1,
    socket.TCP_USER_TIMEOUT: USER_TIMEOUT_MS,
    socket.TCP_KEEPIDLE: KEEP_IDLE_S,
    socket.TCP_KEEPINTVL: KEEP_INTERVAL_S,
    socket.TCP_KEEPCNT: KEEP_COUNT,
}
"""Options of the level ``IPPROTO_TCP``: redis-py's ``socket_keepalive_options``."""

OPTIONS: tuple[tuple[int, int, int], ...] = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *((socket.IPPROTO_TCP, option, value) for option, value in TCP_OPTIONS.items()),
)
"""All of them as (level, option, value): httpx2's ``socket_options``."""


def harden(connected: Any) -> None:
    """Set `OPTIONS` on a connected socket; nothing where it is not TCP.

    Args:
        connected: a socket, an asyncio transport or stream writer.
    """
    raw = connected if hasattr(connected, "setsockopt") else connected.get_extra_info("socket")
    if raw is None or raw.family not in (socket.AF_INET, socket.AF_INET6):
        return
    for option in OPTIONS:
        raw.setsockopt(*option)


def redis_options(connections: int = 32, answer_s: float = 2.0) -> dict[str, Any]:
    """Return the arguments that every Redis client or pool of ours is made with.

    Nothing is repeated by the client: a script that was sent may have run, and only its caller knows whether
    to send it again. Maintenance notifications are off: with them redis-py 8.1 keeps connections that the
    server closed while idle (redis-py #4252), and as many requests fail after a restart.

    Args:
        connections: most of them at the same time.
        answer_s: seconds for an answer, and for a connection.
    """
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.maint_notifications import MaintNotificationsConfig

    return {
        "max_connections": connections,
        "socket_timeout": answer_s,
        "socket_connect_timeout": answer_s,
        "socket_keepalive": True,
        "socket_keepalive_options": TCP_OPTIONS,
        "retry": Retry(NoBackoff(), 0),
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }


def redis_client(url: str, *, connections: int = 32, answer_s: float = 2.0, **options: Any) -> Redis:
    """Return a client of the cache at ``url`` that connects lazily, over a bounded pool a node.

    All that one command waits for has a bound, see `launchday.resilience.cache_client`.

    Args:
        url: of one node, a cluster or Sentinels, see `launchday.cache_address`.
        connections, answer_s: see `redis_options`; whoever finds no free connection waits ``answer_s`` for
            one.
        options: further ones of redis-py's pool, such as ``decode_responses``.

    Raises ValueError where ``url`` is no address.
    """
    from redis.asyncio import BlockingConnectionPool

    from launchday.cache_address import CacheAddress
    from launchday.clock import SystemClock
    from launchday.resilience.cache_client import TOTAL_STEPS, BoundedRedis
    from launchday.resilience.cache_login import connection_options
    from launchday.resilience.cache_replicas import Replicas

    address = CacheAddress.of(url)
    told = connection_options(address) | options

    def pool_of(
        host: str, port: int, connections: int = connections, answer_s: float = answer_s
    ) -> BlockingConnectionPool:
        return BlockingConnectionPool(
            host=host, port=port, timeout=answer_s, **redis_options(connections, answer_s), **told
        )

    clock, total_s = SystemClock(), TOTAL_STEPS * answer_s
    replicas = Replicas(address.wait_replicas, address.wait_ms)
    if address.kind == "cluster":
        from launchday.resilience.cache_cluster import ClusterRedis

        return ClusterRedis(
            clock=clock, total_s=total_s, seeds=address.hosts, pool_of=pool_of, replicas=replicas
        )
    if address.kind == "sentinel":
        from launchday.resilience.cache_sentinel import SentinelPool

        pool: BlockingConnectionPool = SentinelPool(
            address, timeout=answer_s, **redis_options(connections, answer_s), **told
        )
    elif address.hosts:
        pool = pool_of(*address.hosts[0])
    else:  # a Unix socket
        pool = BlockingConnectionPool(timeout=answer_s, **redis_options(connections, answer_s), **told)
    return BoundedRedis(clock=clock, total_s=total_s, pool=pool, replicas=replicas)
