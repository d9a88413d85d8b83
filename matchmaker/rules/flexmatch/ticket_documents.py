"""Where the tickets of a document stand, and since when they wait.

Read are an array of tickets, the request of StartMatchmaking or StartMatchBackfill, what either answers, and
what DescribeMatchmaking answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from matchmaker.rules.flexmatch.document import Value

TICKET = (
    "TicketId", "StartTime", "Players",
    # Of requests and answers, read over:
    "ConfigurationName", "ConfigurationArn", "Status", "StatusReason", "StatusMessage", "EndTime",
    "EstimatedWaitTime", "GameSessionConnectionInfo", "GameSessionArn",
)  # fmt: skip
WAITING = ("QUEUED", "SEARCHING", "REQUIRES_ACCEPTANCE")
# A ticket that is being placed has been matched; its players' Team says where.
OVER = ("PLACING", "COMPLETED", "CANCELLED", "FAILED", "TIMED_OUT")
_LISTS = ("TicketList", "MatchmakingTicket")
_AROUND = ("ResponseMetadata", "NextToken")  # what clients of the API put beside


def tickets_in(document: Value) -> Iterator[Value]:
    """The tickets of a document that still wait, each checked to be an object of known members."""
    for item in _all_in(document):
        if not item.as_object(TICKET, ("TicketId", "Players")):
            continue
        status = item.get("Status")
        if status is None or status.as_choice(WAITING + OVER) not in OVER:
            yield item


def start_time(value: Value) -> float | None:
    """A start time in seconds: a number, or a time of ISO 8601, in which no zone is UTC."""
    if not isinstance(value.raw, str) or _is_number(value.raw):
        return value.as_number()
    try:
        return _seconds(value.raw)
    except (ValueError, OverflowError):
        value.add_mistake("must be seconds or a time such as 2026-11-30T20:00:00Z")
        return None


def _all_in(document: Value) -> Iterator[Value]:
    if not isinstance(document.raw, dict):
        yield from document.items()
    elif any(name in document.raw for name in _LISTS):
        if document.as_object(_LISTS + _AROUND):
            if (several := document.get("TicketList")) is not None:
                yield from several.items()
            if (one := document.get("MatchmakingTicket")) is not None:
                yield one
    elif "Players" in document.raw:
        yield document
    else:
        document.add_mistake("must be an array of tickets, or what DescribeMatchmaking answers: a TicketList")


def _is_number(text: str) -> bool:
    return text.strip().lstrip("+-").replace(".", "", 1).isdecimal()


def _seconds(text: str) -> float:
    read = datetime.fromisoformat(text.strip())
    return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()
