"""The table of seasons: what its times mean, whatever a clock does that night, and how mistakes are told."""

from __future__ import annotations

import math
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from launchday import seasons
from launchday.seasons import Seasons, SeasonsError, moment

LOS_ANGELES = ZoneInfo("America/Los_Angeles")
SEASON = "{name: %s, title: S, starts: %s, ends: %s, tiers: [{xp: 5, reward: r}]}"


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2027-01-01T00:00:00+01:00", "2026-12-31T23:00:00+00:00"),
        ("2027-01-01T10:00-08:00", "2027-01-01T18:00:00+00:00"),
        ("2027-01-01 10:00:00 -8", "2027-01-01T18:00:00+00:00"),
        ("2027-01-01T10:00:00Z", "2027-01-01T10:00:00+00:00"),
        ("2027-01-01T05:30 +0530", "2027-01-01T00:00:00+00:00"),
        ("2027-01-01", "2027-01-01T08:00:00+00:00"),
        ("2026-12-31T24:00", "2027-01-01T08:00:00+00:00"),
        ("2027-07-01", "2027-07-01T07:00:00+00:00"),
        ("2027-01-01T10:00:00.250", "2027-01-01T18:00:00.250000+00:00"),
        # the night in which 2:00 is 3:00
        ("2027-03-14T01:59:59.999", "2027-03-14T09:59:59.999000+00:00"),
        ("2027-03-14T02:30", "2027-03-14T10:30:00+00:00"),
        ("2027-03-14T03:30", "2027-03-14T10:30:00+00:00"),
        ("2027-03-15", "2027-03-15T07:00:00+00:00"),
        # the night that has 1:30 twice
        ("2026-11-01T01:30", "2026-11-01T08:30:00+00:00"),
        ("2026-11-01T01:30-07:00", "2026-11-01T08:30:00+00:00"),
        ("2026-11-01T01:30-08:00", "2026-11-01T09:30:00+00:00"),
        ("2026-11-01T02:00", "2026-11-01T10:00:00+00:00"),
    ],
)
def test_a_time_is_of_its_offset_or_of_the_zone(text: str, utc: str) -> None:
    assert moment(text, LOS_ANGELES).isoformat() == utc


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("soon", "must be a date or a time"),
        ("2026-13-01", "no such time: month"),
        ("2027-02-29", "no such time: day"),
        ("2026-12-31T23:59:60", "no such time: second"),
        ("2026-01-01T10:00+24:00", "less than a day"),
        ("2026-01-01T10:00:00.0005", "to the millisecond"),
        (12, "must be a date or a time"),
        (None, "must be a date or a time"),
    ],
)
def test_what_is_no_time_is_told(text: object, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        moment(text, LOS_ANGELES)


def table(tmp_path: Path, *entries: str) -> Path:
    path = tmp_path / "own.yaml"
    path.write_text(f"seasons: [{', '.join(entries)}]")
    return path


def test_seasons_meet_to_the_millisecond(tmp_path: Path) -> None:
    made = seasons.load(
        table(
            tmp_path,
            SEASON % ("late", "2026-11-01T01:30-08:00", "2026-11-01T01:45-08:00"),
            SEASON % ("early, zone: America/Los_Angeles", "2026-10-01", "2026-11-01T01:30-08:00"),
        )
    )
    boundary = moment("2026-11-01T09:30Z", LOS_ANGELES).timestamp()
    for at_s, name in (
        (boundary - 0.001, "early"),
        (math.nextafter(boundary, 0), "early"),
        (boundary, "late"),
        (boundary + 899.999, "late"),
        (boundary + 900, None),
    ):
        assert made.at(at_s) == name
    assert made.newest(boundary + 86_400) == "late"
    assert made.newest(0.0) is None
    assert ("early" in made, "never" in made) == (True, False)


def test_all_mistakes_are_told_at_once_with_their_place(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        SEASON % ("a, zone: Mars/Base", "2026-13-01", "soon"),
        "{name: b, title: B, start: 2026-01-01, ends: 2026-01-01, tiers: []}",
        SEASON % ("c", "2026-02-01", "2026-04-01"),
        SEASON % ("d", "2026-03-31T23:59:59.999", "2026-05-01"),
        SEASON % ("d", "2027-01-01", "2026-12-31"),
        SEASON % ("c", "2028-01-01", "2028-02-01"),
        "seven",
    )
    with pytest.raises(SeasonsError) as told:
        seasons.load(path)
    lines = str(told.value).splitlines()
    assert all(line.startswith(f"{path}: seasons.") for line in lines)
    for place, what in (
        ("0.zone", "no time zone 'Mars/Base'"),
        ("0.starts", "no such time"),
        ("0.ends", "must be a date or a time"),
        ("1.starts", "required"),
        ("1.start", "not permitted"),
        ("1.tiers", "at least 1"),
        ("3", "the seasons c and d overlap"),
        ("4.ends", "end after it starts"),
        ("5", "two seasons called c"),
        ("6", "dictionary"),
    ):
        assert any(f": seasons.{place}: " in line and what in line for line in lines), (place, lines)
    assert len(lines) == 10


@pytest.mark.parametrize("text", ["", "seasons: 7", "season: []", "seasons: ["])
def test_a_file_that_is_no_table_is_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / "own.yaml"
    with pytest.raises(SeasonsError, match="cannot read"):
        seasons.load(path)
    path.write_text(text)
    with pytest.raises(SeasonsError, match=r"own\.yaml"):
        seasons.load(path)
    path.write_text("seasons:")
    assert seasons.load(path).all == []


def test_the_shipped_table_has_the_launch() -> None:
    assert "launch" in seasons.shipped()
    assert isinstance(seasons.shipped(), Seasons)
