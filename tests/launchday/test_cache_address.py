"""What an address of a cache says, and what settings add to it."""

from __future__ import annotations

import pytest

from launchday.cache_address import CacheAddress
from launchday.resilience.cache_login import connection_options
from launchday.settings import Settings, SettingsError, environment, settings


def test_a_cluster_with_user_and_certificates() -> None:
    address = CacheAddress.of(
        "rediss+cluster://app:p%40ss@a:7000,[::1],b/?ssl_ca_certs=/ca.pem&wait_replicas=2"
    )
    assert (address.kind, address.tls, address.wait_replicas) == ("cluster", True, 2)
    assert address.hosts == (("a", 7000), ("::1", 6379), ("b", 6379))
    told = connection_options(address)
    assert (told["username"], told["password"], told["ssl_ca_certs"]) == ("app", "p@ss", "/ca.pem")
    assert told["ssl_cert_reqs"] == "required"


def test_sentinels_with_a_name_a_database_and_a_password_of_their_own() -> None:
    address = CacheAddress.of("redis+sentinel://:data@a,b:1/game/3?sentinel_password=theirs")
    assert address.hosts == (("a", 26379), ("b", 1))
    told = connection_options(address)
    assert (address.name, told["db"], told["password"]) == ("game", 3, "data")
    assert address.sentinel == {"password": "theirs"}


def test_no_address_shows_its_passwords() -> None:
    shown = repr(CacheAddress.of("redis+sentinel://:hidden@a/game?sentinel_password=hidden"))
    assert "hidden" not in shown


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://a", "begins with redis://"),
        ("redis://a,b", "one HOST:PORT"),
        ("redis+cluster://", "HOST:PORT,HOST:PORT"),
        ("redis+cluster://a/3", "leave /3 out"),
        ("redis+sentinel://a", "the name of what they watch"),
        ("redis://u:hidden@a:port", "no HOST:PORT"),
        ("redis://u:hidden@a/0?ssl_ca_certs=x", "rediss://"),
        ("redis://u:hidden@a?wait_replicas=many", "whole number"),
    ],
)
def test_what_is_no_address_is_said_without_its_password(
    monkeypatch: pytest.MonkeyPatch, url: str, says: str
) -> None:
    with pytest.raises(ValueError, match=says) as raised:
        CacheAddress.of(url)
    assert "hidden" not in str(raised.value)
    monkeypatch.setenv("LAUNCHDAY_CACHE_URL", url)
    settings.cache_clear()
    with pytest.raises(SettingsError, match="LAUNCHDAY_CACHE_URL") as refused:
        settings()
    assert "hidden" not in str(refused.value)
    settings.cache_clear()


def test_what_belongs_to_an_address_goes_into_it_once() -> None:
    given = Settings(
        cache_url="rediss+cluster://app@a,b",
        cache_password_file="/run/secrets/cache",
        cache_ca="/ca.pem",
        cache_wait_replicas=1,
        cache_wait_ms=300,
    )
    address = CacheAddress.of(given.cache_url)
    assert (address.password_file, address.wait_replicas, address.wait_ms) == ("/run/secrets/cache", 1, 300)
    assert connection_options(address)["ssl_ca_certs"] == "/ca.pem"
    assert environment(given)["LAUNCHDAY_CACHE_URL"] == given.cache_url
    again = Settings(cache_url=given.cache_url, cache_ca="/ca.pem", cache_wait_replicas=1)
    assert CacheAddress.of(again.cache_url) == address
    assert Settings(cache_url="redis://a:1/0", cache_wait_ms=300).cache_url == "redis://a:1/0"
