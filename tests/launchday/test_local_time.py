from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime

import pytest

from launchday import local_time
from launchday.local_time import LocalTimeError, moment, zone


def utc(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize("machine", ["UTC", "Europe/Berlin", "America/Los_Angeles", "Asia/Kathmandu"])
def test_a_time_without_a_zone_is_utc_wherever_the_machine_is(
    machine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", machine)
    assert moment("2026-03-29T02:30:00") == utc("2026-03-29T02:30:00")
    assert moment("2026-03-29T02:30:00+02:00") == utc("2026-03-29T00:30:00")
    assert moment("2026-03-29", zone("Europe/Berlin")) == utc("2026-03-28T23:00:00")


def test_the_two_hours_of_the_night_in_october_are_told_apart_by_order() -> None:
    berlin, after_s, found = zone("Europe/Berlin"), None, []
    for text in ("01:30", "02:00", "02:30", "02:00", "02:30", "03:00"):
        after_s = moment(f"2026-10-25T{text}:00", berlin, after_s)
        found.append(after_s - utc("2026-10-24T23:30:00"))
    assert found == [0.0, 1800.0, 3600.0, 5400.0, 7200.0, 9000.0]


@pytest.mark.parametrize(
    ("text", "of", "says"),
    [
        ("2026-03-29T02:30:00", "Europe/Berlin", "2026-03-29T02:30:00 does not exist in Europe/Berlin"),
        ("2026-03-08 02:00", "America/New_York", "does not exist in America/New_York"),
        ("soon [/b]", "UTC", r"'soon \[/b\]' is no time"),
        ("2026-13-01T00:00:00", "UTC", "is no time"),
    ],
)
def test_an_hour_that_a_clock_skips_and_what_is_no_time_are_refused(text: str, of: str, says: str) -> None:
    with pytest.raises(LocalTimeError, match=says):
        moment(text, zone(of))


def test_a_day_begins_where_its_midnight_is_skipped() -> None:
    cairo = zone("Africa/Cairo")
    assert moment("2024-04-26", cairo) - moment("2024-04-25", cairo) == 86_400.0


@pytest.mark.parametrize("name", ["Europe/Berln", "localtime", "../../etc/passwd", "Europe", "", "[/b]"])
def test_an_unknown_zone_is_one_line_with_names_that_are_near(name: str) -> None:
    with pytest.raises(LocalTimeError, match="there is no time zone") as refused:
        zone(name)
    assert name != "Europe/Berln" or "Europe/Berlin" in str(refused.value)


def test_a_machine_without_zones_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(name: str) -> None:
        raise zoneinfo.ZoneInfoNotFoundError(name)

    monkeypatch.setattr(local_time, "ZoneInfo", nothing)
    monkeypatch.setattr(local_time, "_names", frozenset)
    assert zone("UTC") is UTC
    with pytest.raises(LocalTimeError, match="install tzdata"):
        zone("Europe/Berlin")
