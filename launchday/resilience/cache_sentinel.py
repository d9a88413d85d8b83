"""Connections to the primary that Sentinels name: they are asked at each connection.

A primary that was replaced goes on for seconds when it was only cut off or stopped. So a connection asks what
its node is before it is used, and once another primary is known all connections to the former one are ended,
those in use too: what it answers then counts for nobody.
"""

from __future__ import annotations

import asyncio
from typing import Any

from redis.asyncio import BlockingConnectionPool, Connection, SSLConnection
from redis.exceptions import ConnectionError as AwayError
from redis.exceptions import ReadOnlyError, RedisError, ResponseError

from launchday.cache_address import CacheAddress
from launchday.resilience.cache_client import LiveConnection, LiveTlsConnection

SENTINEL_ANSWER_S = 0.5
GRACE_S = 0.05  # for the other Sentinels, once one has answered
Place = tuple[str, int]


class SentinelPool(BlockingConnectionPool):
    """A pool of connections to the present primary.

    Args:
        address: whose hosts are the Sentinels.
        options: as of redis-py's pool.
    """

    def __init__(self, address: CacheAddress, **options: Any) -> None:
        tls = options.pop("connection_class", Connection) is SSLConnection
        super().__init__(connection_class=_TlsConnection if tls else _PlainConnection, **options)
        self._address = address
        self._sentinel_class = LiveTlsConnection if tls else LiveConnection
        kept = {
            name: value for name, value in options.items() if name.startswith(("ssl", "socket_keepalive"))
        }
        self._sentinel_options = kept | dict(address.sentinel)
        self.connection_kwargs["pool"] = self
        self.primary: Place | None = None
        self._asking: set[asyncio.Task[tuple[int, Place] | str]] = set()

    async def find_primary(self) -> Place:
        """Ask all Sentinels at once; the one that has seen the newest election is right.

        Raises redis-py's ConnectionError where none knows.
        """
        asked = {asyncio.create_task(self._ask(place)) for place in self._address.hosts}
        self._asking |= asked
        for each in asked:
            each.add_done_callback(self._asking.discard)
        known: list[tuple[int, Place]] = []
        reasons: list[str] = []
        wait_s: float | None = None
        while asked:
            done, asked = await asyncio.wait(asked, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                if isinstance(answer := each.result(), str):
                    reasons.append(answer)
                else:
                    known.append(answer)
            if known:
                wait_s = GRACE_S
            if not done:
                break
        if not known:  # who is late ends by itself, see SENTINEL_ANSWER_S
            raise AwayError(f"no Sentinel knows {self._address.name}: {reasons[0]}")
        primary = max(known)[1]
        if primary != self.primary:
            former, self.primary = self.primary, primary
            if former is not None:
                await self._leave(former)
        return primary

    async def aclose(self) -> None:
        """As redis-py's, once no Sentinel is being asked."""
        if self._asking:
            await asyncio.wait(self._asking)
        await super().aclose()

    async def _leave(self, former: Place) -> None:
        for each in [*self._get_in_use_connections(), *self._get_free_connections()]:
            if (each.host, each.port) == former:  # type: ignore[attr-defined]
                await each.disconnect(nowait=True)

    async def _ask(self, place: Place) -> tuple[int, Place] | str:
        """(epoch of the election, the primary) as a Sentinel knows it; where it does not, why."""
        connection = self._sentinel_class(
            host=place[0],
            port=place[1],
            socket_timeout=SENTINEL_ANSWER_S,
            socket_connect_timeout=SENTINEL_ANSWER_S,
            decode_responses=True,
            **self._sentinel_options,
        )
        try:
            async with asyncio.timeout(SENTINEL_ANSWER_S):
                await connection.connect()  # type: ignore[no-untyped-call]
                await connection.send_command("SENTINEL", "MASTER", self._address.name)
                told = await connection.read_response()
        except (RedisError, OSError, TimeoutError) as error:
            return f"{place[0]}:{place[1]}: {error or 'it does not answer in time'}"
        finally:
            await connection.disconnect(nowait=True)
        fields = told if isinstance(told, dict) else dict(zip(told[::2], told[1::2], strict=True))
        return int(fields["config-epoch"]), (fields["ip"], int(fields["port"]))


class _PlainConnection(LiveConnection):
    """A connection to whatever node is the primary when it is opened."""

    def __init__(self, pool: SentinelPool, **options: Any) -> None:
        super().__init__(**options)
        self._pool = pool

    async def _connect(self) -> None:
        self.host, self.port = await self._pool.find_primary()
        await super()._connect()  # type: ignore[no-untyped-call]

    async def on_connect_check_health(self, check_health: bool = True) -> None:
        await super().on_connect_check_health(check_health=check_health)
        await self.send_command("ROLE", check_health=False)
        try:
            role, *_ = await self.read_response()
        except ResponseError:  # not allowed to ask
            return
        if role not in ("master", b"master"):
            raise AwayError(f"{self.host}:{self.port} is a replica by now, Sentinels still name it")

    async def read_response(self, *args: Any, **options: Any) -> Any:
        try:
            return await super().read_response(*args, **options)
        except ReadOnlyError as error:  # nothing was done; the next connection asks the Sentinels
            await self.disconnect(nowait=True)
            raise AwayError("the cache's primary has become a replica: try again") from error


class _TlsConnection(_PlainConnection, LiveTlsConnection):
    """The same over TLS."""
