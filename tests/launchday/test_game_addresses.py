"""Where game servers listen and what players are given, as the settings have it."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from launchday.game_addresses import is_every_address, own_address, parse_hosts
from launchday.settings import Settings

REGIONS = "west-europe,east-us"


def test_players_are_given_what_servers_bind_where_nothing_else_is_set() -> None:
    settings = Settings(game_bind="10.0.0.10")
    assert settings.game_bind_in("east-us") == "10.0.0.10"
    assert settings.game_public_hosts_in("east-us") == ("10.0.0.10",)


def test_players_are_given_an_address_of_each_family_at_most() -> None:
    settings = Settings(game_bind="::", game_public_host="203.0.113.10, [2001:db8::10]")
    assert settings.game_bind_in("west-europe") == "::"
    assert settings.game_public_hosts_in("west-europe") == ("203.0.113.10", "2001:db8::10")


def test_regions_may_have_addresses_of_their_own() -> None:
    settings = Settings(
        regions=REGIONS,
        game_bind="west-europe=10.0.0.10,east-us=10.0.1.10",
        game_public_host="game.example,west-europe=203.0.113.10,2001:db8::10",
    )
    assert settings.game_bind_in("east-us") == "10.0.1.10"
    assert settings.game_public_hosts_in("west-europe") == ("203.0.113.10", "2001:db8::10")
    assert settings.game_public_hosts_in("east-us") == ("game.example",)


def test_the_former_name_of_the_setting_still_counts_where_the_present_one_is_not_set() -> None:
    assert Settings(game_host="192.168.1.5").game_bind_in("east-us") == "192.168.1.5"
    assert Settings(game_host="192.168.1.5", game_bind="::").game_bind_in("east-us") == "::"


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("game_bind", "", "must be an address of this machine"),
        ("game_bind", "10.0.0.1,10.0.0.2", "is not one address"),
        ("game_public_host", "203.0.113.1,203.0.113.2", "is not one address of each family"),
        ("game_public_host", "203.0.113.1,2001:db8::1,game.example", "is not one address of each family"),
        ("game_public_host", "203.0.113.1:7000", "write it without a port"),
        ("game_public_host", "https://game.example", "is no address, nor a name"),
        ("game_public_host", "mars=203.0.113.1", "is none of LAUNCHDAY_REGIONS"),
        ("game_public_host", "west-europe=203.0.113.1", "has no address for east-us"),
        ("game_public_host", "west-europe=a.example,west-europe=b.example", "named once"),
        ("game_public_host", "=203.0.113.1", "is not region=address"),
        ("game_public_host", "west-europe=", "is no address, nor a name"),
    ],
)
def test_what_is_no_address_is_refused_with_a_line_that_says_so(name: str, value: str, reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        Settings(regions=REGIONS, **{name: value})  # type: ignore[arg-type]


def test_addresses_of_regions_that_a_scenario_has_replaced_are_told_of() -> None:
    settings = Settings(regions=REGIONS, game_public_host="west-europe=203.0.113.1,east-us=203.0.113.2")
    reason = settings.model_copy(update={"regions": "mars"}).why_not_by_region()
    assert str(reason).startswith("LAUNCHDAY_GAME_PUBLIC_HOST: 'west-europe' is none of LAUNCHDAY_REGIONS")


def test_a_socket_of_all_addresses_is_reached_by_one_of_them() -> None:
    assert is_every_address("0.0.0.0")
    assert is_every_address("::")
    assert not is_every_address("game.example")
    assert own_address("10.0.0.10") == "10.0.0.10"
    assert not is_every_address(own_address("::"))


@given(st.text(alphabet="a1.:,=[] %-", max_size=40))
def test_any_text_is_read_or_refused_with_a_reason(text: str) -> None:
    found = {}
    with contextlib.suppress(ValueError):
        found = parse_hosts(text, most=2)
    assert all(1 <= len(hosts) <= 2 for hosts in found.values())
