"""The Prometheus metrics of rewards and of the analytics writer."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

EVENTS_APPLIED = Counter("rewards_events_applied_total", "Events that had their effect, by kind.", ["kind"])
DUPLICATES = Counter("rewards_duplicates_total", "Events that were delivered again and had no effect.")
DEAD_LETTERS = Counter("rewards_dead_letters_total", "Bad records written to the dead-letter topic.")
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
LAG = Gauge("rewards_lag_records", "Records that wait in this consumer's partitions.")
AGE_SECONDS = Gauge("rewards_event_age_seconds", "Age of the newest event when it was applied.")
STORE_UP = Gauge("rewards_store_up", "1 while the store answers.")
OUTAGES = Counter(
    "rewards_outages_total", "Times that consuming paused because an engine did not answer.", ["engine"]
)
CACHE_BEHIND = Gauge("rewards_cache_players_behind", "Players whose progress the cache does not have yet.")
ANALYTICS_EVENTS = Counter("analytics_events_total", "Events written to Parquet files.")
ANALYTICS_DUPLICATES = Counter("analytics_duplicates_total", "Events that the files had already.")
