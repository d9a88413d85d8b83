"""Times as files have them: with an offset, in a zone that the file names, or else in UTC.

The zone of the machine decides nothing: the same file is the same moments everywhere.
"""

from __future__ import annotations

import difflib
import functools
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo, available_timezones

from launchday.errors import LaunchdayError

OF_THE_MACHINE = {"localtime", "Factory"}  # names that some systems have, of a zone that is no place's


class LocalTimeError(LaunchdayError, ValueError):
    """Raised for a zone that is not known, and for an hour that a zone does not have. Correct what is named.

    It is a ValueError too, so that pydantic reports it with its place in the file.
    """


class UnreadableTimeError(LocalTimeError):
    """Raised for a text that is no date and no time of ISO 8601. Write it as the text says."""


def zone(name: str) -> tzinfo:
    """Return the zone of a name of the IANA's, such as ``Europe/Berlin``. Raises LocalTimeError."""
    if name == "UTC":
        return UTC
    try:
        if name in OF_THE_MACHINE:
            raise KeyError(name)
        return ZoneInfo(name)
    except (LookupError, OSError, ValueError, TypeError):  # unknown, a folder, or no name at all
        known = _names()
    if not known:
        raise LocalTimeError(
            f"this machine knows no zone but UTC, so {name!r:.60} cannot be used: install tzdata "
            "(pip install tzdata, or apt install tzdata)"
        )
    near = difflib.get_close_matches(str(name), known, 3)
    say = f"did you mean {' or '.join(near)}" if near else "name one such as Europe/Paris"
    raise LocalTimeError(f"there is no time zone {name!r:.60}: {say}")


@functools.cache
def _names() -> frozenset[str]:
    """The names of all zones; they are files in folders, so it takes some milliseconds."""
    return frozenset(available_timezones() - OF_THE_MACHINE)


def moment(text: str, local: tzinfo = UTC, after_s: float | None = None) -> float:
    """Return the moment that a date, or a time of ISO 8601, names, in Unix seconds.

    Args:
        text: what has no offset is of the zone ``local``; a date is its first moment.
        local: of `zone`.
        after_s: Unix seconds. Of an hour that the clock shows twice it is the first time that is later.

    Raises:
        UnreadableTimeError: it is no such text.
        LocalTimeError: it is a time that the zone's clocks skip.
    """
    try:
        read = datetime.fromisoformat(text)
        if read.tzinfo is not None:
            return read.timestamp()
        if local is UTC:
            return read.replace(tzinfo=UTC).timestamp()
        first, second = (read.replace(tzinfo=local, fold=fold).timestamp() for fold in (0, 1))
        shown = datetime.fromtimestamp(first, local).replace(tzinfo=None, fold=0)
    except (TypeError, ValueError, OverflowError) as error:
        raise UnreadableTimeError(f"{text!r:.60} is no time: write it like 2026-03-29T18:00:00") from error
    if shown != read and ":" in text:
        raise LocalTimeError(
            f"{text} does not exist in {local}, whose clocks are put forward over it: "
            "correct it, or write it with its offset"
        )
    return second if after_s is not None and first <= after_s < second else first
