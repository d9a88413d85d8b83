"""The client of the rewards service."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Self

import httpx

TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class RewardsCounters:
    """What has been applied; see ``GET /v1/internal/books``. ``lag`` is None while Kafka is away."""

    kills_applied: int
    events_applied: int
    duplicates: int
    dead_letters: int
    lag: int | None


class RewardsClient:
    """Asks a running rewards service. ``token`` is a service token. Methods raise ``httpx.HTTPError``."""

    def __init__(self, base_url: str, token: str) -> None:
        self._http = httpx.AsyncClient(
            base_url=base_url,
            headers={"Authorization": f"Bearer {token}"},
            timeout=TIMEOUT_S,
            trust_env=False,  # a proxy from the environment is not for calls among our own services
        )

    async def counters(self) -> RewardsCounters:
        """What has been applied and what waits."""
        response = await self._http.get("/v1/internal/books")
        response.raise_for_status()
        body = response.json()
        return RewardsCounters(
            **{
                name: body[name] for name in RewardsCounters.__dataclass_fields__
            }  # newer servers may say more
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
