"""What a backend had counted before a run: kept in the file of a part, to be subtracted at its merge."""

from __future__ import annotations

from typing import Any

import msgspec

from loadtest.flood.counters import RequestCounts

TARGET = "target"  # stands for the services of a target that counts by itself


class LogPosition(msgspec.Struct, frozen=True):
    """Where the end of one log of events was when a part began.

    Attributes:
        topic_id: hexadecimal; "" where the broker has none.
    """

    topic: str
    partition: int
    offset: int
    topic_id: str = ""
    epoch: int = -1


class Before(msgspec.Struct, frozen=True):
    """What the backend had counted before the part's first player came.

    Attributes:
        counters: by service; of a foreign target under the name "target". Empty where nothing can be counted.
        requests: that the services had counted.
        positions: of the logs of events; empty where there are none.
    """

    counters: dict[str, dict[str, Any]] = {}
    requests: RequestCounts = msgspec.field(default_factory=RequestCounts)
    positions: list[LogPosition] = []
