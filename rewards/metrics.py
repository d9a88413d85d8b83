"""The Prometheus metrics of rewards and of the analytics writer."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from rewards.events.logs.gaps import Gap

EVENTS_APPLIED = Counter("rewards_events_applied_total", "Events that had their effect, by kind.", ["kind"])
DUPLICATES = Counter("rewards_duplicates_total", "Events that were delivered again and had no effect.")
DEAD_LETTERS = Counter("rewards_dead_letters_total", "Bad records written to the dead-letter topic.")
ANALYTICS_WRONG_CLOCKS = Counter(
    "analytics_wrong_clocks_total", "Events that are left out because their producer's clock is wrong."
)
WRONG_CLOCKS = Counter(
    "rewards_wrong_clocks_total", "Events that are dead letters because their producer's clock is wrong."
)
NEWER_EVENTS = Counter(
    "rewards_newer_events_total",
    "Events newer than the program: kept for one that knows them, or taken up by this one.",
    ["outcome"],
)
NEWER_WAITING = Gauge(
    "rewards_newer_events_waiting", "Events that wait in the store for a program that knows more."
)
OUTBOX_NEWER_WAITING = Gauge(
    "rewards_outbox_newer_rows_waiting", "Rows of outboxes that wait for a program that knows more."
)
BATCH_RECORDS = Histogram(
    "rewards_batch_records",
    "Records applied in one transaction.",
    buckets=(1, 5, 20, 50, 100, 200, 500, 1000, 2000),
)
APPLY_SECONDS = Histogram(
    "rewards_apply_seconds",
    "Seconds a transaction took.",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0),
)
REBALANCES = Counter(
    "events_rebalances_total", "Times that the group gave this consumer its partitions anew.", ["consumer"]
)
LAG = Gauge("rewards_lag_records", "Records that wait in this consumer's partitions.")
LAG_SECONDS = Gauge(
    "events_lag_seconds", "Age of the oldest record that waits in this consumer's partitions.", ["consumer"]
)
RETENTION_SECONDS = Gauge(
    "events_retention_seconds", "How long the topics that it reads keep a record, the shortest.", ["consumer"]
)
LOG_GAPS = Counter(
    "events_log_gaps_total",
    "Places where a log had been cut, truncated or made anew.",
    ["consumer", "topic", "partition", "finding"],
)
MISSING_RECORDS = Counter(
    "events_missing_records_total",
    "Records that a log no longer had when they were to be read, as far as anybody knows.",
    ["consumer", "topic", "partition"],
)
AGE_SECONDS = Gauge("rewards_event_age_seconds", "Age of the newest event when it was applied.")
STORE_UP = Gauge("rewards_store_up", "1 while the store answers.")
OUTAGES = Counter(
    "rewards_outages_total", "Times that consuming paused because an engine did not answer.", ["engine"]
)
CACHE_BEHIND = Gauge("rewards_cache_players_behind", "Players whose progress the cache does not have yet.")
ANALYTICS_EVENTS = Counter("analytics_events_total", "Events written to Parquet files.")
ANALYTICS_DUPLICATES = Counter("analytics_duplicates_total", "Events that the files had already.")
ANALYTICS_NEWER_WAITING = Gauge(
    "analytics_newer_events_waiting", "Events kept whole in the folder for a program that knows more."
)


def count_gap(consumer: str, gap: Gap) -> None:
    """Count a gap, and what is known to be missing."""
    LOG_GAPS.labels(consumer, gap.topic, str(gap.partition), gap.finding.value).inc()
    MISSING_RECORDS.labels(consumer, gap.topic, str(gap.partition)).inc(gap.missing or 0)
