"""Asks a target's processes for their metrics, each second of a run."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import httpx2

from loadtest.background import background
from loadtest.errors import MetricsError
from loadtest.flood.metrics.exposition import MAX_BYTES, Reading, read_exposition
from loadtest.flood.metrics.history import MetricsHistory

INTERVAL_S = 1.0
PATIENCE_S = 2.0  # a process that needs longer to tell a page of numbers is too busy for it: a gap
FIRST_PATIENCE_S = 10.0  # at the start, where no answer ends the run and a machine may still be starting
LARGE_TEXT = 20_000  # characters; more is read in a thread, for the players wait meanwhile
MAX_ADDRESSES = 32


def shown_address(url: str) -> str:
    """An address without its scheme, its password and its query, as it is shown."""
    parts = urlsplit(url)
    return f"{parts.netloc.rpartition('@')[2]}{parts.path}"


def why_not_sampled(urls: Sequence[str]) -> str | None:
    """Why these addresses cannot be sampled, as one line, before any is asked; None where they can."""
    if len(urls) > MAX_ADDRESSES:
        return f"--metrics: {len(urls)} addresses; {MAX_ADDRESSES} at most"
    for url in urls:
        try:
            parts = urlsplit(url)
            wrong = parts.scheme not in ("http", "https") or not parts.hostname or (parts.port or 1) < 1
        except ValueError:
            wrong = True
        if wrong:
            return f"--metrics {url}: give an address such as http://127.0.0.1:8102/metrics"
        if urls.count(url) > 1:
            return f"--metrics {url}: is given twice"
    return None


class MetricsSampler:
    """Samples some addresses. Use it as an async context manager: entering it asks each once.

    Args:
        urls: of Prometheus text.
        transport: replaces the network, in tests.

    Attributes:
        histories: what each told, in the order of the addresses.

    Raises:
        MetricsError: on entering, where an address does not answer with Prometheus text.
    """

    def __init__(self, urls: Sequence[str], *, transport: httpx2.AsyncBaseTransport | None = None) -> None:
        self.histories = [MetricsHistory(shown_address(url)) for url in urls]
        self._urls = tuple(urls)
        self._transport = transport
        self._stack = contextlib.AsyncExitStack()
        self._client: httpx2.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        if (mistake := why_not_sampled(self._urls)) is not None:
            raise MetricsError(mistake)
        if self._urls:
            client = httpx2.AsyncClient(trust_env=False, timeout=FIRST_PATIENCE_S, transport=self._transport)
            self._client = await self._stack.enter_async_context(client)
            try:
                await asyncio.gather(*map(self._first, self._urls))
            except BaseException:
                await self._stack.aclose()
                raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    @contextlib.asynccontextmanager
    async def watching(self, clock: Callable[[], float]) -> AsyncIterator[None]:
        """Sample in the background for as long as the context lasts; ``clock``: seconds of the run."""
        async with contextlib.AsyncExitStack() as stack:
            for url, history in zip(self._urls, self.histories, strict=True):
                await stack.enter_async_context(
                    background(self._watch(url, history, clock), f"metrics of {history.address}")
                )
            yield

    async def read(self, url: str, patience_s: float = PATIENCE_S) -> dict[str, Reading]:
        """What an address tells now, within ``patience_s`` seconds. Raises MetricsError."""
        try:
            async with asyncio.timeout(patience_s):
                text = await self._fetch(url)
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise MetricsError(f"does not answer: {str(error) or type(error).__name__}") from error
        if len(text) > LARGE_TEXT:
            return await asyncio.to_thread(read_exposition, text)
        return read_exposition(text)

    async def _first(self, url: str) -> None:
        try:
            if not await self.read(url, FIRST_PATIENCE_S):
                raise MetricsError("tells no metric")
        except MetricsError as error:
            raise MetricsError(f"--metrics {shown_address(url)}: {error}") from error

    async def _watch(self, url: str, history: MetricsHistory, clock: Callable[[], float]) -> None:
        while True:
            at_s = clock()
            readings: dict[str, Reading] | None = None
            with contextlib.suppress(MetricsError):
                readings = await self.read(url)
            history.add(round(at_s, 2), readings)
            await asyncio.sleep(max(0.0, at_s + INTERVAL_S - clock()))

    async def _fetch(self, url: str) -> str:
        assert self._client is not None
        async with self._client.stream("GET", url, headers={"Accept": "text/plain"}) as answer:
            if answer.status_code != httpx2.codes.OK:
                raise MetricsError(f"answers {answer.status_code}")
            data = bytearray()
            async for chunk in answer.aiter_bytes():
                data += chunk
                if len(data) > MAX_BYTES:
                    raise MetricsError(f"tells more than {MAX_BYTES:,} bytes")
        return data.decode("utf-8", "replace")
