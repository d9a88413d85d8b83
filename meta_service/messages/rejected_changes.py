"""Messages about changes that the store could not take."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from meta_service.messages.base import END, Message

MAX_RESENT = 500

# Of a stream: two numbers below 2⁶⁴; behind a point the partition, where it is not the home one.
EntryId = Annotated[
    str,
    Meta(pattern=rf"^[0-9]{{1,19}}-[0-9]{{1,19}}(\.[0-9]{{1,3}})?{END}", examples=["1796083200000-0"]),
]


class RejectedEntry(Message, frozen=True):
    """A change that was set aside."""

    entry: EntryId
    rejected_at: Annotated[float, Meta(description="Unix seconds, the cache's clock.")]
    accepted_at: Annotated[float, Meta(description="When its player was told that it counts.")]
    reason: Annotated[str, Meta(description="What the store said.")]
    newer: Annotated[
        bool, Meta(description="Only its kind is not known: a worker that knows it takes it back by itself.")
    ]
    changes: Annotated[dict[str, str], Meta(description="What was to be stored: JSON texts by kind.")]


class RejectedChanges(Message, frozen=True):
    """Changes that were set aside, the newest first."""

    rejected: list[RejectedEntry]


class ResendRequest(Message, frozen=True):
    """Which changes to send again."""

    entries: Annotated[list[EntryId], Meta(min_length=1, max_length=MAX_RESENT)]


class ResendResponse(Message, frozen=True):
    """Which changes wait for the store again; the others were not there (any more)."""

    resent: list[EntryId]
