"""The counters: what became of every ticket, kept in the cache by the scripts that change tickets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from launchday.percentiles import log_bucket_percentile
from matchmaker.messages import LatencyPercentiles, MatchmakerCounters, WaitPercentiles
from matchmaker.queue.scripts import KEYS, Scripts

COUNTED = (
    "queued",
    "matched",
    "cancelled",
    "expired",
    "failed",
    "matches",
    "requeued",
    "reclaimed",
    "abandoned",
    "backdated",
    "backfilled",
    "silent",
    "logged_out",
    "party_changed",
    "in_match",
)
GIVEN_UP = "given_up:"  # + reason: matches, counted by withdraw_match.lua


async def read_counters(scripts: Scripts, modes: Sequence[str]) -> MatchmakerCounters:
    """Read the counters of one instant. Raises the cache's errors."""
    counters, wait, latency, live = await scripts.read_counters(
        list(modes), keys=[KEYS["live"] + mode for mode in modes]
    )
    count = {name.decode(): value for name, value in _pairs(counters)}
    wait_buckets = {int(bucket): int(tickets) for bucket, tickets in _pairs(wait)}
    latency_buckets = {int(bucket): int(tickets) for bucket, tickets in _pairs(latency)}
    return MatchmakerCounters(
        **{name: int(count.get(name, 0)) for name in COUNTED},
        given_up={
            name.removeprefix(GIVEN_UP): int(matches)
            for name, matches in sorted(count.items())
            if name.startswith(GIVEN_UP)
        },
        searching=int(live),
        wait_s=WaitPercentiles(
            p50=log_bucket_percentile(wait_buckets, 0.50),
            p95=log_bucket_percentile(wait_buckets, 0.95),
            max=float(count.get("wait_max_s", 0)),
        ),
        latency_ms=LatencyPercentiles(
            p50=log_bucket_percentile(latency_buckets, 0.50),
            p95=log_bucket_percentile(latency_buckets, 0.95),
        ),
    )


def _pairs(flat: list[Any]) -> zip[tuple[Any, Any]]:
    return zip(flat[::2], flat[1::2], strict=True)
