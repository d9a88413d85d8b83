"""Events whose time cannot be right: their producer's clock is wrong by days.

An event says when it happened, and a broker that stamps records says when each arrived. Between the two lies
what a spool takes to be sent, hours or days; nothing explains an event of next year. Such an event would open
a day's challenges ahead of time and stand in a folder of its own in the lake, and its id would be remembered
for another time than its record is kept. So it is a dead letter, with its producer's name and the time of its
arrival, at which it can be sent again. A clock that is off by a minute, or by an hour, harms nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from launchday.clock import Clock
from launchday.settings import Settings
from rewards.events import Envelope
from rewards.records import BadRecord, RawRecord

UNSTAMPED_S = 366 * 86_400.0
"""What is let pass at least where the broker does not stamp records, as the embedded one: there an event is
compared with the time at which it is read, which may be weeks after its arrival."""

Judge = Callable[[RawRecord, Envelope], BadRecord | None]
"""Says what is wrong with an event's time; None: nothing."""


@dataclass(frozen=True, slots=True)
class ArrivalCheck:
    """A `Judge` of how far an event's time may be from its arrival.

    Attributes:
        max_ahead_s, max_behind_s: how far, in seconds.
        clock: its wall time stands for the arrival where the broker does not tell it.
    """

    max_ahead_s: float
    max_behind_s: float
    clock: Clock

    @classmethod
    def of(cls, settings: Settings, clock: Clock) -> ArrivalCheck:
        """The check that the settings ask for."""
        return cls(settings.event_max_ahead_s, settings.event_max_behind_s, clock)

    def __call__(self, raw: RawRecord, envelope: Envelope) -> BadRecord | None:
        """Judge one event."""
        if raw.is_stamped:
            arrived_s, slack_s = raw.timestamp_ms / 1000, 0.0
        else:
            arrived_s, slack_s = self.clock.wall(), UNSTAMPED_S
        ahead_s = envelope.occurred_at - arrived_s
        if -max(self.max_behind_s, slack_s) <= ahead_s <= max(self.max_ahead_s, slack_s):
            return None
        producer = envelope.producer or "its producer"
        way = "ahead of" if ahead_s > 0 else "behind"
        return BadRecord(
            raw,
            f"occurred_at is {abs(ahead_s) / 86_400:,.1f} days {way} the record's arrival: set the clock of "
            f"{producer}",
            producer=producer,
            arrived_s=arrived_s,
        )
