"""The client of the rewards service, and the messages of its HTTP routes."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from launchday.resilience.http_client import NoAnswerError, ServiceClient
from rewards.errors import RewardsUnavailableError

PATIENCE_S = 10.0


class LogGap(BaseModel):
    """A place where a log did not go on where its consumer had read to."""

    model_config = ConfigDict(frozen=True)

    topic: str
    partition: int
    finding: str = Field(description="cut, replaced or truncated.")
    from_offset: int = Field(description="The first offset that was not read; of the old log, if replaced.")
    to_offset: int = Field(description="Where reading went on.")
    missing: int | None = Field(description="Records that nobody can read any more; null: nobody knows.")
    noticed_at: float = Field(description="Unix seconds.")


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
    newer_waiting: int = Field(
        default=0, description="Events that are newer than the program, kept for one that knows them."
    )
    analytics_newer_waiting: int | None = Field(
        default=None, description="As above, of analytics, where it writes beside this service."
    )
    spooled_newer_waiting: int = Field(
        default=0, description="As above, in spools of game servers that lie beside this service."
    )
    lag_seconds: float = Field(
        default=0.0, description="Age of the oldest record that waits in the partitions of who answers."
    )
    gaps: int = Field(default=0, description="Gaps that were found in the logs.")
    missing_records: int = Field(default=0, description="Records missing in them, as far as anybody knows.")
    unknown_gaps: int = Field(default=0, description="Gaps of which nobody knows how many are missing.")
    newest_gaps: list[LogGap] = Field(default=[], description="The newest gaps, the newest first.")
    analytics_gaps: int | None = Field(
        default=None, description="Those of analytics, where it writes beside this service."
    )
    analytics_missing_records: int | None = Field(default=None, description="As above, of analytics.")
    analytics_unknown_gaps: int | None = Field(default=None, description="As above, of analytics.")


class RewardsClient:
    """Calls a running rewards service.

    Args:
        base_url: of the service, such as ``http://127.0.0.1:8400``.
        token: a service token.
    """

    def __init__(self, base_url: str, token: str) -> None:
        self._http = ServiceClient(base_url, token=token, patience_s=PATIENCE_S)

    async def counters(self) -> RewardsCounters:
        """Ask what has been applied and what waits. Raises RewardsUnavailableError."""
        try:
            response = await self._http.request("GET", "/v1/internal/counters")
        except NoAnswerError as error:
            raise RewardsUnavailableError(str(error)) from error
        if not response.is_success:
            raise RewardsUnavailableError(f"{response.url} answered HTTP {response.status_code}")
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
