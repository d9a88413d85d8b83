"""The books: what became of every ticket, kept in the cache by the scripts that change tickets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, Field

from launchday.percentiles import log_bucket_percentile
from matchmaker.queue.scripts import Scripts


class WaitPercentiles(BaseModel):
    """Seconds from a ticket's creation to its assignment."""

    p50: float
    p95: float
    max: float


class LatencyPercentiles(BaseModel):
    """Round trips of players to the region of their match, in milliseconds."""

    p50: float
    p95: float


class MatchmakerCounters(BaseModel):
    """Counts since the cache was empty. At every instant queued = matched + cancelled + expired + failed + searching.

    ``searching`` is counted from the live tickets themselves, not derived from the others.
    """

    queued: int
    matched: int
    cancelled: int
    expired: int
    failed: int
    searching: int = Field(
        description="Tickets without an end, those whose match waits for a server included."
    )
    matches: int
    requeued: int = Field(
        0,
        description="Of queued: tickets made because a match was lost, as old as the ones before. Their waits count from when those were made.",
    )
    reclaimed: int = Field(0, description="Of requeued: tickets whose players came back for them.")
    abandoned: int = Field(0, description="Of requeued: tickets that ended before their players came back.")
    backdated: int = Field(
        0, description="Tickets of players of lost matches who had queued again by themselves."
    )
    backfilled: int = Field(description="Of those matched, into running matches.")
    wait_s: WaitPercentiles
    latency_ms: LatencyPercentiles


async def read_counters(scripts: Scripts, modes: Sequence[str]) -> MatchmakerCounters:
    """Read the books of one instant."""
    counters, wait, latency, live = await scripts.read_counters(list(modes))
    count = {name.decode(): value for name, value in _pairs(counters)}
    wait_buckets = {int(bucket): int(tickets) for bucket, tickets in _pairs(wait)}
    latency_buckets = {int(bucket): int(tickets) for bucket, tickets in _pairs(latency)}
    return MatchmakerCounters(
        queued=int(count.get("queued", 0)),
        matched=int(count.get("matched", 0)),
        cancelled=int(count.get("cancelled", 0)),
        expired=int(count.get("expired", 0)),
        failed=int(count.get("failed", 0)),
        searching=int(live),
        matches=int(count.get("matches", 0)),
        requeued=int(count.get("requeued", 0)),
        reclaimed=int(count.get("resumed", 0)),
        abandoned=int(count.get("unclaimed", 0)),
        backdated=int(count.get("aged", 0)),
        backfilled=int(count.get("backfilled", 0)),
        wait_s=WaitPercentiles(
            p50=log_bucket_percentile(wait_buckets, 0.50),
            p95=log_bucket_percentile(wait_buckets, 0.95),
            max=float(count.get("wait_max_s", 0)),
        ),
        latency_ms=LatencyPercentiles(
            p50=log_bucket_percentile(latency_buckets, 0.50), p95=log_bucket_percentile(latency_buckets, 0.95)
        ),
    )


def _pairs(flat: list[Any]) -> zip[tuple[Any, Any]]:
    return zip(flat[::2], flat[1::2], strict=True)
