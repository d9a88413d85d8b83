"""Idempotency keys in days: kept for `Settings.idempotency_days` after the day in which they were claimed."""

from __future__ import annotations

from launchday.resilience.day_partitions import DayTable


def idempotency(days_kept: int) -> DayTable:
    """The keys. In their rest lie those from before there were days."""
    return DayTable(
        "idempotency",
        begins=lambda day: f"'{day}'",
        outlives=lambda day: f"claimed_on >= '{day}'",
        days_kept=days_kept,
        key="owner, key",
        sought_by="claimed_on",
    )
