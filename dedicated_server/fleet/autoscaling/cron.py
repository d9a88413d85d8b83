"""Cron expressions: five fields, as crontab(5) has them, asked whether they cover a moment.

Minute, hour, day of the month, month, day of the week (0 and 7 are Sunday); ``*``, ``a-b``, ``*/n``, ``a-b/n``, lists, and the names of
months and days. As in crontab(5) a day matches when either of the two day fields does, unless one of them is ``*``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
FIELDS: tuple[tuple[str, int, int, tuple[str, ...], int], ...] = (
    ("minute", 0, 59, (), 0),
    ("hour", 0, 23, (), 0),
    ("day of the month", 1, 31, (), 0),
    ("month", 1, 12, MONTHS, 1),
    ("day of the week", 0, 7, DAYS, 0),
)
LONGEST_LOOK = timedelta(days=366)


class CronError(ValueError):
    """Raised when an expression is not cron's; the message says which field and what it may be."""


@dataclass(frozen=True, slots=True)
class Cron:
    """A parsed expression."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool

    def matches(self, moment: datetime) -> bool:
        """Whether it fires in the minute of ``moment``."""
        return moment.minute in self.minutes and moment.hour in self.hours and self._is_day(moment)

    def last_before(self, moment: datetime, within: timedelta) -> datetime | None:
        """The last minute it fired in at or before ``moment``, less than ``within`` ago; None if it did not."""
        earliest = moment - min(within, LONGEST_LOOK)
        at = moment.replace(second=0, microsecond=0)
        while at > earliest:
            if not self._is_day(
                at
            ):  # a day at a time, then an hour: a year is looked through in a millisecond
                at = at.replace(hour=0, minute=0) - timedelta(minutes=1)
            elif at.hour not in self.hours:
                at = at.replace(minute=0) - timedelta(minutes=1)
            elif at.minute not in self.minutes:
                at -= timedelta(minutes=1)
            else:
                return at
        return None

    def _is_day(self, moment: datetime) -> bool:
        if moment.month not in self.months:
            return False
        of_month, of_week = moment.day in self.days, moment.isoweekday() % 7 in self.weekdays
        return of_month or of_week if self.either_day else of_month and of_week


def parse(expression: str) -> Cron:
    """Read an expression; raises CronError."""
    fields = expression.lower().split()
    if len(fields) != len(FIELDS):
        raise CronError(f"{expression!r:.60} has {len(fields)} fields: cron has five, such as 0 18 * * fri")
    sets = [_parse_field(text, *FIELDS[at]) for at, text in enumerate(fields)]
    weekdays = frozenset(day % 7 for day in sets[4])
    return Cron(
        sets[0], sets[1], sets[2], sets[3], weekdays, either_day="*" not in (fields[2][0], fields[4][0])
    )


def _parse_field(
    text: str, name: str, least: int, most: int, names: tuple[str, ...], first_name: int
) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        span, slash, step_text = part.partition("/")
        step = _number(step_text, name, 1, most, ()) if slash else 1
        if span == "*":
            low, high = least, most
        elif "-" in span:
            low, high = (_number(end, name, least, most, names, first_name) for end in span.split("-", 1))
        else:
            low = _number(span, name, least, most, names, first_name)
            high = most if slash else low
        if high < low:
            raise CronError(f"{part!r:.40} in the {name} runs backwards")
        found.update(range(low, high + 1, step))
    return frozenset(found)


def _number(text: str, name: str, least: int, most: int, names: tuple[str, ...], first_name: int = 0) -> int:
    if text in names:
        return names.index(text) + first_name
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and least <= int(text) <= most):
        raise CronError(f"{text!r:.40} in the {name} is not a number from {least} to {most}")
    return int(text)
