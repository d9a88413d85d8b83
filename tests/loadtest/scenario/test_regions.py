from __future__ import annotations

from pathlib import Path

import pytest

from launchday.settings import Settings
from loadtest.errors import UnknownRegionError
from loadtest.scenario.regions import SAME_REGION_RTT_MS, RegionTable, regions, slug


def test_names_become_slugs() -> None:
    assert slug("West Europe") == "west-europe"
    assert slug("West US 2") == "west-us-2"


def test_published_figures_are_read_from_source_to_destination() -> None:
    assert regions().rtt_between_ms("west-europe", "east-us") == 85
    assert regions().rtt_between_ms("east-us", "west-europe") == 83


def test_the_default_fleet_regions_are_in_the_table() -> None:
    for region in Settings.model_fields["regions"].default.split(","):
        regions().index(region)


def test_a_region_to_itself_is_near_but_not_free() -> None:
    assert regions().rtt_between_ms("west-europe", "west-europe") == SAME_REGION_RTT_MS
    published = regions().rtt_ms[regions().rtt_ms != SAME_REGION_RTT_MS]
    assert 0 < SAME_REGION_RTT_MS < published[published > 0].min()


def test_a_pair_published_in_one_direction_counts_for_both(tmp_path: Path) -> None:
    table_file = tmp_path / "rtt.csv"
    table_file.write_text("Source,Here,There,Far\nHere,,12,\nThere,,,\n")
    table = RegionTable.read(table_file)
    assert table.names == ("far", "here", "there")
    assert table.rtt_between_ms("there", "here") == 12
    assert table.rtt_between_ms("here", "far") is None


def test_a_pair_published_in_neither_direction_is_unknown() -> None:
    assert regions().rtt_between_ms("jio-india-west", "west-europe") is None


def test_an_unknown_region_lists_names_near_to_it() -> None:
    with pytest.raises(UnknownRegionError, match="unknown region 'West Eurpoe': did you mean west-europe"):
        regions().index("West Eurpoe")
