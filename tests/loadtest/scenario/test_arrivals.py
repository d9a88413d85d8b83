from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from loadtest.scenario.arrivals import Recorded, Trace, read_trace
from loadtest.scenario.sections import FOLDER

STEP = timedelta(minutes=10)
NIGHTS = {"March": datetime(2026, 3, 28, 22, tzinfo=UTC), "October": datetime(2026, 10, 24, 22, tzinfo=UTC)}
ZONES = ("UTC", "Europe/Berlin", "America/Los_Angeles", "Asia/Kathmandu")


def written(folder: Path, begins: datetime, form: str, zone: str) -> str:
    """A curve of twelve hours with a row each ten minutes, over the change of the clocks in Berlin."""
    local = ZoneInfo(zone)
    rows = [f"{(begins + n * STEP).astimezone(local):{form}},{n % 7 + 1}" for n in range(73)]
    file = folder / "curve [eu].csv"
    file.write_text("\n".join(["time,arrivals", *rows]))
    return str(file)


def read(file: str, zone: str = "UTC") -> Trace:
    return read_trace(file, "arrivals", "arrivals", 3600.0, zone)


@pytest.mark.parametrize("night", NIGHTS)
@pytest.mark.parametrize("zone", ZONES)
def test_a_night_in_its_zone_is_the_night_with_offsets(night: str, zone: str, tmp_path: Path) -> None:
    begins = NIGHTS[night]
    whole = read(written(tmp_path, begins, "%Y-%m-%dT%H:%M:%S%z", zone))
    assert np.array_equal(whole.at_s, np.arange(73) * 600.0)
    named = read(written(tmp_path, begins, "%Y-%m-%d %H:%M", zone), zone)
    assert np.array_equal(named.at_s, whole.at_s)
    assert np.array_equal(named.share, whole.share)


@pytest.mark.parametrize("machine", ZONES)
@pytest.mark.parametrize("night", NIGHTS)
def test_without_a_zone_a_file_is_in_utc_whatever_the_machine_has(
    machine: str, night: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", machine)
    found = read(written(tmp_path, NIGHTS[night], "%Y-%m-%dT%H:%M", "UTC"))
    assert np.array_equal(found.at_s, np.arange(73) * 600.0)


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (
            "2026-03-29T01:50,1\n2026-03-29T02:10,1",
            r"csv:3: 2026-03-29T02:10 does not exist in Europe/Berlin",
        ),
        ("2026-10-25T02:50,1\n2026-10-25T02:50,1\n2026-10-25T02:40,1", r"csv:4: the time is not after"),
        ("nan,1\n2,1", r"csv:2: time is neither seconds nor an ISO date: 'nan'"),
    ],
)
def test_a_row_that_cannot_be_placed_is_told_with_its_line(rows: str, says: str, tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text(f"time,arrivals\n{rows}\n")
    with pytest.raises(ValueError, match=says):
        read(str(file), "Europe/Berlin")


def test_an_unknown_zone_is_told_with_names_near_to_it(tmp_path: Path) -> None:
    given = {
        "curve": "recorded",
        "over_s": 1.0,
        "file": Path(written(tmp_path, NIGHTS["March"], "%c", "UTC")).name,
    }
    with pytest.raises(ValueError, match="no time zone 'Europe/Berln': did you mean Europe/Berlin"):
        Recorded.model_validate({**given, "zone": "Europe/Berln"}, context={FOLDER: tmp_path})
