"""The errors of this package.

EventsError
├── BadEventError      a record that is not an event of ours
├── SpoolDamagedError  a spool file whose tail cannot be trusted
└── BusUnavailableError  Kafka cannot be reached or does not do what it was asked
"""

from __future__ import annotations

from collections.abc import Sequence


class EventsError(Exception):
    """Base of the errors of events."""


class BadEventError(EventsError):
    """Raised when bytes are not a valid event. The message is the reason, for the dead letter; retrying never helps."""


class SpoolDamagedError(EventsError):
    """Raised when a spool file is damaged. ``intact`` holds the events before the damage, which are good."""

    def __init__(self, reason: str, intact: Sequence[bytes]) -> None:
        super().__init__(reason)
        self.intact = tuple(intact)


class BusUnavailableError(EventsError):
    """Raised when the broker is away or refuses. The caller may try again."""
