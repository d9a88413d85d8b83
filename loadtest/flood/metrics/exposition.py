"""Reads Prometheus text into numbers by name; what is no such text is an error of one line."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from loadtest.errors import MetricsError

MAX_BYTES = 4_000_000  # of one answer; a process that tells more than this is asked for less
MAX_NAMES = 5_000  # of one answer; whatever comes after them is not looked at
MAX_NAME_LENGTH = 200
# A histogram's buckets are most of its text, and its rate and mean need none of them.
NOT_READ = ("_bucket", "_created")


class Reading(NamedTuple):
    """One number of a process at one moment.

    Attributes:
        value: finite.
        counts: whether it only grows, so that its growth is what says something.
    """

    value: float
    counts: bool


def read_exposition(text: str) -> dict[str, Reading]:
    """Read what a process tells of itself.

    Args:
        text: in Prometheus' text format, version 0.0.4.

    Returns:
        Readings by the sample's name with its labels in order, such as ``requests_total{status="200"}``.
        Without buckets of histograms, times of creation, and what is not finite.

    Raises:
        MetricsError: the text is not of that format.
    """
    kept = "\n".join(line for line in text.splitlines() if not _is_bucket(line))
    found: dict[str, Reading] = {}
    try:
        for family in text_string_to_metric_families(kept + "\n"):
            for name, reading in _of_family(family):
                if len(found) >= MAX_NAMES:
                    return found
                found[name] = reading
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise MetricsError(f"not Prometheus text: {str(error)[:100] or type(error).__name__}") from error
    return found


def _is_bucket(line: str) -> bool:
    name = line.partition("{")[0].rstrip()
    return name.endswith("_bucket")


def _of_family(family: Metric) -> Iterator[tuple[str, Reading]]:
    for sample in family.samples:
        value = float(sample.value)
        if sample.name.endswith(NOT_READ) or not math.isfinite(value):
            continue
        yield _full_name(sample.name, sample.labels), Reading(value, _counts(family.type, sample.name))


def _counts(kind: str, name: str) -> bool:
    if kind in ("histogram", "summary"):
        return name.endswith(("_count", "_sum"))
    return kind == "counter" or (kind in ("unknown", "untyped") and name.endswith("_total"))


def _full_name(name: str, labels: dict[str, str]) -> str:
    if labels:
        inside = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
        name = f"{name}{{{inside}}}"
    return name if len(name) <= MAX_NAME_LENGTH else f"{name[: MAX_NAME_LENGTH - 1]}…"
