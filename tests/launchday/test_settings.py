"""Settings: read from the environment, refused with their name, handed on to children unchanged."""

from __future__ import annotations

import pytest
from pydantic import SecretStr, ValidationError

from launchday.settings import Settings, SettingsError, environment, settings


def test_every_setting_says_what_it_means() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name


def test_a_child_reads_the_same_settings_from_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    given = Settings(
        cache_url="redis://elsewhere:1", match_s=7.5, fleet_key=SecretStr("ab" * 32), log_json=True
    )
    for name, value in environment(given).items():
        monkeypatch.setenv(name, value)
    read = Settings()
    assert read.model_copy(update={"state_dir": given.state_dir}) == given
    assert read.state_dir == given.state_dir.absolute()


def test_a_fleet_key_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(ValidationError, match="64 hexadecimal digits"):
        Settings(fleet_key=SecretStr("abc"))


def test_wrong_variables_are_one_line_that_names_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAUNCHDAY_META_PORT", "[/b]\x1b[2J")
    monkeypatch.setenv("LAUNCHDAY_FLEET_KEY", "abc")
    with pytest.raises(
        SettingsError, match=r"LAUNCHDAY_META_PORT: .*; LAUNCHDAY_FLEET_KEY: .*hexadecimal"
    ) as told:
        settings.__wrapped__()
    assert "\n" not in str(told.value)
    assert "abc" not in str(told.value)


def test_secrets_do_not_show_in_logs() -> None:
    assert "ab" * 32 not in repr(Settings(fleet_key=SecretStr("ab" * 32)))


def test_a_mode_may_have_a_match_length_of_its_own() -> None:
    given = Settings(match_s=60.0, match_s_by_mode="teams_of_five=240, duel=7.5")
    lengths = [given.match_s_of(mode, 300.0) for mode in ("battle_royale", "teams_of_five", "duel")]
    assert Settings().match_s_of("duel", 300.0) == 300.0  # as its card says
    assert lengths == [60.0, 240.0, 7.5]


def test_a_mode_may_have_a_largest_party_and_one_that_is_not_named_has_none() -> None:
    given = Settings(party_sizes="duel=1, squads=4")
    assert [given.party_size_of(mode) for mode in ("duel", "squads", "teams_of_five")] == [1, 4, None]


@pytest.mark.parametrize("bad", ["squads", "=4", "squads=many", "squads=0", "squads=-1", "squads=2.5"])
def test_a_largest_party_that_is_none_is_refused(bad: str) -> None:
    with pytest.raises(ValidationError, match="mode=members"):
        Settings(party_sizes=bad)


@pytest.mark.parametrize("given", ["3", " west-europe=3, east-us=1 "])
def test_servers_are_a_number_or_one_for_each_region(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAUNCHDAY_READY_PER_REGION", given)
    monkeypatch.setenv("LAUNCHDAY_MAX_SERVERS", given)
    read = Settings()
    whole = given == "3"
    assert read.ready_by_region == {"west-europe": 3, "east-us": 3 if whole else 1}
    assert read.max_servers_by_region == read.ready_by_region
    assert read.max_servers_in_all == (3 if whole else 4)
    child = environment(read)
    for name in ("LAUNCHDAY_READY_PER_REGION", "LAUNCHDAY_MAX_SERVERS"):
        monkeypatch.setenv(name, child[name])
    assert Settings() == read.model_copy(update={"state_dir": read.state_dir})


@pytest.mark.parametrize(
    ("setting", "bad", "says"),
    [
        ("max_servers", "0", "from 1 to 4,096, or one for each region: west-europe=2,east-us=2"),
        ("max_servers", "5000", "from 1 to 4,096"),
        ("max_servers", "west-europe=3", "no number for east-us"),
        ("max_servers", "west-europe=0,east-us=1", "from 1"),
        ("ready_per_region", "west-europe=3,east-us=1,mars=2", "'mars' is none of LAUNCHDAY_REGIONS"),
        ("ready_per_region", "west-europe=3,west-europe=1", "for each region"),
        ("ready_per_region", "west-europe=many,east-us=1", "for each region"),
        ("ready_per_region", "-1", "from 0"),
        ("ready_per_region", "", "for each region"),
    ],
)
def test_servers_by_region_that_cannot_be_are_refused(setting: str, bad: str, says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Settings.model_validate({setting: bad})


@pytest.mark.parametrize("bad", ["teams_of_five", "=5", "duel=long", "duel=-1", "duel=0", "duel=nan"])
def test_a_match_length_that_is_none_is_refused(bad: str) -> None:
    with pytest.raises(ValidationError, match="mode=seconds"):
        Settings(match_s_by_mode=bad)
