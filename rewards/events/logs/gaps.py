"""A gap: a place where what a consumer read of a log does not follow on what it had read before."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog

from rewards.events.logs.verdict import Finding
from rewards.lake_manifest import MANIFEST, read_manifest

log = structlog.get_logger()

_TOLD = {
    Finding.CUT: "events_log_cut",
    Finding.REPLACED: "events_log_replaced",
    Finding.TRUNCATED: "events_log_truncated",
}


@dataclass(frozen=True, slots=True)
class Gap:
    """One gap in one partition.

    Attributes:
        finding: what became of the log; never SAME.
        from_offset: the first offset that was not read, of the old log where there is another one.
        to_offset: where reading goes on.
        missing: records that nobody can read any more; None where nobody knows.
        topic_id: of the log that is there now.
    """

    topic: str
    partition: int
    finding: Finding
    from_offset: int
    to_offset: int
    missing: int | None
    topic_id: UUID | None = None

    def as_json(self) -> dict[str, Any]:
        """The gap as commands and routes show it."""
        return {
            "topic": self.topic,
            "partition": self.partition,
            "finding": self.finding.value,
            "from": self.from_offset,
            "to": self.to_offset,
            "missing": self.missing,
        }


def tell(consumer: str, gap: Gap) -> None:
    """Write one line about a gap: an error where records are missing, or may be; else a warning."""
    write = log.warning if gap.missing == 0 else log.error
    write(
        _TOLD[gap.finding],
        consumer=consumer,
        topic=gap.topic,
        partition=gap.partition,
        from_offset=gap.from_offset,
        to_offset=gap.to_offset,
        missing="unknown" if gap.missing is None else gap.missing,
    )


def gaps_of_lake(folder: Path) -> list[dict[str, Any]] | None:
    """The gaps that the writer of a folder of Parquet files has found, the oldest first.

    Each as `Gap.as_json`, with ``noticed_at`` in Unix seconds; None where there is no such folder. They are
    in its manifest, and Arrow is not needed for it.
    """
    gaps = (read_manifest(folder / MANIFEST) or {}).get("gaps")
    return gaps if isinstance(gaps, list) else None
