"""The client of the rewards service, and the messages of its HTTP routes."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import httpx
from pydantic import BaseModel, ConfigDict, Field

TIMEOUT_S = 10.0


class RewardsCounters(BaseModel):
    """What has been applied: the answer of ``GET /v1/internal/counters``.

    Totals come from the store, so they survive restarts; duplicates are counted by the process that answers.
    """

    model_config = ConfigDict(frozen=True)

    kills_applied: int
    events_applied: int
    duplicates: int
    dead_letters: int
    lag: int | None = Field(
        description="Records not applied yet, all partitions; null while Kafka does not answer."
    )


class RewardsClient:
    """Calls a running rewards service.

    Args:
        base_url: of the service, such as ``http://127.0.0.1:8400``.
        token: a service token.
    """

    def __init__(self, base_url: str, token: str) -> None:
        self._http = httpx.AsyncClient(
            base_url=base_url,
            headers={"Authorization": f"Bearer {token}"},
            timeout=TIMEOUT_S,
            trust_env=False,  # a proxy from the environment is not for calls among our own services
        )

    async def counters(self) -> RewardsCounters:
        """Ask what has been applied and what waits. Raises ``httpx.HTTPError``."""
        response = await self._http.get("/v1/internal/counters")
        response.raise_for_status()
        return RewardsCounters.model_validate_json(response.content)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
