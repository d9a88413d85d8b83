"""Why nothing can listen somewhere: one line each, which names the setting."""

from __future__ import annotations

import socket

from launchday.launcher.listening import (
    why_no_address,
    why_no_game_address,
    why_no_loopback,
    why_not_bound,
)
from launchday.launcher.services import SERVICES, with_urls
from launchday.settings import Settings


def test_a_busy_port_is_told_with_its_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert why_not_bound("127.0.0.1", port, "fleet", "fleet_port") == (
            f"port {port} for the fleet is busy: stop what uses it, or set LAUNCHDAY_FLEET_PORT"
        )


def test_this_machine_reaches_itself() -> None:
    assert why_no_loopback() is None
    assert why_no_address("127.0.0.1") is None
    assert why_no_game_address("127.0.0.1") is None


def test_an_address_that_the_machine_has_not_is_told_with_its_setting() -> None:
    assert "set LAUNCHDAY_BIND_HOST" in str(why_no_address("192.0.2.1"))  # TEST-NET-1, RFC 5737
    assert "set LAUNCHDAY_GAME_HOST" in str(why_no_game_address("192.0.2.1"))


def test_game_servers_have_no_address_of_ipv6() -> None:
    assert "::1 is no IPv4 address" in str(why_no_game_address("::1"))


def test_an_address_of_ipv6_stands_in_brackets_in_urls() -> None:
    settings = with_urls(Settings(bind_host="::1", meta_port=8101))
    assert settings.meta_url == "http://[::1]:8101"
    assert all("//[::1]:" in service.base_url(settings) for service in SERVICES)
